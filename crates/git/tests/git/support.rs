use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tagboat_engine::ports::{ChangeId, Clock, CommitPlan, FileEdit, GitRepository, Person, Revision, SourceId};
use tagboat_git::{Credentials, GitConfig, Repository, SecretValue};
use tagboat_testkit::{self as testkit, Change, GitHttp, NewCommit, Scratch};

/// The time of every commit that Tagboat makes here.
pub(crate) const NOW: &str = "2020-12-25T16:00:00Z";

/// A wall clock that stands still; waiting is real.
pub(crate) struct StoppedClock;

#[async_trait]
impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

/// A configuration for a URL on loopback.
pub(crate) fn config(url: &str, directory: &Path) -> GitConfig {
    let author = Person { name: "Tagboat".into(), email: "tagboat@example.org".into() };
    let mut config = GitConfig::new(SourceId("infra".into()), url, "main", directory.join("cache"), author);
    config.allow_http = true;
    config.timeout = Duration::from_secs(20);
    config
}

pub(crate) async fn open(config: GitConfig) -> Repository {
    Repository::open(config, Arc::new(StoppedClock)).await.unwrap()
}

pub(crate) fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.into(), password: SecretValue::Inline(SecretString::from(password)) }
}

/// A server with a small repository, and Tagboat's side of it.
pub(crate) struct Fixture {
    pub(crate) server: GitHttp,
    pub(crate) remote: testkit::Repository,
    pub(crate) folder: Scratch,
    pub(crate) local: Repository,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(&mut GitConfig)) -> Self {
        let server = GitHttp::start().unwrap();
        let remote = server.create_repository("infra").unwrap();
        remote
            .commit(
                "main",
                &NewCommit::new(
                    "Begin",
                    vec![
                        file("kubernetes/dev/voice.yaml", b"image: voice:1\n"),
                        file("kubernetes/dev/other.yaml", b"image: other:1\r\n\ttabs and \xff bytes"),
                        file("kubernetes/prod/voice.yaml", b"image: voice:1\n"),
                        file("run.sh", b"#!/bin/sh\n"),
                        file("README.md", b"# Infrastructure\n"),
                    ],
                ),
            )
            .unwrap();
        let folder = Scratch::new("git-cache").unwrap();
        let mut config = config(&server.url(&remote), folder.path());
        adjust(&mut config);
        let local = open(config).await;
        Self { server, remote, folder, local }
    }

    /// Fetches and gives the tip.
    pub(crate) async fn tip(&self) -> Revision {
        self.local.fetch().await.unwrap().commit.revision
    }

    /// The bare clone.
    pub(crate) fn clone_path(&self) -> std::path::PathBuf {
        self.folder.join("cache/repository.git")
    }

    /// Opens the same cache again, as a new process would.
    pub(crate) async fn reopen(self) -> Self {
        let Self { server, remote, folder, local } = self;
        drop(local);
        let local = open(config(&server.url(&remote), folder.path())).await;
        Self { server, remote, folder, local }
    }
}

pub(crate) fn file<'a>(path: &'a str, content: &'a [u8]) -> Change<'a> {
    Change { path, content: Some(content) }
}

pub(crate) fn gone(path: &str) -> Change<'_> {
    Change { path, content: None }
}

/// A plan that writes one file.
pub(crate) fn plan(parent: &Revision, path: &str, content: &str, change_id: &str) -> CommitPlan {
    CommitPlan {
        parent: parent.clone(),
        edits: vec![FileEdit { path: path.into(), bytes: content.to_owned().into() }],
        message: format!("Auto-release voice:2\n\nTagboat-Change-Id: {change_id}\nTagboat-Image: voice:2\n"),
        change_id: ChangeId(change_id.into()),
    }
}

/// Process ids of programs that have this text in their environment or arguments.
pub(crate) fn processes_of(text: &Path) -> Vec<String> {
    let text = text.to_str().unwrap().as_bytes();
    let own = std::process::id().to_string();
    let ids = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    ids.filter(|id| id.bytes().all(|b| b.is_ascii_digit()) && *id != own)
        .filter(|id| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.windows(text.len()).any(|window| window == text)
        })
        .collect()
}
