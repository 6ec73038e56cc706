//! The rules of the decision, one row each.

#![allow(clippy::unwrap_used, reason = "tests")]

use jiff::Timestamp;
use std::borrow::Cow;
use tagboat_engine::decide::{Action, Automation, Decision, Knowledge, LineHistory, Pin, Tags, decide_all, read_line};
use tagboat_engine::policy::Effective;
use tagboat_engine::ports::{CommitMeta, LiveAnnotations, PathChange, PathHistory, Person, Revision};
use tagboat_image::{Candidate, Reference, Repository, Tag};
use tagboat_manifest::{Container, ManifestFile, Workload};

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(1_600_000_000 + hour * 3600).unwrap()
}

/// `name@hour`, or a name alone for a tag without a time.
fn tags(rows: &[&str]) -> Tags {
    Tags::Complete(
        rows.iter()
            .map(|row| {
                let (name, hour) = row.split_once('@').map_or((*row, None), |(name, hour)| (name, Some(hour)));
                Candidate {
                    tag: Tag::new(name).unwrap(),
                    digest: None,
                    created: None,
                    pushed: hour.map(|hour| at(hour.parse().unwrap())),
                }
            })
            .collect(),
    )
}

struct World {
    tags: Tags,
    history: Option<LineHistory>,
    live: Option<LiveAnnotations>,
}

impl Knowledge for World {
    fn policies(&self, workload: &Workload) -> Effective {
        self.live.as_ref().map_or_else(|| Effective::of_git(workload), |live| Effective::with_live(workload, live))
    }

    fn tags(&self, _: &Workload, _: &Repository) -> Cow<'_, Tags> {
        Cow::Borrowed(&self.tags)
    }

    fn history(&self, _: &Workload, _: &Container) -> Option<LineHistory> {
        self.history.clone()
    }
}

fn manifest(tag: &str, annotations: &str) -> String {
    format!(
        "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata:\n  name: web\n  namespace: dev\n  annotations:\n\
         {annotations}spec:\n  chart: {{repository: https://charts.example.com, name: web, version: 1.0.0}}\n  values:\n    \
         web:\n      image: acme/web:{tag}\n"
    )
}

const AUTOMATED: &str = "    fluxcd.io/automated: \"true\"\n    filter.fluxcd.io/web: glob:main-*\n";

fn decide_on(tag: &str, annotations: &str, world: &World) -> Decision {
    let file = ManifestFile::parse("web.yaml", manifest(tag, annotations).as_bytes());
    assert_eq!(file.workloads.len(), 1, "{:?}", file.problems);
    let mut decisions = decide_all(&file.workloads, world);
    assert_eq!(decisions.len(), 1);
    decisions.remove(0)
}

fn offline(rows: &[&str]) -> World {
    World { tags: tags(rows), history: None, live: None }
}

fn outcome(decision: &Decision) -> (Action, &'static str, Option<String>) {
    (decision.action(), decision.reason.code(), decision.target.as_ref().map(|target| target.version()))
}

fn update(code: &'static str, tag: &str) -> (Action, &'static str, Option<String>) {
    (Action::Update, code, Some(tag.to_owned()))
}

#[test]
fn the_newest_tag_that_matches_is_taken() {
    let decision = decide_on("main-1", AUTOMATED, &offline(&["main-1@1", "main-3@3", "main-2@2", "stage-9@9"]));
    assert_eq!(outcome(&decision), update("newer-tag", "main-3"));
    assert_eq!(decision.target.unwrap().to_string(), "acme/web:main-3");
    assert_eq!(decision.line, 13);
}

#[test]
fn an_older_tag_is_never_taken() {
    let decision = decide_on("main-3", AUTOMATED, &offline(&["main-1@1", "main-3@3"]));
    assert_eq!(outcome(&decision), (Action::Keep, "newest", None));
}

#[test]
fn a_tag_without_a_time_blocks_no_other() {
    let decision = decide_on("main-1", AUTOMATED, &offline(&["main-1@1", "main-x", "main-2@2"]));
    assert_eq!(outcome(&decision), update("newer-tag", "main-2"));
}

#[test]
fn a_current_tag_that_does_not_match_the_filter_gives_way_to_the_newest_match() {
    let decision = decide_on("master-9", AUTOMATED, &offline(&["master-9@9", "main-1@1"]));
    assert_eq!(outcome(&decision), update("filter-changed", "main-1"));
}

#[test]
fn without_automation_nothing_moves_whatever_else_is_wrong() {
    let decision = decide_on("main-1", "    filter.fluxcd.io/nobody: glob:x-*\n", &offline(&["main-2@2"]));
    assert_eq!(outcome(&decision), (Action::Keep, "not-automated", None));
}

#[test]
fn a_filter_for_a_container_that_does_not_exist_blocks_the_workload() {
    let annotations = "    fluxcd.io/automated: \"true\"\n    filter.fluxcd.io/chart-image: glob:main-*\n";
    let decision = decide_on("stage-1", annotations, &offline(&["stage-1@1", "main-2@2"]));
    assert_eq!(outcome(&decision), (Action::Blocked, "invalid-policy", None));
    assert!(decision.reason.to_string().contains("web"), "names the containers there are: {}", decision.reason);
}

#[test]
fn an_invalid_filter_matches_nothing() {
    for filter in ["regexp:(", "semvr:1", "'glob:'"] {
        let annotations = format!("    fluxcd.io/automated: \"true\"\n    filter.fluxcd.io/web: {filter}\n");
        let decision = decide_on("main-1", &annotations, &offline(&["main-1@1", "main-2@2"]));
        assert_eq!(decision.action(), Action::Blocked, "{filter}");
    }
}

#[test]
fn a_lock_holds() {
    let annotations = format!("{AUTOMATED}    fluxcd.io/locked: \"true\"\n    fluxcd.io/locked_msg: exams\n");
    let decision = decide_on("main-1", &annotations, &offline(&["main-1@1", "main-2@2"]));
    assert_eq!(outcome(&decision), (Action::Hold, "locked", None));
    assert!(decision.reason.to_string().contains("exams"));
}

#[test]
fn an_incomplete_list_decides_nothing() {
    let world = World { tags: Tags::Incomplete("half a list".to_owned()), history: None, live: None };
    assert_eq!(outcome(&decide_on("main-1", AUTOMATED, &world)), (Action::Blocked, "incomplete-list", None));
}

#[test]
fn a_current_tag_that_is_gone_lets_only_later_pushes_follow() {
    let history = LineHistory { set: Some(at(5)), ..LineHistory::default() };
    let world = World { tags: tags(&["main-1@1", "main-4@4"]), history: Some(history.clone()), live: None };
    assert_eq!(decide_on("main-5", AUTOMATED, &world).action(), Action::Keep);
    let world = World { tags: tags(&["main-1@1", "main-6@6"]), history: Some(history), live: None };
    assert_eq!(outcome(&decide_on("main-5", AUTOMATED, &world)), update("current-tag-gone", "main-6"));
    assert_eq!(
        outcome(&decide_on("main-5", AUTOMATED, &offline(&["main-1@1", "main-4@4"]))),
        update("current-tag-gone", "main-4"),
        "without any history the newest match is taken"
    );
}

#[test]
fn a_pause_on_the_live_object_holds_and_a_looser_one_does_not_free() {
    let live = |value: &str| LiveAnnotations {
        annotations: [("fluxcd.io/automated".to_owned(), value.to_owned())].into(),
        ..LiveAnnotations::default()
    };
    let world = |value| World { tags: tags(&["main-1@1", "main-2@2"]), history: None, live: Some(live(value)) };
    let paused = decide_on("main-1", AUTOMATED, &world("false"));
    assert_eq!(outcome(&paused), (Action::Hold, "paused", None));
    let loose = decide_on("main-1", "    fluxcd.io/automated: \"false\"\n", &world("true"));
    assert_eq!(outcome(&loose), (Action::Keep, "not-automated", None));
}

#[test]
fn a_paused_namespace_holds_everything_in_it() {
    let live = LiveAnnotations {
        annotations: [("fluxcd.io/automated".to_owned(), "true".to_owned())].into(),
        namespace: [("tagboat.dev/paused".to_owned(), "true".to_owned())].into(),
        ..LiveAnnotations::default()
    };
    let world = World { tags: tags(&["main-1@1", "main-2@2"]), history: None, live: Some(live) };
    assert_eq!(decide_on("main-1", AUTOMATED, &world).action(), Action::Hold);
}

#[test]
fn a_pin_holds_until_a_tag_is_pushed_after_it() {
    let pinned = LineHistory {
        set: Some(at(5)),
        pin: Some(Pin { by: "an operator".to_owned(), since: at(5), revision: Revision("c".repeat(40)) }),
        stood_tags: [Tag::new("main-4").unwrap()].into(),
        ..LineHistory::default()
    };
    let world = |rows: &[&str]| World { tags: tags(rows), history: Some(pinned.clone()), live: None };
    let held = decide_on("main-2", AUTOMATED, &world(&["main-2@2", "main-4@4"]));
    assert_eq!(outcome(&held), (Action::Hold, "pinned", None));
    let next = decide_on("main-2", AUTOMATED, &world(&["main-2@2", "main-4@4", "main-6@6"]));
    assert_eq!(outcome(&next), update("newer-tag", "main-6"));
    let pushed_again = decide_on("main-2", AUTOMATED, &world(&["main-2@2", "main-4@7"]));
    assert_eq!(outcome(&pushed_again), (Action::Hold, "pinned", None), "it has stood on this line before");
}

fn commit(number: u32, name: &str, email: &str) -> CommitMeta {
    let person = Person { name: name.to_owned(), email: email.to_owned() };
    CommitMeta {
        revision: Revision(format!("{number:040x}")),
        author: person.clone(),
        committer: person,
        committed: at(i64::from(number)),
        message: String::new(),
    }
}

/// Newest last, as people tell it.
fn history(states: &[(&str, String)]) -> PathHistory {
    let mut changes = Vec::new();
    let mut before: Option<bytes::Bytes> = None;
    for (number, (who, text)) in (1..).zip(states) {
        let email = if *who == "Weave Flux" { "support@weave.works" } else { "person@example.com" };
        let after = bytes::Bytes::from(text.clone());
        changes.push(PathChange {
            commit: commit(number, who, email),
            path: "web.yaml".to_owned(),
            before: before.clone(),
            after: Some(after.clone()),
            merged: Vec::new(),
        });
        before = Some(after);
    }
    changes.reverse();
    PathHistory { changes, complete: true }
}

fn line(states: &[(&str, String)], current: &str) -> LineHistory {
    let own = Person { name: "Tagboat".to_owned(), email: "tagboat@example.com".to_owned() };
    let current = Reference::parse(&format!("acme/web:{current}")).unwrap();
    let workload = "dev:helmrelease/web".parse().unwrap();
    read_line(&history(states), &workload, "web", &current, &Automation::known(&own))
}

#[test]
fn a_change_by_a_person_on_an_automated_image_is_a_pin() {
    let states = [
        ("a person", manifest("main-1", AUTOMATED)),
        ("Weave Flux", manifest("main-2", AUTOMATED)),
        ("a person", manifest("main-1", AUTOMATED)),
    ];
    let found = line(&states, "main-1");
    assert_eq!(found.pin.map(|pin| pin.since), Some(at(3)));
    assert!(found.stood_tags.contains(&Tag::new("main-2").unwrap()));
}

#[test]
fn what_is_no_pin() {
    /// What is tried, each state with its author, and the tag that stands in the end.
    type Case<'a> = (&'a str, Vec<(&'a str, String)>, &'a str);
    let off = "    fluxcd.io/automated: \"false\"\n    filter.fluxcd.io/web: glob:main-*\n";
    let cases: [Case<'_>; 5] = [
        ("adding the file", vec![("a person", manifest("main-1", AUTOMATED))], "main-1"),
        (
            "automation's own change",
            vec![("a person", manifest("main-1", AUTOMATED)), ("Weave Flux", manifest("main-2", AUTOMATED))],
            "main-2",
        ),
        (
            "turning automation on",
            vec![
                ("a person", manifest("main-1", off)),
                ("a person", manifest("main-2", off)),
                ("a person", manifest("main-2", AUTOMATED)),
            ],
            "main-2",
        ),
        (
            "a filter that was changed later",
            vec![
                ("Weave Flux", manifest("main-1", AUTOMATED)),
                ("a person", manifest("main-2", AUTOMATED)),
                ("a person", manifest("main-2", &AUTOMATED.replace("main-*", "stage-*"))),
            ],
            "main-2",
        ),
        (
            "an edit that is not committed",
            vec![("Weave Flux", manifest("main-1", AUTOMATED)), ("a person", manifest("main-2", AUTOMATED))],
            "main-7",
        ),
    ];
    for (what, states, current) in cases {
        assert_eq!(line(&states, current).pin, None, "{what}");
    }
}
