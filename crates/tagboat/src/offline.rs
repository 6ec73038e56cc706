//! What the subcommands that need no cluster share: files of a folder.

use anyhow::{Context, Result};
use bytes::Bytes;
use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Component, Path};
use tagboat_engine::ports::{RepoFile, SkippedFile};

/// The largest file that is read, in bytes.
const FILE_LIMIT: u64 = 5 * 1024 * 1024;
/// The deepest folder that is entered.
const DEPTH_LIMIT: usize = 64;

/// The manifests of a folder, by path order.
#[derive(Debug, Default)]
pub struct Manifests {
    /// What was read.
    pub files: Vec<RepoFile>,
    /// What is there and was not read, with the reason.
    pub skipped: Vec<SkippedFile>,
}

/// The manifests of a folder; links are not followed, charts and `.git` are passed over.
///
/// # Errors
/// The folder, or one of `paths`, cannot be read.
pub fn manifests(root: &Path, paths: &[String]) -> Result<Manifests> {
    let mut found = Manifests::default();
    let whole = [String::new()];
    for path in if paths.is_empty() { &whole[..] } else { paths } {
        let here = root.join(path);
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        anyhow::ensure!(inside, "the path {path:?} leads out of {}", root.display());
        let kind = fs::symlink_metadata(&here).with_context(|| format!("cannot read {}", here.display()))?;
        if kind.is_dir() || path.is_empty() {
            let entries = entries(&here).with_context(|| format!("cannot read the folder {}", here.display()))?;
            walk(root, &entries, 0, &mut found);
        } else {
            file(root, &here, kind.is_symlink(), &mut found);
        }
    }
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    found.files.dedup_by(|a, b| a.path == b.path);
    found.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    found.skipped.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    fs::read_dir(folder).and_then(Iterator::collect)
}

fn walk(root: &Path, entries: &[fs::DirEntry], depth: usize, found: &mut Manifests) {
    let has = |name: &str| entries.iter().any(|entry| entry.file_name() == name);
    if has("Chart.yaml") && has("values.yaml") {
        return;
    }
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                if entry.file_name() == ".git" {
                    continue;
                }
                if depth == DEPTH_LIMIT {
                    skip(root, &path, format!("it is nested deeper than {DEPTH_LIMIT} folders"), found);
                    continue;
                }
                match self::entries(&path) {
                    Ok(below) => walk(root, &below, depth + 1, found),
                    Err(error) => skip(root, &path, format!("the folder cannot be read: {error}"), found),
                }
            }
            Ok(kind) if kind.is_file() || kind.is_symlink() => file(root, &path, kind.is_symlink(), found),
            Ok(_) => {}
            Err(error) => skip(root, &path, format!("it cannot be read: {error}"), found),
        }
    }
}

fn file(root: &Path, path: &Path, link: bool, found: &mut Manifests) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if ![".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending)) {
        return;
    }
    if link {
        // To a folder, or to something that is no manifest: both are named alike here.
        return skip(root, path, "it is a symbolic link, which is never followed".to_owned(), found);
    }
    if path.to_str().is_none() {
        return skip(root, path, "its name is not UTF-8".to_owned(), found);
    }
    match read(path) {
        Ok(bytes) => found.files.push(RepoFile {
            path: relative(root, path),
            // In a folder, unlike in git, files have no object ids; their paths tell them apart.
            blob: String::new(),
            bytes: Bytes::from(bytes),
        }),
        Err(error) => skip(root, path, format!("it cannot be read: {error}"), found),
    }
}

/// Reads a file, if it is not too large to be a manifest.
///
/// # Errors
/// The file cannot be read, or is larger than any manifest.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(io::Error::other(format!("it is larger than {FILE_LIMIT} bytes")));
    }
    Ok(bytes)
}

fn skip(root: &Path, path: &Path, reason: String, found: &mut Manifests) {
    found.skipped.push(SkippedFile { path: relative(root, path), reason });
}

fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).components();
    let parts: Vec<_> = parts
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_string_lossy()),
            _ => None,
        })
        .collect();
    parts.join("/")
}

/// Replaces a file's content in one step: the new file is written beside it and renamed over it, with its permissions.
/// Where the folder does not allow that (it is read-only, or the file is a mount of its own), the file itself is written.
///
/// # Errors
/// The file cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let real = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    // Who may not write the file must not be able to replace it either.
    let mut opened = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&real)
        .with_context(|| format!("cannot write {}; it is as it was", path.display()))?;
    let beside = || -> io::Result<()> {
        let mut next = tempfile::Builder::new().prefix(".tagboat-").tempfile_in(folder)?;
        next.write_all(bytes)?;
        next.as_file().set_permissions(opened.metadata()?.permissions())?;
        next.as_file().sync_all()?;
        next.persist(&real).map_err(|error| error.error)?;
        Ok(())
    };
    if beside().is_ok() {
        return Ok(());
    }
    let mut within = || -> io::Result<()> {
        opened.rewind()?;
        opened.write_all(bytes)?;
        opened.set_len(bytes.len() as u64)?;
        opened.sync_all()
    };
    within().with_context(|| format!("cannot write {}", path.display()))
}
