//! The bare clone on disk: made, checked, measured, and thrown away when it is damaged.

use crate::{BranchName, Error, RemoteUrl};
use git2::{ErrorClass, ErrorCode};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tagboat_engine::ports::Revision;

/// Loose objects in one of 256 folders, and packs, from which on the clone is repacked.
const LOOSE_IN_ONE_FOLDER: usize = 27;
const PACKS: usize = 50;

/// Where the clone is, and of what.
#[derive(Debug, Clone)]
pub(crate) struct Clone {
    path: PathBuf,
    url: RemoteUrl,
    branch: BranchName,
}

impl Clone {
    pub(crate) fn new(path: PathBuf, url: RemoteUrl, branch: BranchName) -> Self {
        Self { path, url, branch }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn url(&self) -> &RemoteUrl {
        &self.url
    }

    pub(crate) fn branch(&self) -> &BranchName {
        &self.branch
    }

    /// Opens the clone; it is cheap, and each piece of work has its own, because libgit2's handle is not shared.
    pub(crate) fn open(&self) -> Result<git2::Repository, Error> {
        git2::Repository::open_bare(&self.path).map_err(|error| self.damage("open", &error))
    }

    /// Makes the clone where it is missing, or is of another URL, or is damaged in a way that shows at once.
    pub(crate) fn ensure(&self) -> Result<(), Error> {
        if self.is_usable() { Ok(()) } else { self.reset() }
    }

    fn is_usable(&self) -> bool {
        let Ok(repo) = git2::Repository::open_bare(&self.path) else { return false };
        let Ok(config) = repo.config().and_then(|mut config| config.snapshot()) else { return false };
        config.get_str("remote.origin.url").is_ok_and(|url| url == self.url.as_str()) && self.leftover_lock().is_none()
    }

    /// Throws the clone away and makes an empty one.
    pub(crate) fn reset(&self) -> Result<(), Error> {
        self.remove()?;
        let made = git2::Repository::init_opts(
            &self.path,
            git2::RepositoryInitOptions::new().bare(true).external_template(false).mkpath(true),
        );
        made.and_then(|repo| repo.config()?.set_str("remote.origin.url", self.url.as_str())).map_err(|error| {
            let source = std::io::Error::other(error.message().to_owned());
            Error::Disk { action: "create a clone in", path: self.path.clone(), source }
        })
    }

    /// Removes the clone, so that it takes no space.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        match std::fs::remove_dir_all(&self.path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            // A file stands where the folder should be.
            Err(_) if self.path.is_file() => {
                std::fs::remove_file(&self.path).map_err(|source| self.disk("remove", source))
            }
            Err(source) => Err(self.disk("remove", source)),
        }
    }

    /// A lock that a killed program left. Only asked while no program runs on the clone.
    ///
    /// The lock is not simply removed: what its owner was doing is unknown.
    pub(crate) fn leftover_lock(&self) -> Option<PathBuf> {
        let tracking = self.branch.tracking_ref();
        let fixed = ["HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock", "objects/info/alternates.lock"];
        let mut locks =
            fixed.iter().map(|name| self.path.join(name)).chain([self.path.join(format!("{tracking}.lock"))]);
        locks.find(|lock| lock.exists())
    }

    /// Removes half-received packs of a program that was killed. Only called while no program runs on the clone.
    pub(crate) fn remove_partial_packs(&self) {
        let Ok(entries) = std::fs::read_dir(self.path.join("objects/pack")) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with("tmp_") {
                // What stays costs space and nothing else.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// The commit at the tip as last fetched; `None` where nothing was fetched yet.
    pub(crate) fn tip(&self, repo: &git2::Repository) -> Result<Option<git2::Oid>, Error> {
        match repo.refname_to_id(&self.branch.tracking_ref()) {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.damage("read the branch", &error)),
        }
    }

    /// The commit of a revision that a caller names.
    pub(crate) fn commit<'r>(
        &self,
        repo: &'r git2::Repository,
        revision: &Revision,
    ) -> Result<git2::Commit<'r>, Error> {
        let valid = revision.0.len() == 40 && revision.0.bytes().all(|b| b.is_ascii_hexdigit());
        let id = match git2::Oid::from_str(&revision.0) {
            Ok(id) if valid => id,
            _ => {
                return Err(Error::Invalid(format!(
                    "{:?} is not a commit's id: needed are 40 hexadecimal digits",
                    revision.0
                )));
            }
        };
        match repo.find_commit(id) {
            Ok(commit) => Ok(commit),
            // The tip was there when it was fetched; any other revision may be of a history that was rewritten.
            Err(error) if error.code() == ErrorCode::NotFound && self.tip(repo)? != Some(id) => {
                Err(Error::RevisionMissing { revision: revision.clone(), url: self.url.to_string() })
            }
            Err(error) => Err(self.damage("read a commit", &error)),
        }
    }

    /// Turns a libgit2 error on an object that must be there into [`Error::Damaged`].
    pub(crate) fn damage(&self, doing: &str, error: &git2::Error) -> Error {
        let text = format!("cannot {doing}: {} ({:?})", error.message(), error.class());
        if error.class() == ErrorClass::Os && error.code() != ErrorCode::NotFound {
            return self.disk("read", std::io::Error::other(text));
        }
        Error::Damaged { url: self.url.to_string(), text }
    }

    /// Returns when the clone has grown past a limit. Never where it stays below.
    pub(crate) async fn outgrows(&self, limit: u64) -> Error {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Err(error) = self.check_size(limit).await {
                return error;
            }
        }
    }

    /// Fails where the clone is larger than a limit.
    pub(crate) async fn check_size(&self, limit: u64) -> Result<(), Error> {
        let path = self.path.clone();
        let size = tokio::task::spawn_blocking(move || folder_size(&path)).await.unwrap_or(0);
        if size <= limit {
            return Ok(());
        }
        let what = format!("the clone of {} takes {} MiB on disk", self.url, size >> 20);
        Err(Error::Limit { what, allowed: format!("{} MiB", limit >> 20) })
    }

    /// Whether so many small files have gathered that reading suffers.
    pub(crate) fn wants_repacking(&self) -> bool {
        let count = |folder: &str, keep: fn(&str) -> bool| {
            let entries = std::fs::read_dir(self.path.join(folder));
            entries.map_or(0, |all| all.flatten().filter(|entry| entry.file_name().to_str().is_some_and(keep)).count())
        };
        // Object ids are evenly spread, so that one folder tells of all.
        count("objects/17", |_| true) > LOOSE_IN_ONE_FOLDER
            || count("objects/pack", |name| name.ends_with(".pack")) > PACKS
    }

    fn disk(&self, action: &'static str, source: std::io::Error) -> Error {
        Error::Disk { action, path: self.path.clone(), source }
    }
}

fn folder_size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_size(&entry.path()),
            Ok(metadata) => metadata.len(),
            // It went away while we looked: git renames its temporary files.
            Err(_) => 0,
        })
        .sum()
}
