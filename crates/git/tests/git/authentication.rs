use crate::support::{Fixture, basic, config, open, plan};
use std::time::Duration;
use tagboat_engine::ports::{FaultKind, GitRepository, PushOutcome};
use tagboat_git::{Credentials, SecretValue};
use tagboat_testkit::{Fault, GitHttp, NewCommit, Scratch};

struct Guarded {
    server: GitHttp,
    remote: tagboat_testkit::Repository,
    folder: Scratch,
    credentials: tagboat_testkit::Credentials,
}

impl Guarded {
    fn new() -> Self {
        let credentials = tagboat_testkit::Credentials::random("robot");
        let server = GitHttp::start_with(Some(&credentials)).unwrap();
        let remote = server.create_repository("infra").unwrap();
        remote.commit("main", &NewCommit::file("Begin", "x.yaml", b"image: x:1\n")).unwrap();
        Self { server, remote, folder: Scratch::new("git-cache").unwrap(), credentials }
    }

    async fn open(&self, credentials: Credentials) -> tagboat_git::Repository {
        let mut config = config(&self.server.url(&self.remote), self.folder.path());
        config.credentials = credentials;
        open(config).await
    }
}

#[tokio::test]
async fn the_right_password_lets_in_and_never_shows_in_arguments_or_on_disk() {
    let guarded = Guarded::new();
    let password = guarded.credentials.password.clone();
    let local = guarded.open(basic("robot", &password)).await;
    let tip = local.fetch().await.unwrap().commit.revision;
    // While our git waits for the server, the server's hook looks at everybody's arguments.
    let hook =
        "#!/bin/sh\nfor file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done >$GIT_DIR/seen 2>/dev/null\n";
    guarded.remote.install_hook("pre-receive", hook).unwrap();
    let outcome = local.push(&plan(&tip, "x.yaml", "image: x:2\n", "id-1")).await.unwrap();
    assert!(matches!(outcome, PushOutcome::Landed(_)), "{outcome:?}");
    let seen = std::fs::read_to_string(guarded.remote.path().join("seen")).unwrap();
    assert!(seen.contains("push --porcelain"), "{seen}");
    let header = guarded.credentials.basic();
    let encoded = header.trim_start_matches("Basic ");
    assert!(!seen.contains(&password) && !seen.contains(encoded));
    let mut folders = vec![guarded.folder.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.metadata().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let content = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
            assert!(!content.contains(&password) && !content.contains(encoded), "{}", entry.path().display());
            files += 1;
        }
    }
    assert!(files > 3, "{files}");
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_denied_and_not_repeated() {
    let guarded = Guarded::new();
    for (credentials, why) in
        [(basic("robot", "wrong-pass-word"), "is wrong"), (Credentials::None, "none are configured")]
    {
        let local = guarded.open(credentials).await;
        let fault = local.fetch().await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
        assert!(fault.text.contains("http://127.0.0.1") && fault.text.contains(why), "{fault}");
        assert!(!fault.text.contains("wrong-pass-word"), "{fault}");
    }
}

#[tokio::test]
async fn a_rotated_password_is_used_without_a_restart() {
    let guarded = Guarded::new();
    let file = guarded.folder.write("password", "outdated-one\n").unwrap();
    let local =
        guarded.open(Credentials::Basic { username: "robot".into(), password: SecretValue::File(file.clone()) }).await;
    assert_eq!(local.fetch().await.unwrap_err().kind, FaultKind::Denied);
    std::fs::write(file, format!("{}\n", guarded.credentials.password)).unwrap();
    local.fetch().await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_password_goes_elsewhere() {
    let guarded = Guarded::new();
    let elsewhere = GitHttp::start().unwrap();
    let decoy = elsewhere.create_repository("infra").unwrap();
    decoy.commit("main", &NewCommit::file("Decoy", "x.yaml", b"image: evil:1\n")).unwrap();
    let local = guarded.open(basic("robot", &guarded.credentials.password)).await;
    let location = format!("{}/info/refs?service=git-upload-pack", elsewhere.url(&decoy));
    let redirect = Fault { headers: vec![("location", location)], ..Fault::status(302) };
    guarded.server.fail_next(1, &redirect);
    let fault = local.fetch().await.unwrap_err();
    assert!(fault.text.contains("redirects"), "{fault}");
    assert_eq!(elsewhere.requests().len(), 0);
    local.fetch().await.unwrap();
}

#[tokio::test]
async fn what_a_server_answers_decides_the_kind_of_fault() {
    let fixture = Fixture::new().await;
    for (status, kind) in [
        (500, FaultKind::Unavailable),
        (503, FaultKind::Unavailable),
        (429, FaultKind::Throttled),
        (404, FaultKind::NotFound),
        (403, FaultKind::Denied),
    ] {
        fixture.server.fail_next(1, &Fault::status(status));
        let fault = fixture.local.fetch().await.unwrap_err();
        assert_eq!(fault.kind, kind, "{status}: {fault}");
    }
    fixture.local.fetch().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_late_or_gone_is_a_transient_fault() {
    let fixture = Fixture::with(|config| config.timeout = Duration::from_secs(1)).await;
    fixture.tip().await;
    fixture.server.fail_next(1, &Fault::late(Duration::from_secs(5)));
    let fault = fixture.local.fetch().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
    assert!(fault.text.contains("fetching main of http://127.0.0.1"), "{fault}");
    let Fixture { server, local, .. } = fixture;
    drop(server);
    let fault = local.fetch().await.unwrap_err();
    assert!(fault.is_transient(), "{fault}");
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_before_anything_starts() {
    let folder = Scratch::new("git-cache").unwrap();
    for (url, branch) in [
        ("ext::sh -c touch% pwned", "main"),
        ("http://127.0.0.1/x", "--upload-pack=touch pwned"),
        ("file:///etc", "a..b"),
    ] {
        let mut config = config(url, folder.path());
        config.branch = branch.into();
        let clock = std::sync::Arc::new(crate::support::StoppedClock);
        let error = tagboat_git::Repository::open(config, clock).await.unwrap_err();
        assert!(error.to_string().starts_with("source infra: "), "{error}");
    }
    assert!(!folder.join("cache").exists());
}
