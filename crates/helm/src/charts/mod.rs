//! Charts from Helm repositories over HTTP.
//!
//! A repository is a folder with an `index.yaml`. The index is fetched at most once in [`ChartRepositoriesOptions::refresh`],
//! conditionally, kept on disk, and read as a stream for the one chart that is wanted: a large index costs no memory.
//! Archives are kept by digest. While a repository is down, a version that was fetched before is still had from the cache.

mod archive_cache;
mod http;
mod index;
mod location;
mod version;

use crate::Error;
use archive_cache::ArchiveCache;
use async_trait::async_trait;
use http::{Fetched, Http};
use index::{Entry, IndexCache};
pub use location::Credentials;
use location::Locations;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tagboat_engine::ports::{ChartArchive, ChartRequest, ChartSource, Fault};
use tokio::sync::Mutex;
use url::Url;

/// The largest index, in bytes.
const INDEX_LIMIT: u64 = 100 << 20;
/// The largest archive, in bytes.
const ARCHIVE_LIMIT: u64 = 50 << 20;

/// Where charts come from and how they are kept.
#[derive(Debug, Clone)]
pub struct ChartRepositoriesOptions {
    /// The cache folder. It may be deleted at any time.
    pub cache: PathBuf,
    /// How much the cache may hold, in bytes; the least recently used archives go first.
    pub cache_limit: u64,
    /// Stand-ins: what begins with the key, at a boundary of the path, is fetched from the value instead.
    pub mirrors: BTreeMap<String, String>,
    /// Basic authentication by origin, such as `https://charts.example.com` or `https://host:8443`.
    pub credentials: BTreeMap<String, Credentials>,
    /// Hosts (`host` or `host:port`) that may be used without TLS. Loopback mirrors need no entry.
    pub plain_http: BTreeSet<String>,
    /// How long an index is taken as it is before it is asked for again.
    pub refresh: Duration,
    /// How long one request may take as a whole.
    pub deadline: Duration,
}

impl ChartRepositoriesOptions {
    /// The defaults, with a cache folder.
    pub fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            cache_limit: 1 << 30,
            mirrors: BTreeMap::new(),
            credentials: BTreeMap::new(),
            plain_http: BTreeSet::new(),
            refresh: Duration::from_secs(180),
            deadline: Duration::from_secs(60),
        }
    }
}

/// Helm repositories over HTTP.
#[derive(Debug)]
pub struct ChartRepositories {
    options: ChartRepositoriesOptions,
    locations: Locations,
    http: Http,
    archives: ArchiveCache,
    indexes: IndexCache,
    /// By index URL. The inner lock makes requests for one repository take turns, so that none is sent twice.
    repositories: Mutex<HashMap<Url, Arc<Mutex<Repository>>>>,
}

/// What this process knows of one repository.
#[derive(Debug, Default)]
struct Repository {
    /// When the index was last asked for, and what went wrong if it did.
    asked: Option<(Instant, Option<Fault>)>,
    /// Charts of the index on disk that were asked for since it came.
    charts: HashMap<String, Arc<Vec<Entry>>>,
}

impl ChartRepositories {
    /// Prepares the cache folder and the configuration.
    ///
    /// # Errors
    /// A URL of the configuration cannot be used, the folder cannot be made, or TLS cannot be set up.
    pub fn new(options: ChartRepositoriesOptions) -> Result<Self, Error> {
        Ok(Self {
            locations: Locations::new(&options)?,
            http: Http::new(options.deadline)?,
            archives: ArchiveCache::open(options.cache.join("archives"), options.cache_limit)?,
            indexes: IndexCache::open(options.cache.join("indexes"))?,
            repositories: Mutex::default(),
            options,
        })
    }

    async fn chart(&self, request: &ChartRequest) -> Result<ChartArchive, Fault> {
        let base = self.locations.repository(&request.repository)?;
        let index_url = base
            .join("index.yaml")
            .map_err(|error| Error::RepositoryUrl { url: location::shown(&base), reason: error.to_string() })?;
        let repository = Arc::clone(self.repositories.lock().await.entry(index_url.clone()).or_default());
        let mut repository = repository.lock().await;
        let fault = self.refresh(&mut repository, &index_url).await;
        match self.pick(&mut repository, request, &base, &index_url, fault.is_none()).await {
            Ok(found) => {
                if let Some(fault) = fault {
                    tracing::debug!(chart.repository = location::shown(&base), "chart taken from the cache: {fault}");
                }
                Ok(found)
            }
            // What the index on disk cannot give is the index's own trouble, if there is one.
            Err(error) => Err(fault.unwrap_or(error)),
        }
    }

    /// Asks for the index where it is time to; gives what is wrong with the repository now.
    async fn refresh(&self, repository: &mut Repository, url: &Url) -> Option<Fault> {
        if let Some((at, fault)) = &repository.asked {
            // A repository that fails is asked again sooner, but never once for each of its releases.
            let wait =
                if fault.is_some() { self.options.refresh.min(Duration::from_secs(20)) } else { self.options.refresh };
            if at.elapsed() < wait {
                return fault.clone();
            }
        }
        let fault = self.fetch_index(repository, url).await.err().map(Fault::from);
        repository.asked = Some((Instant::now(), fault.clone()));
        fault
    }

    async fn fetch_index(&self, repository: &mut Repository, url: &Url) -> Result<(), Error> {
        let stored = self.indexes.validators(url);
        let target = self.indexes.path(url);
        let access = self.locations.access(url)?;
        match self.http.download(url, access, &stored, &target, INDEX_LIMIT, "index").await? {
            Fetched::NotModified => {}
            Fetched::New { validators, .. } => {
                self.indexes.remember(url, &validators)?;
                repository.charts.clear();
            }
        }
        Ok(())
    }

    async fn pick(
        &self,
        repository: &mut Repository,
        request: &ChartRequest,
        base: &Url,
        index_url: &Url,
        online: bool,
    ) -> Result<ChartArchive, Fault> {
        let entries = match repository.charts.get(&request.name) {
            Some(entries) => Arc::clone(entries),
            None => {
                let entries = Arc::new(self.indexes.entries(index_url, base, &request.name).await?);
                repository.charts.insert(request.name.clone(), Arc::clone(&entries));
                entries
            }
        };
        let shown = location::shown(base);
        if entries.is_empty() {
            return Err(Error::ChartNotFound { url: shown, chart: request.name.clone() }.into());
        }
        let entry =
            version::choose(&entries, &request.name, &request.version)?.ok_or_else(|| Error::VersionNotFound {
                url: shown,
                chart: request.name.clone(),
                version: request.version.clone(),
                newest: version::newest(&entries, 3),
            })?;
        let key = format!("{index_url} {} {}", request.name, entry.version);
        if let Some((path, digest)) = self.archives.get(&key, entry.digest.as_deref()) {
            return Ok(ChartArchive { path, digest, version: entry.version.clone() });
        }
        if !online {
            return Err(Fault::new(tagboat_engine::ports::FaultKind::Unavailable, "the archive is not in the cache"));
        }
        self.fetch_archive(base, entry, &key).await
    }

    async fn fetch_archive(&self, base: &Url, entry: &Entry, key: &str) -> Result<ChartArchive, Fault> {
        let url = self.locations.archive(base, &entry.url)?;
        let access = self.locations.access(&url)?;
        let part = self.archives.part(key);
        let none = index::Validators::default();
        let fetched = self.http.download(&url, access, &none, &part, ARCHIVE_LIMIT, "chart").await?;
        let Fetched::New { sha256, .. } = fetched else {
            return Err(Fault::new(
                tagboat_engine::ports::FaultKind::Incomplete,
                format!("{} is empty", location::shown(&url)),
            ));
        };
        if let Some(promised) = entry.digest.as_deref().filter(|promised| !promised.eq_ignore_ascii_case(&sha256)) {
            let _ = std::fs::remove_file(&part);
            let url = location::shown(&url);
            return Err(Error::Digest { url, promised: promised.to_owned(), found: sha256 }.into());
        }
        let (path, digest) = self.archives.keep(key, &part, &sha256)?;
        Ok(ChartArchive { path, digest, version: entry.version.clone() })
    }
}

#[async_trait]
impl ChartSource for ChartRepositories {
    async fn fetch(&self, request: &ChartRequest) -> Result<ChartArchive, Fault> {
        self.chart(request).await
    }
}
