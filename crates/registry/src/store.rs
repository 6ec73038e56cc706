//! What was learnt from registries, kept on disk. It is a cache: whoever deletes it loses time, nothing else.

use crate::error::RegistryError;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tagboat_engine::ports::{Fault, KnownRepository, TagStore};
use tagboat_image::Repository;

/// Repositories by canonical name; the values are JSON.
const KNOWN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("known-repositories");
/// When each was last used: a number that grows with each use.
const USED: TableDefinition<'_, &str, u64> = TableDefinition::new("last-used");

/// redb would take 1 GiB.
const CACHE_BYTES: usize = 2 * 1024 * 1024;

/// A [`TagStore`] in one redb file, or in memory.
pub struct RedbTagStore {
    place: String,
    database: Database,
    limit: usize,
    /// When each repository was last used. Reading alone writes nothing to disk; the next save brings it there.
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    last: HashMap<String, u64>,
    next: u64,
}

impl Used {
    fn touch(&mut self, key: &str) -> u64 {
        self.next += 1;
        self.last.insert(key.to_owned(), self.next);
        self.next
    }

    /// The key that was not used for longest.
    fn oldest(&self) -> Option<String> {
        self.last.iter().min_by_key(|(_, used)| **used).map(|(key, _)| key.clone())
    }
}

impl RedbTagStore {
    /// How many repositories are kept where nothing else is configured.
    pub const DEFAULT_LIMIT: usize = 5_000;

    /// Opens the file, or makes it. A file that is damaged, or no store of this kind, is deleted and made anew, with a
    /// warning. Beyond `limit` repositories, those that were not used for longest are dropped.
    ///
    /// # Errors
    /// [`RegistryError::Store`] when the file cannot be written, or another process has it open.
    pub fn open(path: &Path, limit: usize) -> Result<Self, RegistryError> {
        let place = path.display().to_string();
        let attempt = || -> Result<Self, OpenError> {
            let database = builder().create(path)?;
            Self::load_used(place.clone(), database, limit)
        };
        let opened = match attempt() {
            Err(error) if error.is_damage() => {
                tracing::warn!(path = %place, error = %error, "the tag store is damaged; it is made anew");
                std::fs::remove_file(path).map_err(|error| failed(&place, &error))?;
                attempt()
            }
            opened => opened,
        };
        opened.map_err(|error| failed(&place, &error))
    }

    /// A store that ends with the process.
    ///
    /// # Errors
    /// [`RegistryError::Store`] when redb fails.
    pub fn in_memory(limit: usize) -> Result<Self, RegistryError> {
        let place = "in memory".to_owned();
        builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(OpenError::from)
            .and_then(|database| Self::load_used(place.clone(), database, limit))
            .map_err(|error| failed(&place, &error))
    }

    /// Makes sure that both tables are there and reads the small one.
    fn load_used(place: String, database: Database, limit: usize) -> Result<Self, OpenError> {
        let transaction = database.begin_write()?;
        let mut used = Used::default();
        {
            transaction.open_table(KNOWN)?;
            for row in transaction.open_table(USED)?.iter()? {
                let (key, last) = row?;
                used.next = used.next.max(last.value());
                used.last.insert(key.value().to_owned(), last.value());
            }
        }
        transaction.commit()?;
        Ok(Self { place, database, limit: limit.max(1), used: Mutex::new(used) })
    }

    fn read(&self, key: &str) -> Result<Option<KnownRepository>, redb::Error> {
        let table = self.database.begin_read()?.open_table(KNOWN)?;
        let Some(value) = table.get(key)? else { return Ok(None) };
        match serde_json::from_slice(value.value()) {
            Ok(known) => Ok(Some(known)),
            Err(error) => {
                // An older or newer version wrote it: the next scan replaces it.
                tracing::debug!(image.repository = key, error = %error, "an entry of the tag store cannot be read");
                Ok(None)
            }
        }
    }

    fn write(&self, key: &str, value: &[u8]) -> Result<(), redb::Error> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = used.touch(key);
        let transaction = self.database.begin_write()?;
        {
            let mut known = transaction.open_table(KNOWN)?;
            let mut stamps = transaction.open_table(USED)?;
            known.insert(key, value)?;
            stamps.insert(key, stamp)?;
            while used.last.len() > self.limit
                && let Some(oldest) = used.oldest()
            {
                known.remove(oldest.as_str())?;
                stamps.remove(oldest.as_str())?;
                used.last.remove(&oldest);
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn fault(&self, doing: &str, repository: &Repository, error: &dyn std::fmt::Display) -> Fault {
        failed(&self.place, error).into_fault(&format!("{doing} what is known of {repository}"))
    }
}

impl TagStore for RedbTagStore {
    fn load(&self, repository: &Repository) -> Result<Option<KnownRepository>, Fault> {
        let key = repository.canonical();
        let known = self.read(&key).map_err(|error| self.fault("reading", repository, &error))?;
        if known.is_some() {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).touch(&key);
        }
        Ok(known)
    }

    fn save(&self, repository: &Repository, known: &KnownRepository) -> Result<(), Fault> {
        let value = serde_json::to_vec(known).map_err(|error| self.fault("writing", repository, &error))?;
        self.write(&repository.canonical(), &value).map_err(|error| self.fault("writing", repository, &error))
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // Without the check, redb may panic on a damaged file that looks sound at first.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn failed(place: &str, error: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::Store { place: place.to_owned(), reason: error.to_string() }
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct OpenError(redb::Error);

impl<E: Into<redb::Error>> From<E> for OpenError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl OpenError {
    /// Whether the file itself is at fault, not the way to it: a full disk or another process must not delete it.
    fn is_damage(&self) -> bool {
        match &self.0 {
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. } => true,
            redb::Error::Io(error) => {
                matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        }
    }
}
