use crate::clone::Clone as Local;
use crate::remote::Remote;
use crate::{Error, GitConfig, Limits, commit, history, tree};
use async_trait::async_trait;
use std::fs::File;
use std::sync::{Arc, PoisonError, RwLock as StdRwLock};
use std::time::Duration;
use tagboat_engine::ports::{
    Clock, CommitMeta, CommitPlan, Fault, GitRepository, Head, PathHistory, Person, PushOutcome, RepoFile, Revision,
    SkippedFile, SourceId,
};
use tokio::sync::{Mutex, RwLock};

/// How long a cache folder is waited for.
const LOCK_ATTEMPTS: u32 = 25;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// One infrastructure repository and branch, with its clone on disk.
///
/// Fetches and pushes take turns; reading goes on beside them. Dropping a future that fetches or pushes kills the
/// program behind it.
pub struct Repository {
    pub(crate) source: SourceId,
    pub(crate) author: Person,
    pub(crate) timeout: Duration,
    clone_timeout: Duration,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clone: Arc<Local>,
    pub(crate) remote: Remote,
    pub(crate) clock: Arc<dyn Clock>,
    head: StdRwLock<Option<Head>>,
    /// Held while a program runs on the clone.
    network: Mutex<()>,
    /// Read while objects are read; written while the clone is thrown away and made anew.
    content: Arc<RwLock<()>>,
    /// Keeps other processes out of the cache folder.
    _lock: File,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("source", &self.source)
            .field("url", self.clone.url())
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Checks the configuration, finds the programs, takes the cache folder. The network is not touched: the first
    /// [`fetch`](GitRepository::fetch) brings the history.
    pub async fn open(config: GitConfig, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let (url, branch) = config.check().map_err(|problems| Error::from((config.source.clone(), problems)))?;
        let lock = take_folder(&config).await?;
        let clone = Arc::new(Local::new(config.directory.join("repository.git"), url.clone(), branch.clone()));
        let remote = Remote::new(&config, url, branch, clone.path()).await?;
        let repository = Self {
            source: config.source,
            author: config.author,
            timeout: config.timeout,
            clone_timeout: config.clone_timeout,
            limits: Arc::new(config.limits),
            clone,
            remote,
            clock,
            head: StdRwLock::new(None),
            network: Mutex::new(()),
            content: Arc::default(),
            _lock: lock,
        };
        repository.blocking(|clone| clone.ensure()).await?;
        Ok(repository)
    }

    /// Runs a piece of disk work off the async threads. The clone cannot be thrown away meanwhile, even where the
    /// caller stops waiting.
    pub(crate) async fn blocking<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Local) -> Result<T, Error> + Send + 'static,
    {
        let (clone, guard) = (Arc::clone(&self.clone), Arc::clone(&self.content).read_owned().await);
        let task = tokio::task::spawn_blocking(move || {
            let result = work(&clone);
            drop(guard);
            result
        });
        task.await.unwrap_or_else(|error| {
            let text = if error.is_panic() { "reading it panicked" } else { "the process is ending" };
            Err(Error::Damaged { url: self.clone.url().to_string(), text: text.into() })
        })
    }

    /// Runs work on the objects; where the clone turns out to be damaged it is made anew, once, and the work done again.
    async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Local, &git2::Repository) -> Result<T, Error> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        match self.read_once(&work).await {
            Err(error) if error.is_damage() => {
                let _turn = self.network.lock().await;
                self.read_in_turn(&work).await
            }
            other => other,
        }
    }

    /// As [`Self::read`], for a caller that already has its turn.
    pub(crate) async fn read_in_turn<T, F>(&self, work: &Arc<F>) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Local, &git2::Repository) -> Result<T, Error> + Send + Sync + 'static,
    {
        match self.read_once(work).await {
            Err(error) if error.is_damage() => {
                self.discard(&error).await?;
                self.fetch_once().await?;
                self.read_once(work).await
            }
            other => other,
        }
    }

    async fn read_once<T, F>(&self, work: &Arc<F>) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Local, &git2::Repository) -> Result<T, Error> + Send + Sync + 'static,
    {
        let work = Arc::clone(work);
        self.blocking(move |clone| work(clone, &clone.open()?)).await
    }

    /// Throws a damaged clone away. The caller has its turn, and fetches next.
    async fn discard(&self, why: &Error) -> Result<(), Error> {
        tracing::warn!(source.id = %self.source, error = %why, "The clone is damaged and is made anew");
        let guard = Arc::clone(&self.content).write_owned().await;
        let clone = Arc::clone(&self.clone);
        let reset = tokio::task::spawn_blocking(move || {
            let result = clone.reset();
            drop(guard);
            result
        });
        reset.await.unwrap_or_else(|_| {
            Err(Error::Damaged { url: self.clone.url().to_string(), text: "it cannot be removed".into() })
        })
    }

    pub(crate) async fn fetch_in_turn(&self) -> Result<Head, Error> {
        match self.fetch_once().await {
            Err(error) if error.is_damage() => {
                self.discard(&error).await?;
                self.fetch_once().await
            }
            other => other,
        }
    }

    async fn fetch_once(&self) -> Result<Head, Error> {
        let old = self.blocking(prepare).await?;
        let deadline = if old.is_none() { self.clone_timeout } else { self.timeout };
        let limit = self.limits.clone_bytes;
        let fetched = tokio::select! {
            fetched = self.fetch_surely(deadline) => fetched,
            outgrown = self.clone.outgrows(limit) => Err(outgrown),
        };
        let result = match fetched {
            Ok(()) => self.after_fetch(old).await,
            Err(error) => Err(error),
        };
        if let Err(error @ Error::Limit { .. }) = result {
            // What is over the limit must not stay on the disk.
            self.discard(&error).await?;
            return Err(error);
        }
        result
    }

    /// To git, an answer that breaks off within its headers looks like a repository without branches: that a branch is
    /// gone must be said twice.
    async fn fetch_surely(&self, deadline: Duration) -> Result<(), Error> {
        match self.remote.fetch(deadline).await {
            Err(Error::BranchMissing { .. }) => self.remote.fetch(deadline).await,
            other => other,
        }
    }

    /// Reads the new tip, and looks after the clone where it has changed.
    async fn after_fetch(&self, old: Option<git2::Oid>) -> Result<Head, Error> {
        let (tip, rewritten) = self.blocking(move |clone| tip(clone, old)).await?;
        if let (Some(old), true) = (old, rewritten) {
            tracing::warn!(
                source.id = %self.source,
                git.branch = %self.clone.branch(),
                git.revision.old = %old,
                git.revision.new = %tip.revision,
                event = "HistoryRewritten",
                "History rewritten {}..{}", Revision(old.to_string()).short(), tip.revision.short()
            );
        }
        if old.is_none_or(|old| old.to_string() != tip.revision.0) {
            self.clone.check_size(self.limits.clone_bytes).await?;
            if self.blocking(|clone| Ok(clone.wants_repacking())).await?
                && let Err(error) = self.remote.repack(self.clone_timeout).await
            {
                // Reading is slower without it, and nothing else.
                tracing::warn!(source.id = %self.source, error = %error, "The clone could not be repacked");
            }
        }
        Ok(self.set_head(tip))
    }

    pub(crate) fn set_head(&self, commit: CommitMeta) -> Head {
        let head = Head { commit, fetched: self.clock.now() };
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = Some(head.clone());
        head
    }

    async fn manifests(&self, at: &Revision, paths: &[String]) -> Result<tree::Manifests, Error> {
        let (at, paths, limits) = (at.clone(), paths.to_vec(), Arc::clone(&self.limits));
        self.read(move |clone, repo| tree::read(clone, repo, &at, &paths, &limits)).await
    }
}

#[async_trait]
impl GitRepository for Repository {
    fn source(&self) -> &SourceId {
        &self.source
    }

    async fn fetch(&self) -> Result<Head, Fault> {
        let _turn = self.network.lock().await;
        Ok(self.fetch_in_turn().await?)
    }

    fn head(&self) -> Option<Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn files(&self, at: &Revision, paths: &[String]) -> Result<Vec<RepoFile>, Fault> {
        Ok(self.manifests(at, paths).await?.files)
    }

    async fn skipped(&self, at: &Revision, paths: &[String]) -> Result<Vec<SkippedFile>, Fault> {
        Ok(self.manifests(at, paths).await?.skipped)
    }

    async fn history(&self, from: &Revision, path: &str, limit: usize) -> Result<PathHistory, Fault> {
        let (from, path, limits) = (from.clone(), path.to_owned(), Arc::clone(&self.limits));
        Ok(self.read(move |clone, repo| history::read(clone, repo, &from, &path, limit, &limits)).await?)
    }

    async fn push(&self, plan: &CommitPlan) -> Result<PushOutcome, Fault> {
        let _turn = self.network.lock().await;
        Ok(self.push_in_turn(plan).await?)
    }
}

/// Makes the cache folder and keeps other processes out of it.
async fn take_folder(config: &GitConfig) -> Result<File, Error> {
    let path = &config.directory;
    let disk = |action| move |source| Error::Disk { action, path: path.clone(), source };
    std::fs::create_dir_all(path).map_err(disk("create"))?;
    let file =
        File::options().create(true).truncate(false).write(true).open(path.join("lock")).map_err(disk("lock"))?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // A child that is just being started holds, for a moment, what its parent held: also a lock given back.
            Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_WAIT).await,
            Err(std::fs::TryLockError::Error(source)) => return Err(disk("lock")(source)),
        }
    }
    Err(Error::InUse(path.clone()))
}

/// What must hold before git is let into the clone; gives the tip that it has.
fn prepare(clone: &Local) -> Result<Option<git2::Oid>, Error> {
    if let Some(lock) = clone.leftover_lock() {
        return Err(Error::Damaged {
            url: clone.url().to_string(),
            text: format!("an interrupted run left {}", lock.display()),
        });
    }
    clone.remove_partial_packs();
    clone.tip(&clone.open()?)
}

/// The tip after a fetch, and whether it does not descend from the one before.
fn tip(clone: &Local, old: Option<git2::Oid>) -> Result<(CommitMeta, bool), Error> {
    let repo = clone.open()?;
    let damage = |doing| move |error: git2::Error| clone.damage(doing, &error);
    let missing = || Error::Damaged { url: clone.url().to_string(), text: "the fetched branch is not in it".into() };
    let id = clone.tip(&repo)?.ok_or_else(missing)?;
    let commit = repo.find_commit(id).map_err(damage("read the tip"))?;
    commit.tree().map_err(damage("read the tip's tree"))?;
    let rewritten = match old {
        Some(old) if old != id => !repo.graph_descendant_of(id, old).map_err(damage("compare two commits"))?,
        _ => false,
    };
    Ok((commit::meta(&commit), rewritten))
}
