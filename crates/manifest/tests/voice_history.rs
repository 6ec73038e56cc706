//! The first user's year 2020: every image that Flux set, set again by the edit.

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use git2::{Oid, Repository, TreeWalkMode, TreeWalkResult};
use serde::Deserialize;
use tagboat_image::Reference;
use tagboat_manifest::{Change, ManifestFile, WorkloadId, set_images};

/// One commit of Flux's.
#[derive(Deserialize)]
struct Decision {
    commit: String,
    parent: String,
    changes: Vec<Decided>,
}

/// One image that it set.
#[derive(Deserialize)]
struct Decided {
    workload: WorkloadId,
    container: String,
    current: Reference,
    target: Reference,
}

/// Commits in which Flux also reformatted the file, the first time that it touched one written by hand.
const REFORMATTED: usize = 8;

fn history() -> Option<PathBuf> {
    let folder = match std::env::var_os("TAGBOAT_VOICE_INFRA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/voice-infra"),
    };
    let there = folder.join("history-2020.bundle").is_file();
    if !there {
        println!("NOT RUN: there is no history-2020.bundle in {}; set TAGBOAT_VOICE_INFRA", folder.display());
    }
    there.then_some(folder)
}

/// libgit2 cannot read bundles, the `git` program can.
fn unpack(folder: &Path, into: &Path) -> Repository {
    let status = Command::new("git")
        .args(["clone", "--quiet", "--bare", "--"])
        .arg(folder.join("history-2020.bundle"))
        .arg(into)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status()
        .expect("git runs");
    assert!(status.success(), "git clone: {status}");
    Repository::open_bare(into).expect("the clone is a repository")
}

fn decisions(folder: &Path) -> Vec<Decision> {
    std::fs::read_to_string(folder.join("decisions-2020.jsonl"))
        .expect("the decisions are readable")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a decision"))
        .collect()
}

/// The manifests of a commit, by path.
fn manifests(repository: &Repository, commit: &str) -> BTreeMap<String, Oid> {
    let commit = repository.find_commit(Oid::from_str(commit).expect("an oid")).expect("the commit is there");
    let mut out = BTreeMap::new();
    commit
        .tree()
        .expect("a tree")
        .walk(TreeWalkMode::PreOrder, |folder, entry| {
            let path = format!("{folder}{}", entry.name().unwrap_or_default());
            if path.starts_with("kubernetes/") && path.ends_with(".yaml") {
                out.insert(path, entry.id());
            }
            TreeWalkResult::Ok
        })
        .expect("a walk");
    out
}

/// Parsed files by blob: most of a commit's files are those of the commit before.
struct Files<'r> {
    repository: &'r Repository,
    parsed: HashMap<Oid, Rc<ManifestFile>>,
}

impl Files<'_> {
    fn text(&self, blob: Oid) -> String {
        let blob = self.repository.find_blob(blob).expect("the blob is there");
        String::from_utf8(blob.content().to_vec()).expect("UTF-8")
    }

    fn parse(&mut self, path: &str, blob: Oid) -> Rc<ManifestFile> {
        if let Some(file) = self.parsed.get(&blob) {
            return Rc::clone(file);
        }
        let file = Rc::new(ManifestFile::parse(path, self.text(blob).as_bytes()));
        self.parsed.insert(blob, Rc::clone(&file));
        file
    }

    fn file_of(&mut self, tree: &BTreeMap<String, Oid>, workload: &WorkloadId) -> String {
        let mut found = Vec::new();
        for (path, blob) in tree {
            if self.parse(path, *blob).workloads_named(workload).next().is_some() {
                found.push(path.clone());
            }
        }
        assert_eq!(found.len(), 1, "{workload} is in {found:?}");
        found.remove(0)
    }
}

#[test]
fn every_decision_of_2020_gives_the_commit_that_flux_made_or_less() {
    let Some(folder) = history() else { return };
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let repository = unpack(&folder, &temporary.path().join("history.git"));
    let mut files = Files { repository: &repository, parsed: HashMap::new() };

    let decisions = decisions(&folder);
    let mut exact = 0;
    let mut reformatted = Vec::new();
    let mut took = Duration::ZERO;
    for decision in &decisions {
        let parent = manifests(&repository, &decision.parent);
        let commit = manifests(&repository, &decision.commit);

        let mut by_file: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        for decided in &decision.changes {
            let path = files.file_of(&parent, &decided.workload);
            let file = files.parse(&path, parent[&path]);
            let workload = file.workloads_named(&decided.workload).next().expect("it was found there");
            let container = workload.container(&decided.container).expect("the container is there");
            assert_eq!(container.current.as_ref().expect("an image"), &decided.current, "{}", decision.commit);
            by_file.entry(path).or_default().push(Change {
                workload: decided.workload.clone(),
                container: decided.container.clone(),
                to: decided.target.clone(),
            });
        }

        let mut same = true;
        for (path, changes) in &by_file {
            let before = files.text(parent[path]);
            let start = Instant::now();
            let edited = set_images(&before, changes).expect("the edit is done");
            took += start.elapsed();
            assert!(edited.changed, "{} {path}", decision.commit);
            only_the_tags_differ(&before, &edited.text, &decision.changes);
            same &= edited.text == files.text(commit[path]);
        }
        if same {
            // Nothing else changed in the commit either.
            let touched: Vec<_> = commit.iter().filter(|(path, blob)| parent.get(*path) != Some(blob)).collect();
            assert_eq!(touched.len(), by_file.len(), "{}", decision.commit);
            exact += 1;
        } else {
            reformatted.push(decision.commit.as_str());
        }
    }
    println!("{exact} of {} decisions byte for byte, edited in {took:?}", decisions.len());
    assert_eq!(reformatted.len(), REFORMATTED, "{reformatted:?}");
    assert_eq!(exact, decisions.len() - REFORMATTED);
}

/// The same lines, and where one differs, the old tag is the new one.
fn only_the_tags_differ(before: &str, after: &str, changes: &[Decided]) {
    let (old, new): (Vec<_>, Vec<_>) = (before.split('\n').collect(), after.split('\n').collect());
    assert_eq!(old.len(), new.len());
    for (old, new) in old.iter().zip(&new).filter(|(old, new)| old != new) {
        let explained = changes.iter().any(|change| {
            let (from, to) = (change.current.tag().expect("a tag"), change.target.tag().expect("a tag"));
            old.replacen(from.as_str(), to.as_str(), 1) == **new
        });
        assert!(explained, "{old:?} became {new:?}");
    }
}

#[test]
fn every_file_of_2020_is_read_or_told_about() {
    let Some(folder) = history() else { return };
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let repository = unpack(&folder, &temporary.path().join("history.git"));
    let mut files = Files { repository: &repository, parsed: HashMap::new() };
    let mut walk = repository.revwalk().expect("a walk");
    walk.push_glob("refs/heads/*").expect("the branches");
    let mut blobs = HashMap::new();
    for commit in walk {
        for (path, blob) in manifests(&repository, &commit.expect("a commit").to_string()) {
            blobs.insert(blob, path);
        }
    }
    let mut objects = 0;
    let mut faults = BTreeMap::new();
    for (blob, path) in &blobs {
        let file = files.parse(path, *blob);
        objects += file.objects.len();
        for problem in file.problems.iter().filter(|problem| problem.is_error()) {
            faults.insert(problem.text.clone(), problem.to_string());
        }
        // A file is read whole, or says why not.
        assert!(!file.objects.is_empty() || !file.problems.is_empty() || files.text(*blob).trim().is_empty(), "{path}");
    }
    println!("{} files, {objects} objects; faults: {faults:#?}", blobs.len());
    assert!(objects > 0);
}

#[test]
fn the_newest_revision_of_2020_is_read_without_a_problem() {
    let Some(folder) = history() else { return };
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let repository = unpack(&folder, &temporary.path().join("history.git"));
    let newest = repository.head().expect("a head").peel_to_commit().expect("a commit").id().to_string();
    let mut files = Files { repository: &repository, parsed: HashMap::new() };
    let read: Vec<_> =
        manifests(&repository, &newest).into_iter().map(|(path, blob)| files.parse(&path, blob)).collect();
    let problems: Vec<_> = read.iter().flat_map(|file| &file.problems).map(ToString::to_string).collect();
    assert_eq!(problems, [""; 0]);
    assert_eq!(read.iter().map(|file| file.objects.len()).sum::<usize>(), 40);
    let blocked: Vec<_> = read.iter().flat_map(|file| &file.workloads).filter_map(|w| w.blocked_by()).collect();
    assert!(blocked.is_empty(), "{blocked:?}");
}
