//! Manifests at a revision, read straight from the object database. Symbolic links are never followed.

use crate::clone::Clone;
use crate::{Error, Limits};
use bytes::Bytes;
use git2::{ObjectType, Oid, Repository, Tree};
use std::collections::BTreeMap;
use tagboat_engine::ports::{RepoFile, Revision, SkippedFile};

const SYMLINK: i32 = 0o120000;
const EXTENSIONS: [&str; 3] = [".yaml", ".yml", ".json"];

/// Splits a path from the root into its parts; none of them is `.`, `..` or empty. An empty path is the root.
pub(crate) fn components(path: &str) -> Result<Vec<&str>, Error> {
    let invalid = |why: &str| Err(Error::Invalid(format!("path {path:?}: {why}")));
    if path.starts_with('/') {
        return invalid("must be relative to the repository's root");
    }
    if path.contains(|c: char| c.is_control()) {
        return invalid("holds a control character");
    }
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return invalid("must not leave the repository ('..')");
    }
    Ok(parts)
}

/// Whether a path is not there, as far as the trees above it can be read.
pub(crate) fn is_absent(repo: &Repository, root: &Tree<'_>, components: &[&str]) -> bool {
    let mut tree = root.clone();
    for (at, part) in components.iter().enumerate() {
        let Some((kind, id)) = tree.get_name_bytes(part.as_bytes()).map(|entry| (entry.kind(), entry.id())) else {
            return true;
        };
        if at + 1 == components.len() {
            return false;
        }
        if kind != Some(ObjectType::Tree) {
            return true;
        }
        match repo.find_tree(id) {
            Ok(below) => tree = below,
            Err(_) => return false,
        }
    }
    false
}

/// What is under the configured paths at a revision.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    pub(crate) files: Vec<RepoFile>,
    pub(crate) skipped: Vec<SkippedFile>,
}

/// Reads the manifests under `paths` (all where it is empty), in the order of their paths.
pub(crate) fn read(
    clone: &Clone,
    repo: &Repository,
    at: &Revision,
    paths: &[String],
    limits: &Limits,
) -> Result<Manifests, Error> {
    let root = clone.commit(repo, at)?.tree().map_err(|error| clone.damage("read a tree", &error))?;
    let mut walk = Walk { clone, repo, limits, found: BTreeMap::new(), skipped: BTreeMap::new() };
    if paths.is_empty() {
        walk.tree(&root, "", 0)?;
    }
    for path in paths {
        walk.path(&root, path, at)?;
    }
    walk.load()
}

struct Walk<'r> {
    clone: &'r Clone,
    repo: &'r Repository,
    limits: &'r Limits,
    found: BTreeMap<String, Oid>,
    skipped: BTreeMap<String, String>,
}

impl<'r> Walk<'r> {
    /// Goes down to a configured path, then through everything below it.
    fn path(&mut self, root: &Tree<'_>, path: &str, at: &Revision) -> Result<(), Error> {
        let components = components(path)?;
        let missing =
            || Error::PathMissing { path: path.to_owned(), url: self.clone.url().to_string(), revision: at.clone() };
        let mut tree = root.clone();
        let mut prefix = String::new();
        for (depth, part) in components.iter().enumerate() {
            if is_chart(&tree) {
                // The path lies inside a chart, whose files are templates and values.
                return Ok(());
            }
            let entry = tree.get_name_bytes(part.as_bytes()).ok_or_else(missing)?;
            let (kind, id, link) = (entry.kind(), entry.id(), entry.filemode() == SYMLINK);
            drop(entry);
            match kind {
                Some(ObjectType::Tree) => {
                    prefix.push_str(part);
                    prefix.push('/');
                    tree = self.find_tree(id)?;
                }
                Some(ObjectType::Blob) if depth + 1 == components.len() => {
                    return self.blob(format!("{prefix}{part}"), id, link);
                }
                _ => return Err(missing()),
            }
        }
        self.tree(&tree, &prefix, components.len())
    }

    fn tree(&mut self, tree: &Tree<'_>, prefix: &str, depth: usize) -> Result<(), Error> {
        if depth > self.limits.depth {
            let what = format!("{}: {depth} folders deep in {}", prefix.trim_end_matches('/'), self.clone.url());
            return Err(Error::Limit { what, allowed: format!("{} folders", self.limits.depth) });
        }
        if is_chart(tree) {
            return Ok(());
        }
        for entry in tree {
            let name = String::from_utf8_lossy(entry.name_bytes());
            let path = format!("{prefix}{name}");
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    let below = self.find_tree(entry.id())?;
                    self.tree(&below, &format!("{path}/"), depth + 1)?;
                }
                Some(ObjectType::Blob) if name.contains(char::REPLACEMENT_CHARACTER) && is_manifest(&name) => {
                    self.skipped.insert(path, "its name is not UTF-8".into());
                }
                Some(ObjectType::Blob) => self.blob(path, entry.id(), entry.filemode() == SYMLINK)?,
                // A submodule's commit; what it points to is not part of this repository.
                _ => {}
            }
        }
        Ok(())
    }

    fn blob(&mut self, path: String, id: Oid, link: bool) -> Result<(), Error> {
        if !is_manifest(&path) {
            return Ok(());
        }
        if link {
            self.skipped.insert(path, "it is a symbolic link, which is never followed".into());
            return Ok(());
        }
        self.found.insert(path, id);
        if self.found.len() > self.limits.files {
            let what = format!("more manifests than the limit in {}", self.clone.url());
            return Err(Error::Limit { what, allowed: format!("{} files", self.limits.files) });
        }
        Ok(())
    }

    fn load(mut self) -> Result<Manifests, Error> {
        let odb = self.repo.odb().map_err(|error| self.clone.damage("open the objects", &error))?;
        let mut files = Vec::with_capacity(self.found.len());
        let mut total = 0;
        for (path, id) in self.found {
            // The size first: what is too large is never unpacked.
            let (size, _) = odb.read_header(id).map_err(|error| self.clone.damage("read a file", &error))?;
            if size > self.limits.file_bytes {
                let text = format!("it has {size} bytes; the limit is {} bytes", self.limits.file_bytes);
                self.skipped.insert(path, text);
                continue;
            }
            total += size;
            if total > self.limits.total_bytes {
                let what = format!(
                    "the manifests in {} have more than {} bytes together",
                    self.clone.url(),
                    self.limits.total_bytes
                );
                return Err(Error::Limit { what, allowed: format!("{} bytes", self.limits.total_bytes) });
            }
            let blob = self.repo.find_blob(id).map_err(|error| self.clone.damage("read a file", &error))?;
            files.push(RepoFile { path, blob: id.to_string(), bytes: Bytes::copy_from_slice(blob.content()) });
        }
        let skipped = self.skipped.into_iter().map(|(path, reason)| SkippedFile { path, reason }).collect();
        Ok(Manifests { files, skipped })
    }

    fn find_tree(&self, id: Oid) -> Result<Tree<'r>, Error> {
        self.repo.find_tree(id).map_err(|error| self.clone.damage("read a tree", &error))
    }
}

pub(crate) fn is_manifest(path: &str) -> bool {
    EXTENSIONS.iter().any(|extension| path.ends_with(extension))
}

/// A folder that holds a Helm chart: its files are templates and values, not manifests.
fn is_chart(tree: &Tree<'_>) -> bool {
    let has = |name: &str| tree.get_name(name).is_some_and(|entry| entry.kind() == Some(ObjectType::Blob));
    has("Chart.yaml") && has("values.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_repository_are_refused() {
        assert_eq!(components("a//./b/").unwrap(), ["a", "b"]);
        assert_eq!(components(".").unwrap(), Vec::<&str>::new());
        for path in ["/etc", "..", "a/../..", "a\0b", "a\nb"] {
            assert!(components(path).is_err(), "{path:?}");
        }
    }
}
