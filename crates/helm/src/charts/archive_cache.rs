//! Archives on disk, by digest, and which digest a version of a chart had.

use super::http::hex;
use crate::Error;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder of `<sha256>.tgz`, and of files that name the digest for each repository, chart and version.
#[derive(Debug)]
pub(super) struct ArchiveCache {
    folder: PathBuf,
    limit: u64,
}

impl ArchiveCache {
    pub(super) fn open(folder: PathBuf, limit: u64) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder).map_err(|error| fails(&folder, &error))?;
        Ok(Self { folder, limit })
    }

    /// The archive of a version and its digest, `sha256:…`. With `promised`, only if it is that one: what is published
    /// anew under an old version is fetched anew.
    pub(super) fn get(&self, key: &str, promised: Option<&str>) -> Option<(PathBuf, String)> {
        let digest = match promised {
            Some(promised) if is_digest(promised) => promised.to_owned(),
            _ => std::fs::read_to_string(self.name(key)).ok().filter(|digest| is_digest(digest))?,
        };
        let path = self.archive(&digest);
        if !path.is_file() {
            return None;
        }
        // For the choice of what to remove.
        let _ = std::fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some((path, format!("sha256:{digest}")))
    }

    /// Where an archive is put until its digest is known.
    pub(super) fn part(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{}.new", hex(&Sha256::digest(key))))
    }

    /// Takes over an archive that was put at [`part`](Self::part), and makes room.
    pub(super) fn keep(&self, key: &str, part: &Path, digest: &str) -> Result<(PathBuf, String), Error> {
        let path = self.archive(digest);
        std::fs::rename(part, &path).map_err(|error| fails(&path, &error))?;
        let name = self.name(key);
        std::fs::write(&name, digest).map_err(|error| fails(&name, &error))?;
        self.make_room(&path);
        Ok((path, format!("sha256:{digest}")))
    }

    /// Removes the archives used longest ago until the rest is within the limit; `newest` always stays.
    fn make_room(&self, newest: &Path) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut archives: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "tgz"))
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        let mut total: u64 = archives.iter().map(|(_, size, _)| size).sum();
        archives.sort();
        for (_, size, path) in archives {
            if total <= self.limit {
                break;
            }
            if path != newest && std::fs::remove_file(&path).is_ok() {
                total -= size;
            }
        }
    }

    fn archive(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.tgz"))
    }

    fn name(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{}.digest", hex(&Sha256::digest(key))))
    }
}

/// Digests become file names: nothing else may.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn fails(path: &Path, error: &std::io::Error) -> Error {
    Error::Cache { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &ArchiveCache, key: &str, bytes: &[u8]) -> String {
        std::fs::write(cache.part(key), bytes).unwrap();
        let digest = hex(&Sha256::digest(bytes));
        cache.keep(key, &cache.part(key), &digest).unwrap();
        digest
    }

    #[test]
    fn an_archive_is_found_by_its_version_and_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ArchiveCache::open(folder.path().join("a"), 1 << 20).unwrap();
        let digest = put(&cache, "voice 1.0.0", b"chart");
        let (path, found) = cache.get("voice 1.0.0", None).unwrap();
        assert_eq!((std::fs::read(path).unwrap(), found), (b"chart".to_vec(), format!("sha256:{digest}")));
        assert!(cache.get("same chart elsewhere", Some(&digest)).is_some());
        assert!(cache.get("voice 1.0.0", Some(&"0".repeat(64))).is_none());
        assert!(cache.get("voice 1.0.0", Some("../../etc/passwd")).is_some(), "an odd digest is not used as a name");
    }

    #[test]
    fn the_archive_used_longest_ago_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ArchiveCache::open(folder.path().join("a"), 250).unwrap();
        for (key, byte, age) in [("old", 1, 300), ("used", 2, 600)] {
            let digest = put(&cache, key, &[byte; 100]);
            let file = std::fs::File::options().append(true).open(cache.archive(&digest)).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        assert!(cache.get("used", None).is_some());
        put(&cache, "new", &[3; 100]);
        assert!(cache.get("old", None).is_none());
        assert!(cache.get("used", None).is_some() && cache.get("new", None).is_some());
    }
}
