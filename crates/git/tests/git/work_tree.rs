//! A checkout on a developer's disk.

use crate::support::file;
use tagboat_git::WorkTree;
use tagboat_testkit::{NewCommit, Repository, Scratch};

const FILE: &str = "kubernetes/dev/voice.yaml";

/// A checkout of a remote with three commits, cloned with more options.
fn checkout(options: &[&str]) -> (Repository, Scratch) {
    let remote = Repository::create("infra").unwrap();
    for tag in 1..=3 {
        let content = format!("image: voice:{tag}\n");
        remote.commit("main", &NewCommit::new("Set", vec![file(FILE, content.as_bytes())])).unwrap();
    }
    let folder = Scratch::new("git-checkout").unwrap();
    let (url, target) = (format!("file://{}", remote.path().display()), folder.join("infra"));
    let mut arguments = vec!["clone", "--quiet"];
    arguments.extend(options);
    arguments.extend([url.as_str(), target.to_str().unwrap()]);
    remote.git(&arguments).unwrap();
    (remote, folder)
}

#[test]
fn history_is_read_from_any_folder_of_a_checkout() {
    let (_remote, folder) = checkout(&[]);
    for (below, path) in [("infra", FILE), ("infra/kubernetes", "dev/voice.yaml")] {
        let tree = WorkTree::discover(&folder.join(below)).unwrap().unwrap();
        let history = tree.history(path, 10).unwrap();
        assert_eq!((history.changes.len(), history.complete), (3, true), "{below}");
    }
}

#[test]
fn the_history_of_a_shallow_checkout_says_that_it_is_incomplete() {
    let (_remote, folder) = checkout(&["--depth=2"]);
    let history = WorkTree::discover(&folder.join("infra")).unwrap().unwrap().history(FILE, 10).unwrap();
    assert_eq!((history.changes.len(), history.complete), (1, false), "{:?}", history.changes);
}

#[test]
fn a_folder_outside_of_git_is_no_work_tree() {
    let folder = Scratch::new("no-git").unwrap();
    assert!(WorkTree::discover(folder.path()).unwrap().is_none());
}
