//! The command itself: its output, its exit status, what it writes.

use crate::place::{AUTOMATED, MAIN, Place, release, tagboat, time};
use serde_json::{Value, json};
use std::process::Command;

const ROWS: [&str; 2] = ["main-1@1", "main-2@2"];

fn place() -> Place {
    let place = Place::new();
    place.write("kubernetes/dev/web.yaml", release("main-1", &[AUTOMATED, MAIN])).tags(&ROWS);
    place
}

#[test]
fn json_is_one_object_of_the_promised_shape() {
    let place = place();
    place.write("kubernetes/prod/web.yaml", release("main-1", &[MAIN]).replace("namespace: dev", "namespace: prod"));
    place.write("broken.yaml", "a: b\n\tc: d\n");
    let plan = place.plan();
    assert_eq!(plan.status, 3);
    let mut json = plan.json.clone();
    let error = json["errors"][0]["text"].take();
    assert!(error.as_str().unwrap().contains("tab"), "{error}");
    let expected = json!({
        "decisions": [
            {
                "workload": "dev:helmrelease/web",
                "container": "web",
                "file": "kubernetes/dev/web.yaml",
                "line": 12,
                "current": "acme/web:main-1",
                "target": "acme/web:main-2",
                "action": "update",
                "reason": {
                    "code": "newer-tag",
                    "text": format!("newest of 2 tags that match glob:main-* (2 seen), of {}", time(2)),
                },
            },
            {
                "workload": "prod:helmrelease/web",
                "container": "web",
                "file": "kubernetes/prod/web.yaml",
                "line": 11,
                "current": "acme/web:main-1",
                "target": null,
                "action": "keep",
                "reason": {
                    "code": "not-automated",
                    "text": "automation is off: no annotation fluxcd.io/automated: \"true\"",
                },
            },
        ],
        "errors": [{ "file": "broken.yaml", "line": 2, "column": 1, "text": null }],
    });
    assert_eq!(json, expected);
}

#[test]
fn writing_changes_the_tag_alone_and_only_once() {
    let place = place();
    let before = place.read("kubernetes/dev/web.yaml");
    assert_eq!(place.plan().status, 3);
    assert_eq!(place.read("kubernetes/dev/web.yaml"), before, "without --write nothing is written");
    let written = place.plan_with(&["--write"]);
    assert_eq!((written.status, written.of("web")), (3, "update newer-tag acme/web:main-2".to_owned()));
    assert_eq!(place.read("kubernetes/dev/web.yaml"), before.replace("main-1", "main-2"));
    let again = place.plan_with(&["--write"]);
    assert_eq!((again.status, again.of("web")), (0, "keep newest".to_owned()));
    assert_eq!(std::fs::read_dir(place.path("kubernetes/dev")).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn the_diff_is_one_that_git_applies() {
    let place = place();
    let crlf = release("main-1", &[AUTOMATED, MAIN]).replace("name: web", "name: crlf").replace('\n', "\r\n");
    let bare = release("main-1", &[AUTOMATED, MAIN]).replace("name: web", "name: bare");
    place.write("crlf.yaml", &crlf).write("with a \"quote\" and spaces/bare file.yaml", bare.trim_end());
    place.write("with spaces/web.yaml", bare.replace("name: bare", "name: space"));
    let diff = place.tagboat_plan(&["--output", "diff"]);
    assert_eq!(diff.status, 3, "{diff:?}");
    assert!(diff.stdout.starts_with("--- a/crlf.yaml\n+++ b/crlf.yaml\n@@ "), "{}", diff.stdout);
    let patch = place.path("../plan.diff");
    std::fs::write(&patch, &diff.stdout).unwrap();
    let applied = Command::new("git").current_dir(place.root()).arg("apply").arg(&patch).output().unwrap();
    assert!(applied.status.success(), "{}\n{}", String::from_utf8_lossy(&applied.stderr), diff.stdout);
    assert_eq!(place.read("crlf.yaml"), crlf.replace("main-1", "main-2"));
    let plan = place.plan();
    assert_eq!((plan.status, plan.decisions().len()), (0, 4), "{:#}", plan.json);
    assert_eq!(place.tagboat_plan(&["--output", "diff"]).stdout, "");
}

#[test]
fn text_says_what_and_why() {
    let place = place();
    let ran = place.tagboat_plan(&[]);
    assert_eq!(ran.status, 3);
    let wanted = format!(
        "dev:helmrelease/web web  update   acme/web:main-1 -> main-2\n\
         {:23}           kubernetes/dev/web.yaml:12: newest of 2 tags that match glob:main-* (2 seen), of {}\n\
         1 image: 1 to update, 0 kept, 0 held, 0 blocked\n",
        "",
        time(2)
    );
    assert_eq!(ran.stdout, wanted);
}

#[test]
fn what_a_file_holds_cannot_colour_a_terminal() {
    let place = place();
    let name = "\"\\e[31mred\\u202e\"";
    place.write("odd.yaml", release("main-1", &[]).replace("    web:\n", &format!("    {name}:\n")));
    let ran = place.tagboat_plan(&[]);
    assert!(ran.stdout.contains("\\u{1b}[31mred\\u{202e}"), "{}", ran.stdout);
    assert!(!ran.stdout.contains(['\u{1b}', '\u{202e}']), "{}", ran.stdout);
}

#[test]
fn only_the_given_paths_are_read() {
    let place = place();
    place.write("other/web.yaml", release("main-1", &[AUTOMATED]).replace("namespace: dev", "namespace: other"));
    assert_eq!(place.plan().decisions().len(), 2);
    for path in ["kubernetes", "./kubernetes/", "kubernetes/dev/web.yaml"] {
        let plan = place.plan_with(&["--path", path]);
        assert_eq!(plan.decisions().len(), 1, "{path}");
        assert_eq!(plan.decisions()[0]["file"], "kubernetes/dev/web.yaml", "{path}");
    }
    for path in ["nowhere", "../infra", "/"] {
        let ran = place.tagboat_plan(&["--path", path]);
        assert_eq!(ran.status, 1, "{path}");
        assert!(ran.stderr.contains(path), "{}", ran.stderr);
    }
}

#[test]
fn what_cannot_be_done_at_all_is_status_1_and_wrong_usage_2() {
    let place = place();
    let root = place.root();
    let tags = place.path("../tags.json");
    let (root, tags) = (root.to_str().unwrap(), tags.to_str().unwrap());
    let cases: [(&[&str], i32, &str); 9] = [
        (&["plan", "--repo", "/nowhere", "--tags", tags], 1, "/nowhere"),
        (&["plan", "--repo", tags, "--tags", tags], 1, "not a folder"),
        (&["plan", "--repo", root, "--tags", "/nowhere.json"], 1, "/nowhere.json"),
        (&["plan", "--repo", root, "--tags", root], 1, "infra"),
        (&["plan", "--repo", root], 2, "--tags"),
        (&["plan", "--tags", tags], 2, "--repo"),
        (&["plan", "--repo", root, "--tags", tags, "--output", "xml"], 2, "xml"),
        (&["plan", "--repo", root, "--tags", tags, "more"], 2, "more"),
        (&["plan", "--help"], 0, ""),
    ];
    for (arguments, status, named) in cases {
        let ran = tagboat(arguments);
        assert_eq!(ran.status, status, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(named), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout.is_empty(), status != 0, "{arguments:?}: {}", ran.stdout);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = place();
    for number in 0..2_000 {
        let text = release("main-1", &[AUTOMATED, MAIN]).replace("name: web", &format!("name: web-{number}"));
        place.write(&format!("many/{number}.yaml"), text);
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_tagboat"))
        .args(["plan", "--output", "json", "--repo", place.root().to_str().unwrap()])
        .args(["--tags", place.path("../tags.json").to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(3), ""));
}

#[test]
fn the_tour_of_the_readme_works_as_typed() {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let plan = |output: &str| {
        Command::new(env!("CARGO_BIN_EXE_tagboat"))
            .current_dir(workspace)
            .args(["plan", "--repo", "deploy/example/infrastructure", "--tags", "deploy/example/tags.json"])
            .args(["--output", output])
            .output()
            .unwrap()
    };
    let text = plan("text");
    assert_eq!(text.status.code(), Some(3));
    assert!(String::from_utf8(text.stdout).unwrap().ends_with("6 images: 2 to update, 4 kept, 0 held, 0 blocked\n"));
    let json: Value = serde_json::from_slice(&plan("json").stdout).unwrap();
    assert_eq!(json["decisions"].as_array().unwrap().len(), 6);
    assert!(!plan("diff").stdout.is_empty());
}
