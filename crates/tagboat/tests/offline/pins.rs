//! People win: what history says of an image, and what follows from it.

use crate::place::{AUTOMATED, MAIN, Place, release};
use rstest::rstest;
use serde_json::json;

const NEWER: [&str; 3] = ["main-1@1", "main-2@2", "main-3@3"];
const FLUX: &str = "Weave Flux";

fn main_release(tag: &str) -> String {
    release(tag, &[AUTOMATED, MAIN])
}

/// main-1 by a person, main-2 by Flux.
fn automated() -> Place {
    let place = Place::git();
    place.write("web.yaml", main_release("main-1")).commit("operator", 1, "Add web");
    place.write("web.yaml", main_release("main-2")).commit(FLUX, 2, "Auto-release acme/web:main-2");
    place
}

/// And back to main-1 by a person, at 10.
fn rolled_back() -> Place {
    let place = automated();
    place.write("web.yaml", main_release("main-1")).commit("operator", 10, "Back to main-1");
    place
}

#[test]
fn automations_own_commit_is_no_pin() {
    assert_eq!(automated().tags(&NEWER).plan().of("web"), "update newer-tag acme/web:main-3");
}

#[rstest]
#[case::older_than_the_pin(&NEWER, "hold pinned")]
#[case::pushed_after_it(&["main-1@1", "main-2@2", "main-3@11"], "update newer-tag acme/web:main-3")]
#[case::the_old_build_pushed_again(&["main-1@1", "main-2@11"], "hold pinned")]
#[case::the_newest_that_is_new(&["main-1@1", "main-2@20", "main-3@11"], "update newer-tag acme/web:main-3")]
#[case::nothing_newer(&["main-1@1"], "keep newest")]
fn a_rollback_sticks_until_the_next_build(#[case] rows: &[&str], #[case] expected: &str) {
    let plan = rolled_back().tags(rows).plan();
    assert_eq!(plan.of("web"), expected);
    if expected.starts_with("hold") {
        assert_eq!(plan.status, 0);
        assert!(plan.reason("web").contains("operator set this tag by hand"), "{}", plan.reason("web"));
    }
}

#[test]
fn the_build_that_was_rolled_back_does_not_return_under_another_name() {
    let place = rolled_back();
    let row = |tag: &str, hour, c: &str| json!({ "tag": tag, "pushed": crate::place::time(hour), "digest": format!("sha256:{}", c.repeat(64)) });
    place.images(&json!({ "acme/web": [row("main-1", 1, "a"), row("main-2", 2, "b"), row("main-hotfix", 12, "b")] }));
    assert_eq!(place.plan().of("web"), "hold pinned");
    place.images(&json!({ "acme/web": [row("main-1", 1, "a"), row("main-2", 2, "b"), row("main-hotfix", 12, "c")] }));
    assert_eq!(place.plan().of("web"), "update newer-tag acme/web:main-hotfix");
}

#[test]
fn the_digest_that_our_commit_recorded_does_not_return_either() {
    let place = Place::git();
    place.write("web.yaml", main_release("main-1")).commit("operator", 1, "Add web");
    let ours = format!(
        "Auto-release acme/web:main-2\n\nTagboat-Change-Id: I01\n\
         Tagboat-Image: dev:helmrelease/web web acme/web:main-2@sha256:{}",
        "b".repeat(64)
    );
    place.write("web.yaml", main_release("main-2")).commit("Tagboat", 2, &ours);
    place.write("web.yaml", main_release("main-1")).commit("operator", 10, "Back to main-1");
    let again =
        json!({ "tag": "main-9", "pushed": crate::place::time(12), "digest": format!("sha256:{}", "b".repeat(64)) });
    place.images(&json!({ "acme/web": [{ "tag": "main-1", "pushed": crate::place::time(1) }, again] }));
    assert_eq!(place.plan().of("web"), "hold pinned");
}

#[test]
fn a_revert_of_automations_commit_is_a_pin() {
    let place = automated();
    place.run_as("operator", 10, &["revert", "--no-edit", "HEAD"]);
    assert!(place.read("web.yaml").contains("main-1"));
    assert_eq!(place.tags(&NEWER).plan().of("web"), "hold pinned");
}

#[test]
fn a_version_set_ahead_by_hand_is_a_pin() {
    let place = automated();
    place.write("web.yaml", main_release("main-candidate")).commit("operator", 10, "Try the candidate");
    let rows = ["main-2@2", "main-3@3", "main-candidate@1"];
    assert_eq!(place.tags(&rows).plan().of("web"), "hold pinned");
    let rows = ["main-2@2", "main-3@30", "main-candidate@1"];
    assert_eq!(place.tags(&rows).plan().of("web"), "update newer-tag acme/web:main-3");
}

#[test]
fn a_pin_outside_the_filter_holds_too() {
    let place = automated();
    place.write("web.yaml", main_release("hotfix-7")).commit("operator", 10, "Hotfix");
    assert_eq!(place.tags(&["main-3@3", "hotfix-7@9"]).plan().of("web"), "hold pinned");
    assert_eq!(place.tags(&["main-3@12", "hotfix-7@9"]).plan().of("web"), "update filter-changed acme/web:main-3");
}

#[test]
fn automation_after_a_pin_ends_it() {
    let place = rolled_back();
    place.write("web.yaml", main_release("main-3")).commit(FLUX, 12, "Auto-release acme/web:main-3");
    assert_eq!(place.tags(&["main-3@11", "main-4@11"]).plan().of("web"), "keep newest");
    assert_eq!(place.tags(&["main-3@11", "main-4@12"]).plan().of("web"), "update newer-tag acme/web:main-4");
}

#[test]
fn other_changes_of_the_file_leave_a_pin_alone() {
    let place = rolled_back();
    place.write("web.yaml", main_release("main-1") + "      replicas: 2\n").commit("operator", 11, "Two replicas");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "hold pinned");
    assert_eq!(place.tags(&["main-1@1", "main-3@10"]).plan().of("web"), "hold pinned");
}

#[test]
fn a_later_change_of_the_filter_ends_a_pin() {
    let place = rolled_back();
    let wider = release("main-1", &[AUTOMATED, "filter.fluxcd.io/web: regexp:^main-"]);
    place.write("web.yaml", wider).commit("operator", 11, "Change the filter");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "update newer-tag acme/web:main-3");
}

#[test]
fn the_same_filter_in_other_words_leaves_a_pin_alone() {
    let place = rolled_back();
    let same = release("main-1", &[AUTOMATED, "fluxcd.io/tag.web: main-*"]);
    place.write("web.yaml", same).commit("operator", 11, "Another spelling");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "hold pinned");
}

#[test]
fn turning_automation_on_is_no_pin() {
    let place = Place::git();
    let off = |tag| release(tag, &["fluxcd.io/automated: \"false\"", MAIN]);
    place.write("web.yaml", off("main-1")).commit("operator", 1, "Add web");
    place.write("web.yaml", off("main-2")).commit("operator", 2, "Release by hand");
    place.write("web.yaml", main_release("main-2")).commit("operator", 10, "Automate");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "update newer-tag acme/web:main-3");
    let place = Place::git();
    place.write("web.yaml", off("main-1")).commit("operator", 1, "Add web");
    place.write("web.yaml", main_release("main-2")).commit("operator", 10, "Automate, and a tag to begin with");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "update newer-tag acme/web:main-3");
}

#[test]
fn changing_only_the_repository_is_no_pin() {
    let place = automated();
    let moved = main_release("main-2").replace("acme/web", "docker.io/acme/web");
    place.write("web.yaml", moved).commit("operator", 10, "Name the registry");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "update newer-tag docker.io/acme/web:main-3");
}

#[test]
fn a_pin_is_followed_across_a_rename_of_the_file() {
    let place = rolled_back();
    std::fs::create_dir(place.path("releases")).unwrap();
    place.run(&["mv", "web.yaml", "releases/web-dev.yaml"]);
    place.commit("operator", 11, "Move");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "hold pinned");
    place.write("releases/web-dev.yaml", main_release("main-1") + "      replicas: 2\n").commit("operator", 12, "Edit");
    place.run(&["mv", "releases/web-dev.yaml", "web.yml"]);
    place.write("web.yml", main_release("main-1") + "      replicas: 3\n").commit("operator", 13, "Move and edit");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "hold pinned");
}

#[test]
fn a_pin_is_followed_into_another_file() {
    let place = rolled_back();
    let other = release("v1", &[]).replace("name: web", "name: other");
    place.write("all.yaml", &other).commit("operator", 11, "Another release");
    std::fs::remove_file(place.path("web.yaml")).unwrap();
    place.write("all.yaml", format!("{other}---\n{}", main_release("main-1"))).commit(
        "operator",
        12,
        "One file for all",
    );
    assert_eq!(place.tags(&NEWER).plan().decisions()[1]["reason"]["code"], "pinned");
    place.write("all.yaml", &other).write("split.yaml", main_release("main-1")).commit("operator", 13, "Split again");
    let plan = place.plan();
    assert_eq!(plan.decisions()[1]["reason"]["code"], "pinned", "{:#}", plan.json);
    assert_eq!(place.tags(&["main-1@1", "main-3@11"]).plan().status, 3, "what was pushed after the rollback is taken");
}

#[test]
fn a_pin_is_found_behind_many_other_changes() {
    let place = rolled_back();
    for replicas in 0..40 {
        let text = main_release("main-1") + &format!("      replicas: {replicas}\n");
        place.write("web.yaml", text).commit("operator", 11 + replicas, "Scale");
    }
    assert_eq!(place.tags(&NEWER).plan().of("web"), "hold pinned");
    // And what stood here long before the pin does not come back by being pushed again.
    assert_eq!(place.tags(&["main-1@1", "main-2@90"]).plan().of("web"), "hold pinned");
}

#[test]
fn a_pin_is_followed_through_a_commit_that_does_not_parse() {
    let place = automated();
    place.write("web.yaml", main_release("main-1").replace("spec:", "\tspec:")).commit(
        "operator",
        10,
        "Roll back badly",
    );
    place.write("web.yaml", main_release("main-1")).commit("operator", 11, "Repair");
    assert_eq!(place.tags(&NEWER).plan().of("web"), "hold pinned");
    assert_eq!(
        place.tags(&["main-1@1", "main-3@12"]).plan().of("web"),
        "update newer-tag acme/web:main-3",
        "the pin's time is that of the commit which made it readable"
    );
}

#[test]
fn a_pin_made_on_a_branch_counts_from_its_merge() {
    let place = automated();
    place.run(&["checkout", "--quiet", "-b", "rollback"]);
    place.write("web.yaml", main_release("main-1")).commit("operator", 5, "Back to main-1");
    place.run(&["checkout", "--quiet", "main"]);
    place.write("other.yaml", "").commit("operator", 6, "Something else");
    place.run_as("reviewer", 20, &["merge", "--quiet", "--no-edit", "rollback"]);
    let plan = place.tags(&["main-1@1", "main-2@2", "main-3@10"]).plan();
    assert_eq!(plan.of("web"), "hold pinned");
    assert!(plan.reason("web").contains("operator set this tag"), "{}", plan.reason("web"));
    assert_eq!(place.tags(&["main-1@1", "main-3@21"]).plan().of("web"), "update newer-tag acme/web:main-3");
}

#[test]
fn merging_automations_commit_is_no_pin() {
    let place = automated();
    place.run(&["checkout", "--quiet", "-b", "tagboat/web"]);
    place.write("web.yaml", main_release("main-3")).commit("Tagboat", 5, "Auto-release acme/web:main-3");
    place.run(&["checkout", "--quiet", "main"]);
    place.write("other.yaml", "").commit("operator", 6, "Something else");
    place.run_as("reviewer", 20, &["merge", "--quiet", "--no-edit", "tagboat/web"]);
    assert_eq!(place.tags(&["main-3@3", "main-4@4"]).plan().of("web"), "update newer-tag acme/web:main-4");
}

#[test]
fn pulling_automations_commits_into_ones_own_is_no_pin() {
    // `git pull` merges what the remote had into the operator's branch: the operator's is the first parent.
    let place = automated();
    place.run(&["checkout", "--quiet", "-b", "remote"]);
    place.write("web.yaml", main_release("main-3")).commit(FLUX, 5, "Auto-release acme/web:main-3");
    place.run(&["checkout", "--quiet", "main"]);
    place.write("other.yaml", "").commit("operator", 6, "Something else");
    place.run_as("operator", 7, &["merge", "--quiet", "--no-edit", "remote"]);
    assert_eq!(place.tags(&["main-3@3", "main-4@4"]).plan().of("web"), "update newer-tag acme/web:main-4");
}

#[test]
fn what_was_proposed_and_squashed_is_no_pin() {
    let place = automated();
    let squashed = "Auto-release acme/web:main-3 (#12)\n\n* Auto-release acme/web:main-3\n\nTagboat-Change-Id: I01\n\
                    Tagboat-Image: dev:helmrelease/web web acme/web:main-3\n";
    place.write("web.yaml", main_release("main-3")).commit("reviewer", 20, squashed);
    assert_eq!(place.tags(&["main-3@3", "main-4@4"]).plan().of("web"), "update newer-tag acme/web:main-4");
    // Another tag than the one that was proposed is the reviewer's own.
    place.write("web.yaml", main_release("main-2")).commit("reviewer", 21, squashed);
    assert_eq!(place.tags(&["main-2@2", "main-4@4"]).plan().of("web"), "hold pinned");
}

#[test]
fn an_author_can_be_named_as_automation() {
    let place = automated();
    place.write("web.yaml", main_release("main-3")).commit("deploy bot", 20, "Deploy");
    place.tags(&["main-3@3", "main-4@4"]);
    assert_eq!(place.plan().of("web"), "hold pinned");
    assert_eq!(place.plan_with(&["--automation-author", "deploy bot"]).of("web"), "update newer-tag acme/web:main-4");
}

#[test]
fn a_current_tag_that_is_gone_lets_only_later_pushes_follow() {
    let place = automated();
    assert_eq!(place.tags(&["main-1@1"]).plan().of("web"), "keep only-older-tags");
    assert_eq!(place.tags(&["main-1@1", "main-3@3"]).plan().of("web"), "update current-tag-gone acme/web:main-3");
}

#[test]
fn an_edit_that_is_not_committed_is_nobodys_pin() {
    let place = rolled_back();
    place.write("web.yaml", main_release("main-2"));
    assert_eq!(place.tags(&NEWER).plan().of("web"), "update newer-tag acme/web:main-3");
}

#[test]
fn a_folder_that_is_no_work_tree_has_no_pins() {
    let place = rolled_back();
    std::fs::remove_dir_all(place.path(".git")).unwrap();
    assert_eq!(place.tags(&NEWER).plan().of("web"), "update newer-tag acme/web:main-3");
}

#[test]
fn a_folder_of_a_work_tree_has_its_pins() {
    let place = Place::git();
    place.write("a b/web.yaml", main_release("main-1")).commit("operator", 1, "Add web");
    place.write("a b/web.yaml", main_release("main-2")).commit(FLUX, 2, "Auto-release acme/web:main-2");
    place.write("a b/web.yaml", main_release("main-1")).commit("operator", 10, "Back to main-1");
    let ran = place.tags(&NEWER).plan_of(&place.path("a b"), &[]);
    assert!(ran.stdout.contains("hold") && ran.stdout.contains(" web.yaml:"), "{ran:?}");
}

#[test]
fn in_a_shallow_clone_pins_are_unknown_and_it_says_so() {
    let place = rolled_back();
    place.write("web.yaml", main_release("main-1") + "      replicas: 2\n").commit("operator", 11, "Two replicas");
    let shallow = Place::new();
    std::fs::remove_dir(shallow.root()).unwrap();
    let from = format!("file://{}", place.root().display());
    place.run(&["clone", "--quiet", "--depth", "1", &from, shallow.root().to_str().unwrap()]);
    let plan = shallow.tags(&NEWER).plan();
    assert_eq!((plan.status, plan.of("web")), (3, "update newer-tag acme/web:main-3".to_owned()));
    assert!(plan.errors().iter().any(|error| error["text"].as_str().unwrap().contains("shallow")), "{:#}", plan.json);
    assert!(plan.stderr.contains("shallow"), "{}", plan.stderr);
    // What is newer than a tag that is gone, only its commit tells.
    assert_eq!(shallow.tags(&["main-3@3"]).plan().of("web"), "blocked history-unknown");
    shallow.tags(&NEWER);
    // One that reaches back to where the tag was set knows.
    shallow.run(&["fetch", "--quiet", "--depth", "3", "origin"]);
    let plan = shallow.plan();
    assert_eq!((plan.of("web"), plan.errors().len()), ("hold pinned".to_owned(), 0), "{:#}", plan.json);
}
