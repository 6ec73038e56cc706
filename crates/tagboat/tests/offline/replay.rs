//! The first user's year 2020: `plan --write` on the parent of each of Flux's commits.

use crate::place::{outcome, tagboat};
use git2::build::CheckoutBuilder;
use git2::{Oid, Repository};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tagboat_testkit::voice_infra;

/// One commit of Flux's.
#[derive(Deserialize)]
struct Recorded {
    commit: String,
    parent: String,
    time: i64,
    changes: Vec<Change>,
}

/// One image that it set.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    workload: String,
    container: String,
    current: String,
    target: String,
}

/// Where Flux did what we do not, on purpose: the number of commits, by what we say instead.
const DIFFERENT: [(&str, usize); 2] = [
    // The filter named a container that the release does not have, so Flux took any tag: into production, too.
    ("blocked invalid-policy", 34),
    // A person had moved the image away from that very tag, and Flux put it back.
    ("hold pinned", 2),
];

fn bundles() -> Option<PathBuf> {
    voice_infra::folder().inspect_err(|missing| println!("NOT RUN: {missing}")).ok()
}

/// A work tree of a bundle's history. libgit2 cannot read bundles, the `git` program can.
fn unpack(bundle: &Path, into: &Path) -> Repository {
    let status = Command::new("git")
        .args(["clone", "--quiet", "--no-checkout", "--"])
        .args([bundle, into])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status()
        .expect("git runs");
    assert!(status.success(), "git clone: {status}");
    Repository::open(into).expect("the clone is a repository")
}

/// Moves HEAD and the work tree to a commit.
fn check_out(repository: &Repository, commit: &str) {
    repository.set_head_detached(Oid::from_str(commit).expect("an oid")).expect("HEAD is moved");
    let mut how = CheckoutBuilder::new();
    how.force().remove_untracked(true);
    repository.checkout_head(Some(&mut how)).expect("the commit is checked out");
}

fn plan(root: &Path, tags: &Path, write: bool) -> (i32, Value) {
    let mut arguments = vec!["plan", "--output", "json", "--repo", root.to_str().unwrap()];
    arguments.extend(["--tags", tags.to_str().unwrap()]);
    arguments.extend(write.then_some("--write"));
    let ran = tagboat(&arguments);
    assert!(matches!(ran.status, 0 | 3), "{ran:?}");
    (ran.status, serde_json::from_str(&ran.stdout).expect("JSON"))
}

fn split(reference: &str) -> (&str, &str) {
    reference.rsplit_once(':').expect("a name and a tag")
}

/// The file of tags at the time of a decision: its targets just pushed, what they replaced before that, and tags that
/// must not be taken although they are newer, or match although they are older.
fn tags_of(recorded: &Recorded) -> Value {
    const DAY: i64 = 86_400;
    let mut images: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for change in &recorded.changes {
        let (name, current) = split(&change.current);
        let (_, target) = split(&change.target);
        let tags = images.entry(name).or_default();
        tags.entry(current).or_insert(recorded.time - DAY);
        tags.insert(target, recorded.time);
        for (tag, ago) in [("nightly-20201231", -60), ("latest", -120), ("sandboxed", -180), ("before", 90 * DAY)] {
            tags.entry(tag).or_insert(recorded.time - ago);
        }
    }
    let row = |(tag, time): (&str, i64)| json!({ "tag": tag, "pushed": jiff::Timestamp::from_second(time).expect("a time").to_string() });
    let images: Map<String, Value> =
        images.into_iter().map(|(name, tags)| (name.to_owned(), tags.into_iter().map(row).collect())).collect();
    json!({ "images": images })
}

fn updates(plan: &Value) -> BTreeSet<Change> {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let decisions = plan["decisions"].as_array().expect("decisions").iter();
    decisions
        .filter(|decision| decision["action"] == "update")
        .map(|decision| Change {
            workload: text(&decision["workload"]),
            container: text(&decision["container"]),
            current: text(&decision["current"]),
            target: text(&decision["target"]),
        })
        .collect()
}

#[test]
fn a_year_of_flux_is_decided_and_written_again() {
    let Some(folder) = bundles() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("voice-infra");
    let tags = scratch.path().join("tags.json");
    let repository = unpack(&folder.join("history-2020.bundle"), &root);
    let lines = std::fs::read_to_string(folder.join("decisions-2020.jsonl")).unwrap();
    let mut different: BTreeMap<String, usize> = BTreeMap::new();
    let (mut same, mut reformatted) = (0, 0);
    for line in lines.lines() {
        let recorded: Recorded = serde_json::from_str(line).unwrap();
        check_out(&repository, &recorded.parent);
        std::fs::write(&tags, tags_of(&recorded).to_string()).unwrap();
        let (status, plan) = plan(&root, &tags, true);
        let updated = updates(&plan);
        assert_eq!(status == 3, !updated.is_empty(), "{}: {plan:#}", recorded.commit);
        let missed: Vec<&Change> = recorded.changes.iter().filter(|change| !updated.contains(change)).collect();
        let wanted = recorded.changes.len() - missed.len();
        assert_eq!(updated.len(), wanted, "{}: something else was changed: {plan:#}", recorded.commit);
        if !missed.is_empty() {
            let why: BTreeSet<String> = missed
                .iter()
                .map(|change| {
                    let mut decisions = plan["decisions"].as_array().unwrap().iter();
                    let decision = decisions.find(|decision| {
                        decision["workload"] == *change.workload && decision["container"] == *change.container
                    });
                    outcome(decision.expect("every image appears"))
                })
                .collect();
            assert_eq!(why.len(), 1, "{}: {why:?}", recorded.commit);
            *different.entry(why.into_iter().next().unwrap()).or_default() += 1;
            continue;
        }
        let commit = repository.find_commit(Oid::from_str(&recorded.commit).unwrap()).unwrap();
        let diff = repository.diff_tree_to_workdir(Some(&commit.tree().unwrap()), None).unwrap();
        match diff.deltas().len() {
            0 => same += 1,
            _ => reformatted += 1,
        }
    }
    let expected: BTreeMap<String, usize> = DIFFERENT.map(|(why, count)| (why.to_owned(), count)).into();
    assert_eq!(different, expected);
    // Flux re-indented lists and added `---` the first time that it touched a file; six of these eight are among the
    // commits that we would not have made.
    assert_eq!((same, reformatted), (628, 2));
    println!("{same} commits byte for byte, {reformatted} without Flux's reformatting, {different:?} not made");
}

#[test]
fn every_state_of_the_year_is_planned_on() {
    let Some(folder) = bundles() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let tags = scratch.path().join("tags.json");
    std::fs::write(&tags, r#"{"images":{"itsre/voice-web":[],"mozilla/commonvoice":[]}}"#).unwrap();
    let mut faults = BTreeSet::new();
    let mut seen = 0;
    for (bundle, floor) in [("history-2020.bundle", 941), ("kustomize-2019.bundle", 446)] {
        let root = scratch.path().join(bundle);
        let repository = unpack(&folder.join(bundle), &root);
        let mut walk = repository.revwalk().unwrap();
        walk.push_head().unwrap();
        let commits: Vec<Oid> = walk.map(|id| id.unwrap()).collect();
        assert_eq!(commits.len(), floor, "{bundle}");
        // Automation's commits change a tag, which changes nothing here: every state that a person left, and the last.
        for id in commits {
            let commit = repository.find_commit(id).unwrap();
            if commit.author().name().ok() == Some("Weave Flux") && seen % 10 != 0 {
                seen += 1;
                continue;
            }
            seen += 1;
            check_out(&repository, &id.to_string());
            let (status, plan) = plan(&root, &tags, false);
            assert_eq!(status, 0, "{id}: {plan:#}");
            for decision in plan["decisions"].as_array().unwrap() {
                assert!(decision["target"].is_null(), "{id}: {decision}");
                assert!(root.join(decision["file"].as_str().unwrap()).is_file(), "{id}: {decision}");
                assert!(decision["line"].as_u64() > Some(0), "{id}: {decision}");
            }
            for error in plan["errors"].as_array().unwrap() {
                assert!(root.join(error["file"].as_str().unwrap()).is_file(), "{id}: {error}");
                assert!(error["line"].as_u64() > Some(0) && error["column"].as_u64() > Some(0), "{id}: {error}");
                faults.insert(error["text"].as_str().unwrap().to_owned());
            }
        }
    }
    // What people really committed that year: each is told, and none stops the rest.
    let told = |part: &str| faults.iter().any(|fault| fault.contains(part));
    assert!(told("no container \"chart-image\" (has: voice_web)"), "{faults:#?}");
    println!("{seen} states, {} different errors", faults.len());
    for fault in &faults {
        println!("  {fault}");
    }
}
