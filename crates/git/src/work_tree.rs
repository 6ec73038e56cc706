//! A checkout on a developer's disk, read for its history only: what `tagboat plan` asks.

use crate::clone::Clone;
use crate::touched::Touched;
use crate::{BranchName, Error, Limits, RemoteUrl, tree};
use bytes::Bytes;
use git2::{Delta, ErrorCode, Repository};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use tagboat_engine::ports::{PathHistory, RepoFile, Revision};

/// How many of the files that one commit changed are looked at.
const REPLACED: usize = 1_000;

/// A git work tree, or a folder in one.
pub struct WorkTree {
    repo: Repository,
    clone: Clone,
    head: Revision,
    /// The folder's path in the repository.
    prefix: PathBuf,
    /// Made for the first file that is asked for.
    touched: OnceCell<Touched>,
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
        Ok(Some(Self { repo, clone, head, prefix, touched: OnceCell::new() }))
    }

    /// The history of a file of the folder along first parents from HEAD, newest first.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn history(&self, path: &str, limit: usize) -> Result<PathHistory, Error> {
        let path = self.prefix.join(path);
        let path = path.to_string_lossy().replace('\\', "/");
        self.touched()?.history(&self.clone, &self.repo, None, &path, limit, &Limits::default())
    }

    /// The history of a file, named from the repository's root, from the first parent of one of HEAD's first parents on.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn history_before(&self, revision: &Revision, path: &str, limit: usize) -> Result<PathHistory, Error> {
        self.touched()?.history(&self.clone, &self.repo, Some(revision), path, limit, &Limits::default())
    }

    fn touched(&self) -> Result<&Touched, Error> {
        match self.touched.get() {
            Some(touched) => Ok(touched),
            None => {
                let touched = Touched::read(&self.clone, &self.repo, &self.head, &Limits::default())?;
                Ok(self.touched.get_or_init(|| touched))
            }
        }
    }

    /// The manifests that a commit changed or removed, as they were in its first parent, by path from the repository's
    /// root.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn replaced(&self, revision: &Revision) -> Result<Vec<RepoFile>, Error> {
        let commit = self.clone.commit(&self.repo, revision)?;
        let Ok(parent) = commit.parent(0) else { return Ok(Vec::new()) };
        let damage = |error| self.clone.damage("compare two trees", &error);
        let (old, new) = (parent.tree().map_err(damage)?, commit.tree().map_err(damage)?);
        let diff = self.repo.diff_tree_to_tree(Some(&old), Some(&new), None).map_err(damage)?;
        let mut files = Vec::new();
        for delta in diff.deltas().filter(|delta| delta.status() != Delta::Added).take(REPLACED) {
            let Some(path) = delta.old_file().path().and_then(Path::to_str).filter(|path| tree::is_manifest(path))
            else {
                continue;
            };
            let Ok(blob) = self.repo.find_blob(delta.old_file().id()) else { continue };
            if blob.size() <= Limits::default().file_bytes {
                let bytes = Bytes::copy_from_slice(blob.content());
                files.push(RepoFile { path: path.to_owned(), blob: blob.id().to_string(), bytes });
            }
        }
        Ok(files)
    }
}
