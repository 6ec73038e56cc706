//! Policies: what annotations mean, what is wrong with them, and which of git and the live object counts.

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use rstest::rstest;
use tagboat_manifest::{Ignore, ManifestFile, Policies, PolicyProblem, Workload};

fn read(annotations: &[(&str, &str)]) -> (Policies, Vec<PolicyProblem>) {
    Policies::from_annotations(annotations.iter().copied())
}

fn clean(annotations: &[(&str, &str)]) -> Policies {
    let (policies, problems) = read(annotations);
    assert_eq!(problems, []);
    policies
}

#[test]
fn the_three_prefixes_are_one_vocabulary() {
    let filters = [
        ("fluxcd.io/tag.web", "glob:main-*"),
        ("flux.weave.works/tag.web", "glob:main-*"),
        ("filter.fluxcd.io/web", "glob:main-*"),
    ];
    for filter in filters {
        let policies = clean(&[filter]);
        assert_eq!(policies.filter_for("web").expect("a filter").to_string(), "glob:main-*");
        assert!(policies.filter_for("other").expect("a filter").is_any());
    }
    assert!(clean(&[("fluxcd.io/automated", "true")]).is_automated());
    assert!(clean(&[("flux.weave.works/automated", "true")]).is_automated());
    assert!(!clean(&[("fluxcd.io/automated", "false")]).is_automated());
    assert!(!clean(&[("example.org/automated", "true"), ("tag.fluxcd.io/web", "a.b")]).is_automated());
}

#[test]
fn what_holds_a_workload_back() {
    let policies = clean(&[
        ("fluxcd.io/locked", "true"),
        ("fluxcd.io/locked_user", "Someone <someone@example.org>"),
        ("fluxcd.io/locked_msg", "two\nlines"),
        ("tagboat.dev/paused", "true"),
        ("tagboat.dev/suspend", "false"),
    ]);
    assert!(policies.is_locked() && policies.is_paused() && !policies.is_suspended());
    assert_eq!(policies.locked_message(), Some("two\nlines"));
    assert_eq!(clean(&[("fluxcd.io/ignore", "sync_only")]).ignore(), Ignore::SyncOnly);
    assert_eq!(clean(&[("flux.weave.works/ignore", "true")]).ignore(), Ignore::Yes);
    assert_eq!(clean(&[]).ignore(), Ignore::No);
}

#[rstest]
#[case("fluxcd.io/automated", "yes", "false")]
#[case("fluxcd.io/automated", "True", "false")]
#[case("fluxcd.io/automated", "1", "false")]
#[case("fluxcd.io/locked", "yes", "true")]
#[case("tagboat.dev/paused", "", "true")]
#[case("tagboat.dev/suspend", "on", "true")]
#[case("fluxcd.io/ignore", "yes", "true")]
fn a_value_that_is_neither_is_read_as_the_stricter_and_told(
    #[case] key: &str,
    #[case] value: &str,
    #[case] read_as: &str,
) {
    let (policies, problems) = read(&[(key, value)]);
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.key, key);
    assert!(problem.text.contains(&format!("got {value:?}; treated as {read_as}")), "{}", problem.text);
    assert!(!policies.is_automated());
    let held =
        policies.is_locked() || policies.is_paused() || policies.is_suspended() || policies.ignore() == Ignore::Yes;
    assert_eq!(held, read_as == "true");
}

#[rstest]
#[case("fluxcd.io/automatd", "fluxcd.io/automated", false)]
#[case("fluxcd.io/Automated", "fluxcd.io/automated", false)]
#[case("flux.weave.works/atuomated", "flux.weave.works/automated", false)]
#[case("fluxcd.io/lock", "fluxcd.io/locked", true)]
#[case("fluxcd.io/lcoked", "fluxcd.io/locked", true)]
#[case("fluxcd.io/ignored", "fluxcd.io/ignore", true)]
#[case("fluxcd.io/tags.web", "filter.fluxcd.io/web", true)]
#[case("fluxcd.io/filter.web", "filter.fluxcd.io/web", true)]
#[case("filters.fluxcd.io/web", "filter.fluxcd.io/web", true)]
#[case("filter.flux.weave.works/web", "filter.fluxcd.io/web", true)]
#[case("fluxd.io/automated", "fluxcd.io/automated", false)]
#[case("tagboat.dev/pause", "tagboat.dev/paused", true)]
#[case("tagboat.dev/suspended", "tagboat.dev/suspend", true)]
fn a_key_that_is_nearly_a_policy_is_told_the_nearest(#[case] key: &str, #[case] nearest: &str, #[case] blocks: bool) {
    let (_, problems) = read(&[(key, "true")]);
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.text.contains(&format!("the nearest is {nearest:?}")), "{}", problem.text);
    assert_eq!(problem.blocks, blocks);
}

#[rstest]
#[case("fluxcd.io/sync-checksum")]
#[case("helm.fluxcd.io/antecedent")]
#[case("registry.fluxcd.io/web")]
#[case("repository.fluxcd.io/web")]
#[case("tagboat.dev/source")]
#[case("example.org/locked")]
#[case("kubectl.kubernetes.io/last-applied-configuration")]
fn what_is_no_policy_is_left_alone(#[case] key: &str) {
    clean(&[(key, "true")]);
}

#[test]
fn of_contradicting_flags_the_stricter_counts() {
    let (policies, problems) = read(&[("fluxcd.io/automated", "true"), ("flux.weave.works/automated", "false")]);
    assert!(!policies.is_automated());
    assert!(problems[0].text.contains("the stricter counts, \"false\""), "{problems:?}");
    let (policies, problems) = read(&[("fluxcd.io/locked", "false"), ("flux.weave.works/locked", "true")]);
    assert!(policies.is_locked());
    assert_eq!(problems.len(), 1);
}

#[test]
fn of_two_filters_the_newer_key_counts() {
    let (policies, problems) = read(&[("flux.weave.works/tag.web", "glob:old-*"), ("filter.fluxcd.io/web", "new-*")]);
    assert_eq!(policies.filter_for("web").expect("a filter").to_string(), "glob:new-*");
    assert!(problems[0].text.contains("which counts") && !problems[0].blocks, "{problems:?}");
    clean(&[("fluxcd.io/tag.web", "glob:main-*"), ("filter.fluxcd.io/web", "main-*")]);
}

#[test]
fn of_two_filters_of_one_rank_none_counts() {
    let (policies, problems) = read(&[("fluxcd.io/tag.web", "glob:a-*"), ("filter.fluxcd.io/web", "glob:b-*")]);
    let error = policies.filter_for("web").expect_err("a problem").to_string();
    assert_eq!(error, "fluxcd.io/tag.web and filter.fluxcd.io/web set different filters; remove one");
    assert!(problems[0].blocks);
}

#[rstest]
#[case("semvr:~1", "known are glob:, semver:, regexp: and regex:")]
#[case("glob:", "has no pattern")]
#[case("glob: main-*", "no tag contains ' ' at column 6")]
#[case("regexp:(", "unclosed group")]
#[case("semver:>=1.x.y.z", "invalid semver constraint")]
fn an_invalid_filter_blocks_and_is_told(#[case] filter: &str, #[case] reason: &str) {
    let (policies, problems) = read(&[("filter.fluxcd.io/web", filter)]);
    let error = policies.filter_for("web").expect_err("a problem").to_string();
    assert!(error.starts_with("filter.fluxcd.io/web: ") && error.contains(reason), "{error}");
    assert!(problems[0].blocks && problems[0].text == error);
}

#[test]
fn locked_and_automated_is_told() {
    let (policies, problems) = read(&[("fluxcd.io/locked", "true"), ("fluxcd.io/automated", "true")]);
    assert!(policies.is_locked() && problems[0].text.contains("the lock wins"));
}

fn release(annotations: &str) -> Workload {
    let text = format!(
        "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata:\n  name: voice\n  annotations:\n{annotations}spec:\n  values:\n    voice_web: {{image: a/b:v1}}\n    worker: {{image: a/c:v1}}\n"
    );
    ManifestFile::parse("voice.yaml", text.as_bytes()).workloads.remove(0)
}

/// It happened: a filter for `voice_web` on a release with `chart-image` put development images into production.
#[test]
fn a_filter_for_a_container_that_is_not_there_blocks_the_workload() {
    let workload = release("    filter.fluxcd.io/chart-image: glob:main-*\n");
    let problem = workload.blocked_by().expect("a problem");
    assert_eq!((problem.line, problem.column), (Some(6), Some(5)));
    assert!(problem.text.starts_with("no container \"chart-image\" (has: voice_web, worker)"), "{}", problem.text);
    assert!(release("    filter.fluxcd.io/voice_web: glob:main-*\n").blocked_by().is_none());
    let trap = release("    filter.fluxcd.io/tag.voice_web: glob:main-*\n");
    assert!(trap.blocked_by().expect("a problem").text.ends_with("write filter.fluxcd.io/voice_web"));
}

#[test]
fn an_annotation_that_is_no_string_is_told() {
    let workload = release("    fluxcd.io/automated: true\n");
    assert!(workload.policies.is_automated());
    assert!(workload.policy_problems[0].text.contains("must be a string, got boolean true; quote it"));
    assert_eq!(workload.policy_problems[0].line, Some(6));
}

#[test]
fn of_git_and_the_live_object_the_stricter_counts() {
    let git = clean(&[("fluxcd.io/automated", "true"), ("filter.fluxcd.io/web", "glob:a-*")]);
    let live = clean(&[
        ("fluxcd.io/automated", "false"),
        ("tagboat.dev/paused", "true"),
        ("fluxcd.io/ignore", "sync_only"),
        ("filter.fluxcd.io/web", "glob:b-*"),
    ]);
    let combined = git.stricter(&live);
    assert!(!combined.policies.is_automated() && combined.policies.is_paused());
    assert_eq!(combined.policies.ignore(), Ignore::SyncOnly);
    assert_eq!(combined.policies.filter_for("web").expect("a filter").to_string(), "glob:a-*");
    let from_live: Vec<_> = combined.from_live.iter().map(|over| over.policy).collect();
    assert_eq!(from_live, ["automated", "paused", "ignore"]);
    assert_eq!(combined.from_live[0].git.as_deref(), Some("true"));
    assert!(combined.is_from_live("automated") && combined.looser.is_empty());
}

#[test]
fn a_looser_live_object_does_not_count_but_is_told() {
    let git = clean(&[("fluxcd.io/locked", "true"), ("fluxcd.io/ignore", "true")]);
    let live =
        clean(&[("fluxcd.io/automated", "true"), ("fluxcd.io/locked", "false"), ("fluxcd.io/ignore", "sync_only")]);
    let combined = git.stricter(&live);
    assert_eq!(combined.policies, git);
    let looser: Vec<_> = combined.looser.iter().map(|over| over.policy).collect();
    assert_eq!(looser, ["automated", "locked", "ignore"]);
    assert_eq!(git.stricter(&Policies::default()).looser, []);
}

#[test]
fn a_live_lock_says_whose_it_is() {
    let live = clean(&[("fluxcd.io/locked", "true"), ("fluxcd.io/locked_msg", "freeze")]);
    let combined = Policies::default().stricter(&live);
    assert_eq!(combined.policies.locked_message(), Some("freeze"));
}
