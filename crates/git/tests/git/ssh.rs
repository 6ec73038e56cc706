use crate::support::{config, open, plan};
use tagboat_engine::ports::{FaultKind, GitRepository, PushOutcome};
use tagboat_git::{Credentials, KnownHosts, SecretValue};
use tagboat_testkit::{GitSsh, NewCommit, Repository, Scratch};

struct Fixture {
    server: GitSsh,
    remote: Repository,
    folder: Scratch,
}

impl Fixture {
    async fn new() -> Self {
        let server = GitSsh::start().await.unwrap();
        let remote = server.create_repository("infra").unwrap();
        remote.commit("main", &NewCommit::file("Begin", "x.yaml", b"image: x:1\n")).unwrap();
        Self { server, remote, folder: Scratch::new("git-cache").unwrap() }
    }

    async fn open(&self, known_hosts: String) -> tagboat_git::Repository {
        let mut config = config(&self.server.url(&self.remote), self.folder.path());
        config.credentials = Credentials::Ssh {
            identity: SecretValue::File(self.server.client_key()),
            known_hosts: KnownHosts::Inline(known_hosts),
        };
        open(config).await
    }
}

#[tokio::test]
async fn fetch_and_push_work_over_ssh() {
    let fixture = Fixture::new().await;
    let local = fixture.open(fixture.server.known_hosts().unwrap()).await;
    let tip = local.fetch().await.unwrap().commit.revision;
    let outcome = local.push(&plan(&tip, "x.yaml", "image: x:2\n", "id-1")).await.unwrap();
    let PushOutcome::Landed(commit) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fixture.remote.head("main").unwrap(), Some(commit.revision.0));
    let human = fixture.remote.commit("main", &NewCommit::file("By hand", "x.yaml", b"image: x:3\n")).unwrap();
    let outcome = local.push(&plan(&tip, "x.yaml", "image: x:4\n", "id-2")).await.unwrap();
    assert!(matches!(&outcome, PushOutcome::Moved(head) if head.commit.revision.0 == human), "{outcome:?}");
}

#[tokio::test]
async fn a_hooks_refusal_comes_back_without_sshs_own_chatter() {
    let fixture = Fixture::new().await;
    let local = fixture.open(fixture.server.known_hosts().unwrap()).await;
    let tip = local.fetch().await.unwrap().commit.revision;
    fixture.remote.install_hook("pre-receive", "#!/bin/sh\necho 'No pushes on Fridays.' >&2\nexit 1\n").unwrap();
    let outcome = local.push(&plan(&tip, "x.yaml", "image: x:2\n", "id-1")).await.unwrap();
    assert_eq!(outcome, PushOutcome::Refused("pre-receive hook declined: No pushes on Fridays.".into()));
}

#[tokio::test]
async fn a_changed_host_key_is_refused_by_name_and_fingerprint() {
    let mut fixture = Fixture::new().await;
    let local = fixture.open(fixture.server.known_hosts().unwrap()).await;
    let tip = local.fetch().await.unwrap().commit.revision;
    fixture.server.rotate_host_key().await.unwrap();
    let fault = local.fetch().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.text.contains("host key of 127.0.0.1") && fault.text.contains("ssh-ed25519 SHA256:"), "{fault}");
    assert!(fault.text.contains("is another than the one in known_hosts"), "{fault}");
    let fault = local.push(&plan(&tip, "x.yaml", "image: x:2\n", "id-1")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
    assert_eq!(fixture.remote.head("main").unwrap(), Some(tip.0));
    assert!(!fixture.server.log_tail().contains("Accepted publickey"), "{}", fixture.server.log_tail());
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_by_name_and_fingerprint() {
    let fixture = Fixture::new().await;
    let local = fixture.open(String::new()).await;
    let fault = local.fetch().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.text.contains("is unknown"), "{fault}");
    assert!(fault.text.contains("host key of 127.0.0.1") && fault.text.contains("ssh-ed25519 SHA256:"), "{fault}");
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_denied() {
    let fixture = Fixture::new().await;
    let stranger = GitSsh::start().await.unwrap();
    let mut config = config(&fixture.server.url(&fixture.remote), fixture.folder.path());
    config.credentials = Credentials::Ssh {
        identity: SecretValue::File(stranger.client_key()),
        known_hosts: KnownHosts::Inline(fixture.server.known_hosts().unwrap()),
    };
    let fault = open(config).await.fetch().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
    assert!(fault.text.contains("Permission denied (publickey)"), "{fault}");
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_not_found() {
    let fixture = Fixture::new().await;
    let mut config = config(&format!("{}x", fixture.server.url(&fixture.remote)), fixture.folder.path());
    config.credentials = Credentials::Ssh {
        identity: SecretValue::File(fixture.server.client_key()),
        known_hosts: KnownHosts::Inline(fixture.server.known_hosts().unwrap()),
    };
    let fault = open(config).await.fetch().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound, "{fault}");
}
