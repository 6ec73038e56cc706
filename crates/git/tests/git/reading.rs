use crate::support::{Fixture, file, gone, open};
use std::os::unix::fs::symlink;
use tagboat_engine::ports::{FaultKind, GitRepository, Revision};
use tagboat_testkit::{NewCommit, Scratch};

#[tokio::test]
async fn the_first_fetch_brings_the_branch_and_its_manifests() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.local.head(), None);
    let head = fixture.local.fetch().await.unwrap();
    assert_eq!(Some(head.commit.revision.0.clone()), fixture.remote.head("main").unwrap());
    assert_eq!(head.commit.message.trim(), "Begin");
    assert_eq!(head.commit.author.name, "Dana");
    assert_eq!(fixture.local.head(), Some(head.clone()));
    let files = fixture.local.files(&head.commit.revision, &[]).await.unwrap();
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["kubernetes/dev/other.yaml", "kubernetes/dev/voice.yaml", "kubernetes/prod/voice.yaml"]);
    assert_eq!(files[0].bytes.as_ref(), b"image: other:1\r\n\ttabs and \xff bytes");
    assert_eq!(files[1].blob, files[2].blob);
}

#[tokio::test]
async fn a_fetch_of_an_unchanged_branch_asks_once_and_takes_no_objects() {
    let fixture = Fixture::new().await;
    let before = fixture.tip().await;
    fixture.server.forget_requests();
    assert_eq!(fixture.tip().await, before);
    let requests: Vec<_> = fixture.server.requests().into_iter().map(|request| request.uri).collect();
    // Protocol version 2: what the server can do, then the one branch. A third would fetch objects.
    assert_eq!(requests, ["/infra.git/info/refs?service=git-upload-pack", "/infra.git/git-upload-pack"]);
}

#[tokio::test]
async fn paths_narrow_the_manifests_and_a_missing_one_is_named() {
    let fixture = Fixture::new().await;
    let tip = fixture.tip().await;
    let under = async |paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        fixture.local.files(&tip, &paths).await.map(|files| files.into_iter().map(|file| file.path).collect::<Vec<_>>())
    };
    assert_eq!(under(&["kubernetes/prod/", "./kubernetes/prod"]).await.unwrap(), ["kubernetes/prod/voice.yaml"]);
    assert_eq!(under(&["kubernetes/dev/voice.yaml"]).await.unwrap(), ["kubernetes/dev/voice.yaml"]);
    assert_eq!(under(&["."]).await.unwrap().len(), 3);
    let fault = under(&["kubernetes/prod", "kubernetes/staging"]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert!(fault.text.contains("kubernetes/staging") && fault.text.contains(tip.short()), "{fault}");
    for path in ["/etc", "../x", "kubernetes/../../x"] {
        assert_eq!(under(&[path]).await.unwrap_err().kind, FaultKind::Invalid, "{path}");
    }
}

#[tokio::test]
async fn charts_and_symbolic_links_are_not_read() {
    let fixture = Fixture::new().await;
    let work = Scratch::new("git-work").unwrap();
    for path in
        ["a/Chart.yaml", "a/values.yaml", "a/templates/x.yaml", "b/Chart.yaml", "c/x.yml", "c/y.json", "c/z.txt"]
    {
        work.write(path, "{}").unwrap();
    }
    symlink("/etc/passwd", work.join("c/passwd.yaml")).unwrap();
    symlink("c", work.join("d")).unwrap();
    fixture.remote.commit_folder("main", work.path(), "Add charts and links").unwrap();
    let tip = fixture.tip().await;
    let files = fixture.local.files(&tip, &[]).await.unwrap();
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["b/Chart.yaml", "c/x.yml", "c/y.json"]);
    assert_eq!(fixture.local.files(&tip, &["a/templates".into()]).await.unwrap(), []);
    let skipped = fixture.local.skipped(&tip, &[]).await.unwrap();
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0].path == "c/passwd.yaml" && skipped[0].reason.contains("symbolic link"), "{skipped:?}");
    assert_eq!(fixture.local.files(&tip, &["d".into()]).await.unwrap(), []);
}

#[tokio::test]
async fn a_manifest_that_is_too_large_hurts_only_itself() {
    let fixture = Fixture::with(|config| config.limits.file_bytes = 100).await;
    fixture.remote.commit("main", &NewCommit::file("Grow", "kubernetes/big.yaml", &[b'#'; 101])).unwrap();
    let tip = fixture.tip().await;
    assert_eq!(fixture.local.files(&tip, &[]).await.unwrap().len(), 3);
    let skipped = fixture.local.skipped(&tip, &[]).await.unwrap();
    assert_eq!(skipped[0].path, "kubernetes/big.yaml");
    assert!(skipped[0].reason.contains("101 bytes") && skipped[0].reason.contains("limit is 100"), "{skipped:?}");
}

#[tokio::test]
async fn limits_are_named_when_they_are_reached() {
    type Case = (fn(&mut tagboat_git::Limits), &'static str);
    let table: [Case; 4] = [
        (|limits| limits.files = 2, "2 files"),
        (|limits| limits.depth = 1, "1 folders"),
        (|limits| limits.total_bytes = 20, "20 bytes"),
        (|limits| limits.clone_bytes = 1, "0 MiB"),
    ];
    for (adjust, allowed) in table {
        let fixture = Fixture::with(|config| adjust(&mut config.limits)).await;
        let fault = match fixture.local.fetch().await {
            Ok(head) => fixture.local.files(&head.commit.revision, &[]).await.unwrap_err(),
            Err(fault) => fault,
        };
        assert_eq!(fault.kind, FaultKind::Limit, "{fault}");
        assert!(fault.text.contains(allowed), "{fault}");
    }
}

#[tokio::test]
async fn a_deleted_branch_is_not_found_and_the_clone_stays() {
    let fixture = Fixture::new().await;
    let tip = fixture.tip().await;
    fixture.remote.git(&["update-ref", "-d", "refs/heads/main"]).unwrap();
    let fault = fixture.local.fetch().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert!(fault.text.contains("branch main does not exist in http://127.0.0.1"), "{fault}");
    assert_eq!(fixture.local.files(&tip, &[]).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_rewritten_history_is_followed() {
    let fixture = Fixture::new().await;
    let first = fixture.tip().await;
    let second = fixture.remote.commit("main", &NewCommit::file("More", "x.yaml", b"x")).unwrap();
    assert_eq!(fixture.tip().await.0, second);
    fixture.remote.set_branch("main", &first.0).unwrap();
    fixture.remote.commit("main", &NewCommit::new("Other", vec![gone("kubernetes/dev/voice.yaml")])).unwrap();
    let tip = fixture.tip().await;
    assert_eq!(Some(tip.0.clone()), fixture.remote.head("main").unwrap());
    assert_eq!(fixture.local.files(&tip, &[]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_unknown_revision_is_not_found_and_nonsense_is_invalid() {
    let fixture = Fixture::new().await;
    fixture.tip().await;
    let files = async |revision: &str| fixture.local.files(&Revision(revision.into()), &[]).await.unwrap_err().kind;
    assert_eq!(files("0123456789012345678901234567890123456789").await, FaultKind::NotFound);
    for nonsense in ["", "HEAD", "main", "0123", "--output=x", "refs/remotes/origin/main"] {
        assert_eq!(files(nonsense).await, FaultKind::Invalid, "{nonsense}");
    }
}

#[tokio::test]
async fn two_processes_cannot_share_a_cache() {
    let fixture = Fixture::new().await;
    let config = crate::support::config(&fixture.server.url(&fixture.remote), fixture.folder.path());
    let second = tagboat_git::Repository::open(config, std::sync::Arc::new(crate::support::StoppedClock)).await;
    assert!(second.unwrap_err().to_string().contains("in use by another process"));
}

#[tokio::test]
async fn a_cache_of_another_repository_is_not_taken_for_this_one() {
    let fixture = Fixture::new().await;
    let old = fixture.tip().await;
    let Fixture { server, folder, local, remote: _remote } = fixture;
    drop(local);
    let other = server.create_repository("other").unwrap();
    other.commit("main", &NewCommit::new("Elsewhere", vec![file("y.yaml", b"y")])).unwrap();
    let local = open(crate::support::config(&server.url(&other), folder.path())).await;
    assert_eq!(local.files(&old, &[]).await.unwrap_err().kind, FaultKind::NotFound);
    let tip = local.fetch().await.unwrap().commit.revision;
    assert_eq!(local.files(&tip, &[]).await.unwrap().len(), 1);
}
