use std::path::PathBuf;
use std::time::Duration;
use tagboat_engine::ports::{Fault, FaultKind, Revision, SourceId};

/// Why a repository could not do what it was asked. No variant ever holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong; found before anything is started.
    #[error("source {source_id}: {problems}")]
    Config {
        /// Which source.
        source_id: SourceId,
        /// All problems, each with its field.
        problems: String,
    },
    /// A program that is needed is not installed, is too old, or does not start.
    #[error("{0}")]
    Program(String),
    /// The cache folder, or a file named in the configuration, cannot be used.
    #[error("cannot {action} {path}: {source}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process uses the same cache folder.
    #[error("{0} is in use by another process: each needs a cache folder of its own")]
    InUse(PathBuf),
    /// The remote has no such branch: it is empty, or the branch was deleted.
    #[error("branch {branch} does not exist in {url}")]
    BranchMissing {
        /// The branch.
        branch: String,
        /// The repository.
        url: String,
    },
    /// The remote knows no such repository, or does not show it to these credentials.
    #[error("{url} is no repository, or these credentials may not see it: {text}")]
    RepositoryMissing {
        /// The repository.
        url: String,
        /// What git and the remote said.
        text: String,
    },
    /// The remote wants other credentials.
    #[error("{url} does not accept the credentials: {text}")]
    Denied {
        /// The repository.
        url: String,
        /// What git and the remote said.
        text: String,
    },
    /// The SSH host key is unknown or has changed. Nothing was sent.
    #[error(
        "the SSH host key of {host} {}: it offered {fingerprint}; nothing was sent. If that key is the right one, put \
         it into known_hosts",
        if *.changed { "is another than the one in known_hosts" } else { "is unknown: known_hosts has none for it" }
    )]
    HostKey {
        /// The host.
        host: String,
        /// The key type and fingerprint that the host offered.
        fingerprint: String,
        /// Whether another key of this host was known.
        changed: bool,
    },
    /// The remote cannot be reached, or answers with an error of its own.
    #[error("{doing} failed: {text}")]
    Unreachable {
        /// What was being done, to what.
        doing: String,
        /// What git and the remote said.
        text: String,
    },
    /// The remote asked for fewer requests.
    #[error("{doing} failed, the remote asks for fewer requests: {text}")]
    Throttled {
        /// What was being done, to what.
        doing: String,
        /// What git and the remote said.
        text: String,
    },
    /// A deadline passed; the program was ended with all its children.
    #[error("{doing} was not done after {} s and was ended", .after.as_secs_f32())]
    Timeout {
        /// What was being done, to what.
        doing: String,
        /// The deadline.
        after: Duration,
    },
    /// The remote sent objects that git's checks refuse.
    #[error("{doing} failed, the repository's objects are not sound: {text}")]
    Unsound {
        /// What was being done, to what.
        doing: String,
        /// What git said.
        text: String,
    },
    /// One of the configured bounds was reached.
    #[error("{what}; the limit is {allowed}")]
    Limit {
        /// What was found.
        what: String,
        /// What is allowed.
        allowed: String,
    },
    /// A configured path is not in the repository.
    #[error("path {path:?} does not exist in {url} at {}", .revision.short())]
    PathMissing {
        /// The path.
        path: String,
        /// The repository.
        url: String,
        /// At which revision.
        revision: Revision,
    },
    /// A revision is not in the clone: it was never on the branch, or history was rewritten since.
    #[error("commit {revision} is not in the clone of {url}")]
    RevisionMissing {
        /// The revision, as it was asked for.
        revision: Revision,
        /// The repository.
        url: String,
    },
    /// A path, a revision or a plan that cannot be carried out as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The local clone is damaged. Seen by a caller only when a fresh clone was damaged as well.
    #[error("the clone of {url} is damaged: {text}")]
    Damaged {
        /// The repository.
        url: String,
        /// What was found.
        text: String,
    },
    /// A push did not land and its outcome is certain; the branch is where it was.
    #[error("the push of {commit} to {url} did not land: {text}")]
    NotLanded {
        /// The commit.
        commit: Revision,
        /// The repository.
        url: String,
        /// How the push ended.
        text: String,
    },
    /// What became of a push could not be found out: the branch could not be fetched afterwards either.
    #[error("whether commit {commit} landed in {url} is not known: the push ended with: {text}; then: {cause}")]
    Unsettled {
        /// The commit.
        commit: Revision,
        /// The repository.
        url: String,
        /// How the push ended.
        text: String,
        /// Why it could not be settled.
        cause: Box<Error>,
    },
}

impl Error {
    /// Whether deleting the clone and making it anew may help.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    fn kind(&self) -> FaultKind {
        match self {
            Self::Config { .. } | Self::Program(_) | Self::Invalid(_) | Self::Unsound { .. } => FaultKind::Invalid,
            Self::Disk { .. }
            | Self::InUse(_)
            | Self::Unreachable { .. }
            | Self::Damaged { .. }
            | Self::NotLanded { .. } => FaultKind::Unavailable,
            Self::BranchMissing { .. }
            | Self::RepositoryMissing { .. }
            | Self::PathMissing { .. }
            | Self::RevisionMissing { .. } => FaultKind::NotFound,
            Self::Denied { .. } | Self::HostKey { .. } => FaultKind::Denied,
            Self::Throttled { .. } => FaultKind::Throttled,
            Self::Timeout { .. } => FaultKind::Timeout,
            Self::Limit { .. } => FaultKind::Limit,
            Self::Unsettled { cause, .. } => cause.kind(),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
