use crate::support::{Fixture, file, gone};
use tagboat_engine::ports::{GitRepository, PathHistory};
use tagboat_testkit::NewCommit;

const FILE: &str = "kubernetes/dev/voice.yaml";

async fn history(fixture: &Fixture, path: &str, limit: usize) -> PathHistory {
    let tip = fixture.tip().await;
    fixture.local.history(&tip, path, limit).await.unwrap()
}

/// Subject, path, before and after of each change.
fn lines(history: &PathHistory) -> Vec<String> {
    let text = |bytes: &Option<bytes::Bytes>| {
        bytes.as_ref().map_or("-".into(), |bytes| String::from_utf8_lossy(bytes).trim().replace('\n', "|"))
    };
    let line = |change: &tagboat_engine::ports::PathChange| {
        format!("{} {} {} > {}", change.commit.message.trim(), change.path, text(&change.before), text(&change.after))
    };
    history.changes.iter().map(line).collect()
}

#[tokio::test]
async fn only_commits_that_change_the_file_are_told_newest_first() {
    let fixture = Fixture::new().await;
    fixture.remote.commit("main", &NewCommit::file("Two", FILE, b"image: voice:2\n")).unwrap();
    fixture.remote.commit("main", &NewCommit::file("Beside", "kubernetes/dev/other.yaml", b"x")).unwrap();
    fixture.remote.commit("main", &NewCommit::file("Three", FILE, b"image: voice:3\n")).unwrap();
    let all = history(&fixture, FILE, 10).await;
    assert!(all.complete);
    assert_eq!(
        lines(&all),
        [
            format!("Three {FILE} image: voice:2 > image: voice:3"),
            format!("Two {FILE} image: voice:1 > image: voice:2"),
            format!("Begin {FILE} - > image: voice:1"),
        ]
    );
    let two = history(&fixture, FILE, 2).await;
    assert!(!two.complete);
    assert_eq!(two.changes, all.changes[..2]);
    assert!(history(&fixture, FILE, 3).await.complete);
}

#[tokio::test]
async fn a_rename_is_followed_with_and_without_a_change() {
    let fixture = Fixture::new().await;
    let long =
        |tag: u8| format!("kind: HelmRelease\nmetadata:\n  name: voice\nspec:\n  values:\n    image: voice:{tag}\n");
    fixture.remote.commit("main", &NewCommit::file("Lengthen", FILE, long(1).as_bytes())).unwrap();
    let moved = "environments/dev/voice.yaml";
    fixture.remote.commit("main", &NewCommit::new("Move", vec![gone(FILE), file(moved, long(1).as_bytes())])).unwrap();
    fixture.remote.commit("main", &NewCommit::file("Two", moved, long(2).as_bytes())).unwrap();
    let named = "environments/dev/release.yaml";
    fixture
        .remote
        .commit("main", &NewCommit::new("Rename and set three", vec![gone(moved), file(named, long(3).as_bytes())]))
        .unwrap();
    let history = history(&fixture, named, 10).await;
    assert!(history.complete);
    let told: Vec<_> = history
        .changes
        .iter()
        .map(|change| (change.commit.message.trim(), change.path.as_str(), change.before.is_some()))
        .collect();
    assert_eq!(
        told,
        [("Rename and set three", named, true), ("Two", moved, true), ("Lengthen", FILE, true), ("Begin", FILE, false)]
    );
    assert_eq!(history.changes[0].before.as_deref(), Some(long(2).as_bytes()));
    assert_eq!(history.changes[0].after.as_deref(), Some(long(3).as_bytes()));
}

#[tokio::test]
async fn of_two_equal_files_the_one_with_the_same_name_is_the_origin() {
    let fixture = Fixture::new().await;
    let prod = "kubernetes/prod/voice.yaml";
    fixture.remote.commit("main", &NewCommit::file("Prod", prod, b"image: voice:0\n")).unwrap();
    fixture.remote.commit("main", &NewCommit::file("Prod back", prod, b"image: voice:1\n")).unwrap();
    let changes = vec![
        gone(FILE),
        gone("kubernetes/dev/other.yaml"),
        gone(prod),
        file("live/prod.yaml", b"image: voice:1\n"),
        file("live/voice.yaml", b"image: voice:1\n"),
    ];
    fixture.remote.commit("main", &NewCommit::new("Move", changes)).unwrap();
    let history = history(&fixture, "live/voice.yaml", 10).await;
    assert!(history.changes.iter().all(|change| change.path.ends_with("/voice.yaml")), "{:?}", lines(&history));
}

#[tokio::test]
async fn a_file_that_was_removed_and_put_back_keeps_its_history() {
    let fixture = Fixture::new().await;
    fixture.remote.commit("main", &NewCommit::new("Remove", vec![gone(FILE)])).unwrap();
    fixture.remote.commit("main", &NewCommit::file("Put back", FILE, b"image: voice:2\n")).unwrap();
    assert_eq!(
        lines(&history(&fixture, FILE, 10).await),
        [
            format!("Put back {FILE} - > image: voice:2"),
            format!("Remove {FILE} image: voice:1 > -"),
            format!("Begin {FILE} - > image: voice:1"),
        ]
    );
}

#[tokio::test]
async fn a_merge_stands_for_the_branch_that_it_brought() {
    let fixture = Fixture::new().await;
    fixture.remote.git(&["branch", "side", "main"]).unwrap();
    fixture.remote.commit("side", &NewCommit::file("On the side", FILE, b"image: voice:2\n")).unwrap();
    fixture.remote.commit("side", &NewCommit::file("On the side again", FILE, b"image: voice:3\n")).unwrap();
    let merge = [
        "-c",
        "user.name=Dana",
        "-c",
        "user.email=dana@example.org",
        "commit-tree",
        "-p",
        "main",
        "-p",
        "side",
        "-m",
        "Merge",
        "side^{tree}",
    ];
    let merge = fixture.remote.git(&merge).unwrap();
    fixture.remote.set_branch("main", merge.trim()).unwrap();
    assert_eq!(
        lines(&history(&fixture, FILE, 10).await),
        [format!("Merge {FILE} image: voice:1 > image: voice:3"), format!("Begin {FILE} - > image: voice:1")]
    );
}

#[tokio::test]
async fn a_path_that_never_was_has_an_empty_history() {
    let fixture = Fixture::new().await;
    for path in ["none.yaml", "kubernetes", "kubernetes/dev/voice.yaml/below"] {
        let history = history(&fixture, path, 10).await;
        assert_eq!((history.changes.len(), history.complete), (0, true), "{path}");
    }
}
