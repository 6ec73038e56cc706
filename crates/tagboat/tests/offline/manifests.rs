//! Which images `plan` sees, in what people have in such folders, and what holds or blocks them.

use crate::place::{AUTOMATED, MAIN, Place, outcome, release, rows_of};
use rstest::rstest;
use serde_json::json;

const ROWS: [&str; 2] = ["main-1@1", "main-2@2"];

/// `workload container` and the outcome of each decision.
fn all(place: &Place) -> Vec<String> {
    let plan = place.plan();
    let line = |decision: &serde_json::Value| {
        let text = |key: &str| decision[key].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("workload"), text("container"), outcome(decision))
    };
    plan.decisions().iter().map(line).collect()
}

fn workload(api: &str, kind: &str, name: &str, pod: &str) -> String {
    format!(
        "apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: dev\n  annotations:\n    {AUTOMATED}\n{pod}"
    )
}

const POD: &str = "spec:\n  template:\n    spec:\n      initContainers:\n      - name: init\n        image: acme/web:main-1\n      \
                   containers:\n      - image: acme/web:main-1\n        name: web\n      - {name: side, image: \"acme/side:v1\"}\n";

#[test]
fn every_image_of_every_kind_appears() {
    let place = Place::new();
    let cron = "spec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          containers:\n          - name: web\n            image: acme/web:main-1\n";
    place.write("a.yaml", workload("apps/v1", "Deployment", "a", POD));
    place.write("b.yml", workload("extensions/v1beta1", "DaemonSet", "b", POD));
    place.write("c.json", r#"{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"c","annotations":{"fluxcd.io/automated":"true"}},
        "spec":{"template":{"spec":{"containers":[{"name":"web","image":"acme/web:main-1"}]}}}}"#);
    place.write("d.yaml", workload("batch/v1beta1", "CronJob", "d", cron));
    let item = release("main-1", &[AUTOMATED, MAIN]).replace('\n', "\n  ");
    place.write("e.yaml", format!("apiVersion: v1\nkind: List\nitems:\n- {item}\n"));
    place.write("f.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: f}\ndata: {image: 'acme/web:main-1'}\n");
    place.write("notes.txt", "not a manifest").write("README.md", "---\nnor this\n---\n");
    place.images(&json!({ "acme/web": rows_of(&ROWS) }));
    let update = "update newer-tag acme/web:main-2";
    let expected = [
        format!("dev:deployment/a web: {update}"),
        "dev:deployment/a side: blocked not-scanned".to_owned(),
        format!("dev:deployment/a init: {update}"),
        format!("dev:daemonset/b web: {update}"),
        "dev:daemonset/b side: blocked not-scanned".to_owned(),
        format!("dev:daemonset/b init: {update}"),
        format!("default:statefulset/c web: {update}"),
        format!("dev:cronjob/d web: {update}"),
        format!("dev:helmrelease/web web: {update}"),
    ];
    assert_eq!(all(&place), expected);
    let before: Vec<String> = ["a.yaml", "b.yml", "c.json", "d.yaml", "e.yaml"].map(|file| place.read(file)).into();
    assert_eq!(place.plan_with(&["--write"]).status, 3);
    for (file, before) in ["a.yaml", "b.yml", "c.json", "d.yaml", "e.yaml"].into_iter().zip(before) {
        assert_eq!(place.read(file), before.replace("web:main-1", "web:main-2"), "{file}");
    }
}

#[rstest]
#[case::not_automated(&[MAIN], "keep not-automated")]
#[case::automation_off(&["fluxcd.io/automated: \"false\"", MAIN], "keep not-automated")]
#[case::not_automated_whatever_else_is_wrong(&["filter.fluxcd.io/nobody: glob:x-*"], "keep not-automated")]
#[case::older_prefix(&["flux.weave.works/automated: \"true\"", "flux.weave.works/tag.web: glob:main-*"], "update newer-tag acme/web:main-2")]
#[case::either_off_is_off(&["flux.weave.works/automated: \"false\"", AUTOMATED], "keep not-automated")]
#[case::tag_policy(&[AUTOMATED, "fluxcd.io/tag.web: glob:main-*"], "update newer-tag acme/web:main-2")]
#[case::no_filter(&[AUTOMATED], "update newer-tag acme/web:main-2")]
#[case::locked(&[AUTOMATED, MAIN, "fluxcd.io/locked: \"true\""], "hold locked")]
#[case::locked_with_a_bad_filter(&[AUTOMATED, "filter.fluxcd.io/web: 'regexp:('", "fluxcd.io/locked: \"true\""], "hold locked")]
#[case::paused(&[AUTOMATED, MAIN, "tagboat.dev/paused: \"true\""], "hold paused")]
#[case::suspended(&[AUTOMATED, MAIN, "tagboat.dev/suspend: \"true\""], "hold paused")]
#[case::ignored(&[AUTOMATED, MAIN, "fluxcd.io/ignore: \"true\""], "hold paused")]
#[case::sync_only_is_automated(&[AUTOMATED, MAIN, "fluxcd.io/ignore: sync_only"], "update newer-tag acme/web:main-2")]
#[case::unknown_container(&[AUTOMATED, "filter.fluxcd.io/chart-image: glob:main-*"], "blocked invalid-policy")]
#[case::two_filters(&[AUTOMATED, MAIN, "fluxcd.io/tag.web: glob:stage-*"], "blocked invalid-filter")]
#[case::misspelt_lock(&[AUTOMATED, MAIN, "fluxcd.io/lcoked: \"true\""], "blocked invalid-policy")]
fn what_annotations_ask_for(#[case] annotations: &[&str], #[case] expected: &str) {
    let place = Place::new();
    place.write("web.yaml", release("main-1", annotations)).tags(&ROWS);
    let plan = place.plan();
    assert_eq!(plan.of("web"), expected);
    assert_eq!(plan.status, if expected.starts_with("update") { 3 } else { 0 });
}

#[rstest]
#[case::paused("tagboat.dev/paused: \"true\"", "hold paused")]
#[case::suspended("tagboat.dev/suspend: \"true\"", "hold paused")]
#[case::not_paused("tagboat.dev/paused: \"false\"", "update newer-tag acme/web:main-2")]
fn a_pause_on_the_namespace_counts(#[case] annotation: &str, #[case] expected: &str) {
    let place = Place::new();
    let namespace = |name: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  annotations:\n    {annotation}\n")
    };
    place.write("web.yaml", release("main-1", &[AUTOMATED, MAIN])).tags(&ROWS);
    place.write("other.yaml", namespace("other"));
    assert_eq!(place.plan().of("web"), "update newer-tag acme/web:main-2");
    place.write("namespace.yaml", namespace("dev"));
    assert_eq!(place.plan().of("web"), expected);
}

#[test]
fn what_is_not_automated_is_kept_though_its_image_is_not_in_the_file_of_tags() {
    let place = Place::new();
    place.write("web.yaml", release("main-1", &[])).images(&json!({}));
    assert_eq!(place.plan().of("web"), "keep not-automated");
}

#[rstest]
#[case::number("tag: 1.10", "must be a string")]
#[case::digest("tag: main-1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "digest")]
#[case::no_tag("replicas: 1", "has no tag")]
#[case::alias("tag: *version", "alias")]
#[case::block("tag: |-\n        main-1", "block scalar")]
#[case::duplicate("tag: main-1\n      tag: main-1", "duplicate key")]
fn an_image_that_cannot_be_edited_is_blocked(#[case] line: &str, #[case] because: &str) {
    let place = Place::new();
    let text = release("x", &[AUTOMATED, "tagboat.example.com/version: &version main-1"]);
    let text = text.replace("image: acme/web:x", &format!("image: acme/web\n      {line}"));
    place.write("web.yaml", &text).tags(&ROWS);
    let plan = place.plan_with(&["--write"]);
    assert!(plan.of("web").starts_with("blocked "), "{:#}", plan.json);
    assert!(plan.reason("web").contains(because), "{}", plan.reason("web"));
    assert_eq!(plan.status, 0);
    assert_eq!(place.read("web.yaml"), text);
}

#[test]
fn one_image_that_cannot_be_edited_leaves_its_neighbours_alone() {
    let place = Place::new();
    let text = release("main-1", &[AUTOMATED]) + "    other:\n      image: acme/web\n      tag: |-\n        main-1\n";
    place.write("web.yaml", &text).tags(&ROWS);
    let plan = place.plan_with(&["--write"]);
    assert_eq!((plan.status, plan.of("web")), (3, "update newer-tag acme/web:main-2".to_owned()));
    assert_eq!(plan.of("other"), "blocked not-committed");
    assert_eq!(place.read("web.yaml"), text.replace("web:main-1", "web:main-2"));
}

#[test]
fn a_workload_that_is_defined_twice_is_blocked_in_both_places() {
    let place = Place::new();
    place.write("a.yaml", release("main-1", &[AUTOMATED])).write("b.yaml", release("main-1", &[AUTOMATED])).tags(&ROWS);
    let plan = place.plan();
    assert_eq!(plan.status, 0);
    for (decision, other) in plan.decisions().iter().zip(["b.yaml:1", "a.yaml:1"]) {
        assert_eq!(decision["action"], "blocked");
        assert!(decision["reason"]["text"].as_str().unwrap().contains(other), "{decision:#}");
    }
}

#[test]
fn a_bad_document_hurts_only_itself() {
    let place = Place::new();
    let text = format!(
        "\u{feff}{}---\na: [unclosed\n---\n{}",
        release("main-1", &[AUTOMATED]),
        release("main-1", &[AUTOMATED]).replace("name: web", "name: third")
    );
    place.write("web.yaml", text.replace('\n', "\r\n")).write("more.yaml", "kind: [\n").tags(&ROWS);
    let plan = place.plan_with(&["--write"]);
    assert_eq!((plan.status, plan.decisions().len()), (3, 2), "{:#}", plan.json);
    let places: Vec<(&str, bool)> = plan
        .errors()
        .iter()
        .map(|error| {
            (error["file"].as_str().unwrap(), error["line"].as_u64() > Some(0) && error["column"].as_u64() > Some(0))
        })
        .collect();
    assert_eq!(places, [("more.yaml", true), ("web.yaml", true)]);
    assert_eq!(place.read("web.yaml"), text.replace('\n', "\r\n").replace("main-1", "main-2"));
}

#[test]
fn a_warning_is_no_error() {
    let place = Place::new();
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: f}\ndata:\n  a: b\n  a: c\n";
    place.write("config.yaml", config).tags(&ROWS);
    let plan = place.plan();
    assert_eq!((plan.status, plan.errors().len()), (0, 0), "{:#}", plan.json);
    assert!(plan.stderr.contains("config.yaml:6") && plan.stderr.contains("duplicate key"), "{}", plan.stderr);
}

#[test]
fn what_is_not_read_is_told() {
    let place = Place::new();
    place.write("web.yaml", release("main-1", &[AUTOMATED])).tags(&ROWS);
    place.write("large.yaml", "#".repeat(6 << 20)).write("latin.yaml", b"name: caf\xe9\n");
    std::os::unix::fs::symlink(place.path("web.yaml"), place.path("link.yaml")).unwrap();
    std::os::unix::fs::symlink("/", place.path("everything")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("broken.yaml")).unwrap();
    place.write("chart/Chart.yaml", "name: chart\n").write("chart/values.yaml", "a: b\n");
    place.write("chart/templates/web.yaml", "{{ broken }}\n").write(".git/config.yaml", "{{\n");
    let plan = place.plan();
    assert_eq!((plan.status, plan.decisions().len()), (3, 1), "{:#}", plan.json);
    let mut told: Vec<(&str, bool)> = Vec::new();
    for (error, part) in plan.errors().iter().zip(["UTF-8 at byte 9", "symbolic link", "larger than", "symbolic link"])
    {
        told.push((error["file"].as_str().unwrap(), error["text"].as_str().unwrap().contains(part)));
    }
    assert_eq!(told, [("latin.yaml", true), ("broken.yaml", true), ("large.yaml", true), ("link.yaml", true)]);
    assert_eq!(plan.errors().len(), 4, "{:#}", plan.json);
}

#[test]
fn a_tag_that_yaml_would_misread_is_written_in_quotes() {
    let place = Place::new();
    let text = release("x", &[AUTOMATED, "filter.fluxcd.io/web: semver:*"]);
    let text = text.replace("image: acme/web:x", "image: acme/web\n      tag: 1.9.1");
    place.write("web.yaml", &text).tags(&["1.9.1@1", "1.10@2"]);
    assert_eq!(place.plan_with(&["--write"]).status, 3);
    assert_eq!(place.read("web.yaml"), text.replace("tag: 1.9.1", "tag: \"1.10\""));
    assert_eq!(place.plan().of("web"), "keep newest");
}
