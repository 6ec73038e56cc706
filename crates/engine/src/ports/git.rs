use super::Fault;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of one configured repository. Every type that can be many carries it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub String);

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A commit's object id: 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub String);

impl Revision {
    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a `Tagboat-Change-Id` trailer: tells our commit again after a push whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChangeId(pub String);

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A commit's author or committer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Person {
    /// As in the commit, lossily decoded.
    pub name: String,
    /// As in the commit, lossily decoded.
    pub email: String,
}

/// What a commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMeta {
    /// Its object id.
    pub revision: Revision,
    /// Who wrote it.
    pub author: Person,
    /// Who made the commit.
    pub committer: Person,
    /// The committer date.
    pub committed: Timestamp,
    /// The whole message, lossily decoded.
    pub message: String,
}

/// The tip of the branch, as last fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit at the tip.
    pub commit: CommitMeta,
    /// When it was fetched.
    pub fetched: Timestamp,
}

/// One file at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFile {
    /// From the repository's root, with `/`.
    pub path: String,
    /// The blob's object id: equal ids are equal bytes.
    pub blob: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// A manifest that is there and was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedFile {
    /// From the repository's root, with `/`.
    pub path: String,
    /// Why: it is too large, or a symbolic link.
    pub reason: String,
}

/// A first-parent commit that changed one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange {
    /// The commit.
    pub commit: CommitMeta,
    /// The file's path in that commit (an exact rename is followed backwards).
    pub path: String,
    /// The bytes in its first parent; `None` where the file was added.
    pub before: Option<Bytes>,
    /// The bytes in the commit; `None` where the file was removed.
    pub after: Option<Bytes>,
    /// For a merge, the merged commits that changed the file, newest first: they tell whose change it is. Empty for any
    /// other commit, and in these.
    pub merged: Vec<Self>,
}

/// The history of one file along first parents, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathHistory {
    /// Newest first.
    pub changes: Vec<PathChange>,
    /// Whether it goes back to where the file came from; `false` where a limit or a shallow clone ended it.
    pub complete: bool,
}

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// From the repository's root, with `/`. The file must exist at the parent.
    pub path: String,
    /// The new bytes.
    pub bytes: Bytes,
}

/// A commit to make and push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPlan {
    /// What it was planned on: the commit's parent, and what the branch must still be when the push lands.
    pub parent: Revision,
    /// The files to write; at least one, and at least one differs.
    pub edits: Vec<FileEdit>,
    /// The whole message, trailers included.
    pub message: String,
    /// The id that stands in the message's trailer.
    pub change_id: ChangeId,
}

/// What became of a push. An unknown outcome is settled by fetching before this is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// The commit is on the branch.
    Landed(CommitMeta),
    /// The branch has moved: plan again on the new head.
    Moved(Head),
    /// The remote will not have it (a hook, a protected branch, a key that may only read): its text, sanitised.
    Refused(String),
}

/// One infrastructure repository and branch.
#[async_trait]
pub trait GitRepository: Send + Sync {
    /// Its name in the configuration.
    fn source(&self) -> &SourceId;
    /// Fetches the branch (one request where nothing changed) and tells its tip.
    async fn fetch(&self) -> Result<Head, Fault>;
    /// The tip as last fetched, without the network.
    fn head(&self) -> Option<Head>;
    /// The manifests (`.yaml`, `.yml`, `.json`) under `paths` at a revision, by path order. Empty `paths` means all.
    async fn files(&self, at: &Revision, paths: &[String]) -> Result<Vec<RepoFile>, Fault>;
    /// The manifests that [`Self::files`] leaves out although they are there, each with its reason. What it names is
    /// missing from the load, so nothing may be pruned on it.
    async fn skipped(&self, _at: &Revision, _paths: &[String]) -> Result<Vec<SkippedFile>, Fault> {
        Ok(Vec::new())
    }
    /// The history of a file along first parents from `from`, newest first, at most `limit` changes.
    async fn history(&self, from: &Revision, path: &str, limit: usize) -> Result<PathHistory, Fault>;
    /// Commits and pushes with `--force-with-lease` on the planned parent.
    async fn push(&self, plan: &CommitPlan) -> Result<PushOutcome, Fault>;
}
