//! What the subcommands that need no cluster share: files of a folder.

use anyhow::{Context, Result};
use bytes::Bytes;
use std::fs;
use std::path::Path;
use tagboat_engine::ports::RepoFile;

/// The largest file that is read, in bytes.
const FILE_LIMIT: u64 = 5 * 1024 * 1024;
/// The deepest folder that is entered.
const DEPTH_LIMIT: usize = 64;

/// The manifests of a folder, by path order; links are not followed, charts and hidden folders are passed over.
///
/// # Errors
/// The folder cannot be read.
pub fn manifests(root: &Path, paths: &[String]) -> Result<Vec<RepoFile>> {
    let mut files = Vec::new();
    let whole = [String::new()];
    for path in if paths.is_empty() { &whole[..] } else { paths } {
        walk(root, &root.join(path), 0, &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

fn walk(root: &Path, folder: &Path, depth: usize, files: &mut Vec<RepoFile>) -> Result<()> {
    anyhow::ensure!(depth <= DEPTH_LIMIT, "{} is nested deeper than {DEPTH_LIMIT} folders", folder.display());
    let entries: Vec<_> = fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let has = |name: &str| entries.iter().any(|entry| entry.file_name() == name);
    if has("Chart.yaml") && has("values.yaml") {
        return Ok(());
    }
    for entry in &entries {
        let path = entry.path();
        let kind = entry.file_type().with_context(|| format!("cannot read {}", path.display()))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if kind.is_dir() {
            if !name.starts_with('.') {
                walk(root, &path, depth + 1, files)?;
            }
        } else if kind.is_file() && [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending)) {
            let size = entry.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
            anyhow::ensure!(size <= FILE_LIMIT, "{} is larger than {FILE_LIMIT} bytes", path.display());
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let relative = path.strip_prefix(root).unwrap_or(&path);
            files.push(RepoFile {
                path: relative.to_string_lossy().replace('\\', "/"),
                blob: String::new(),
                bytes: Bytes::from(bytes),
            });
        }
    }
    Ok(())
}

/// Replaces a file's content in one step: the new file is written beside it and renamed over it, with its permissions.
///
/// # Errors
/// The file cannot be written; it is as it was then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let real = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let write = || -> std::io::Result<()> {
        let mut next = tempfile::Builder::new().prefix(".tagboat-").tempfile_in(folder)?;
        std::io::Write::write_all(&mut next, bytes)?;
        next.as_file().set_permissions(fs::metadata(&real)?.permissions())?;
        next.as_file().sync_all()?;
        next.persist(&real).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}; it is as it was", path.display()))
}
