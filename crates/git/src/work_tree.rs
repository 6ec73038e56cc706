//! A checkout on a developer's disk, read for its history only: what `tagboat plan` asks.

use crate::clone::Clone;
use crate::{BranchName, Error, Limits, RemoteUrl, history};
use git2::{ErrorCode, Repository};
use std::path::{Path, PathBuf};
use tagboat_engine::ports::{PathHistory, Revision};

/// A git work tree, or a folder in one.
pub struct WorkTree {
    repo: Repository,
    clone: Clone,
    head: Revision,
    /// The folder's path in the repository.
    prefix: PathBuf,
}

impl WorkTree {
    /// The work tree that a folder belongs to; `None` where it belongs to none, or to one without a commit.
    ///
    /// # Errors
    /// There is a repository, but it cannot be read.
    pub fn discover(folder: &Path) -> Result<Option<Self>, Error> {
        let branch = BranchName::parse("main").map_err(|text| Error::Limit { what: text, allowed: String::new() })?;
        let clone = Clone::new(folder.to_owned(), RemoteUrl::local(folder), branch);
        let repo = match Repository::discover(folder) {
            Ok(repo) => repo,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(clone.damage("open", &error)),
        };
        let Some(root) = repo.workdir().and_then(|root| root.canonicalize().ok()) else { return Ok(None) };
        let disk = |source| Error::Disk { action: "read", path: folder.to_owned(), source };
        let prefix = match folder.canonicalize().map_err(disk)?.strip_prefix(&root) {
            Ok(prefix) => prefix.to_owned(),
            Err(_) => return Ok(None),
        };
        let head = match repo.head().and_then(|head| head.peel_to_commit()) {
            Ok(commit) => Revision(commit.id().to_string()),
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => return Ok(None),
            Err(error) => return Err(clone.damage("read HEAD", &error)),
        };
        Ok(Some(Self { repo, clone, head, prefix }))
    }

    /// The history of a file of the folder along first parents from HEAD, newest first.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn history(&self, path: &str, limit: usize) -> Result<PathHistory, Error> {
        let path = self.prefix.join(path);
        let path = path.to_string_lossy().replace('\\', "/");
        history::read(&self.clone, &self.repo, &self.head, &path, limit, &Limits::default())
    }
}
