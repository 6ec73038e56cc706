//! The history of one file along first parents.

use crate::clone::Clone;
use crate::{Error, Limits, commit, tree};
use bytes::Bytes;
use git2::{Delta, DiffFindOptions, ObjectType, Oid, Repository};
use tagboat_engine::ports::{PathChange, PathHistory, Revision};

const SYMLINK: i32 = 0o120000;

/// How alike two files must be, in percent, for one to be taken as the other's new name.
const SIMILARITY: u16 = 50;

/// Beyond this many added or removed files in one commit, only exact renames are looked for.
const SIMILARITY_FILES: usize = 400;

/// How many of the commits that one merge brought are looked at.
const MERGED_COMMITS: usize = 1_000;

/// Walks from `from` to the root and tells each commit in which the file's bytes differ from its first parent's.
///
/// Where the file was renamed (and perhaps changed) the walk goes on with its old name; a rename that left the bytes
/// alone is no change. Where it was added the walk goes on as well: it may have been removed and put back.
pub(crate) fn read(
    clone: &Clone,
    repo: &Repository,
    from: &Revision,
    path: &str,
    limit: usize,
    limits: &Limits,
) -> Result<PathHistory, Error> {
    let mut walk = Walk { clone, repo, max_bytes: limits.file_bytes, last: None };
    let mut path = tree::components(path)?.join("/");
    let mut child = clone.commit(repo, from)?;
    let mut trace = walk.trace(child.tree_id(), &path, None)?;
    let mut changes = Vec::new();
    for _ in 0..limits.commits {
        let parent = match child.parent(0) {
            Ok(parent) => Some(parent),
            Err(error) if child.parent_count() > 0 => return Err(clone.damage("read a commit", &error)),
            Err(_) if is_cut_off(&child) => return Ok(PathHistory { changes, complete: false }),
            Err(_) => None,
        };
        let Some(parent) = parent else {
            if let Some(blob) = trace.file() {
                if changes.len() == limit {
                    return Ok(PathHistory { changes, complete: false });
                }
                changes.push(walk.change(&child, &path, None, Some(blob))?);
            }
            return Ok(PathHistory { changes, complete: true });
        };
        let mut before = walk.trace(parent.tree_id(), &path, Some(&trace))?;
        let mut old_path = None;
        if let (Some(blob), None) = (trace.file(), before.file())
            && let Some(old) = walk.old_name(&parent, &child, &path, blob)?
        {
            before = walk.trace(parent.tree_id(), &old, None)?;
            old_path = Some(old);
        }
        if before.file() != trace.file() {
            if changes.len() == limit {
                return Ok(PathHistory { changes, complete: false });
            }
            changes.push(walk.change(&child, &path, before.file(), trace.file())?);
        }
        path = old_path.unwrap_or(path);
        (trace, child) = (before, parent);
    }
    Ok(PathHistory { changes, complete: false })
}

/// Whether a commit without parents is where a shallow clone ends: libgit2 hides the parents, the header names them.
pub(crate) fn is_cut_off(commit: &git2::Commit<'_>) -> bool {
    commit.raw_header_bytes().split(|byte| *byte == b'\n').any(|line| line.starts_with(b"parent "))
}

/// The objects on the way to a path: the root tree, the folders, the file; shorter where the way ends early.
pub(crate) struct Trace {
    levels: Vec<Oid>,
    full: usize,
}

impl Trace {
    pub(crate) fn file(&self) -> Option<Oid> {
        (self.levels.len() == self.full).then(|| self.levels.last().copied()).flatten()
    }
}

pub(crate) struct Walk<'r> {
    pub(crate) clone: &'r Clone,
    pub(crate) repo: &'r Repository,
    pub(crate) max_bytes: usize,
    /// The last file read: a change's `before` is the next change's `after`.
    pub(crate) last: Option<(Oid, Bytes)>,
}

impl Walk<'_> {
    /// Follows a path from a root tree. Where a level equals that of a trace of the same path, so does the rest: most
    /// commits are told to have left the file alone by their root or first folder.
    pub(crate) fn trace(&self, root: Oid, path: &str, known: Option<&Trace>) -> Result<Trace, Error> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        let full = 1 + parts.clone().count();
        let mut levels = vec![root];
        let mut current = root;
        for part in parts {
            let level = levels.len() - 1;
            if let Some(known) = known.filter(|known| known.levels.get(level) == Some(&current)) {
                levels.extend(known.levels.iter().skip(level + 1));
                break;
            }
            let tree = self.repo.find_tree(current).map_err(|error| self.clone.damage("read a tree", &error))?;
            let wanted = if levels.len() + 1 == full { ObjectType::Blob } else { ObjectType::Tree };
            match tree.get_name_bytes(part.as_bytes()) {
                Some(entry) if entry.kind() == Some(wanted) && entry.filemode() != SYMLINK => current = entry.id(),
                _ => break,
            }
            levels.push(current);
        }
        // A path of no parts names the root, which is no file.
        Ok(Trace { levels, full: full.max(2) })
    }

    /// The name that an added file had in the parent: a file that went away in the same commit, with the same bytes,
    /// or else with most of them.
    pub(crate) fn old_name(
        &self,
        parent: &git2::Commit<'_>,
        child: &git2::Commit<'_>,
        path: &str,
        blob: Oid,
    ) -> Result<Option<String>, Error> {
        let damage = |error| self.clone.damage("compare two trees", &error);
        let (old, new) = (parent.tree().map_err(damage)?, child.tree().map_err(damage)?);
        let mut diff = self.repo.diff_tree_to_tree(Some(&old), Some(&new), None).map_err(damage)?;
        let name = |path: &std::path::Path| path.to_str().map(str::to_owned);
        let base = path.rsplit('/').next().unwrap_or(path);
        let mut exact: Vec<_> = diff
            .deltas()
            .filter(|delta| delta.status() == Delta::Deleted && delta.old_file().id() == blob)
            .filter_map(|delta| delta.old_file().path().and_then(name))
            .collect();
        // Of several, the one that kept its last name.
        exact.sort_by_key(|old| old.rsplit('/').next() != Some(base));
        if let Some(old) = exact.into_iter().next() {
            return Ok(Some(old));
        }
        let moved = diff.deltas().filter(|delta| matches!(delta.status(), Delta::Deleted | Delta::Added)).count();
        if moved > SIMILARITY_FILES {
            return Ok(None);
        }
        let mut options = DiffFindOptions::new();
        options.renames(true).rename_threshold(SIMILARITY).rename_limit(SIMILARITY_FILES);
        diff.find_similar(Some(&mut options)).map_err(damage)?;
        Ok(diff
            .deltas()
            .find(|delta| {
                delta.status() == Delta::Renamed
                    && delta.new_file().path().is_some_and(|new| new == std::path::Path::new(path))
            })
            .and_then(|delta| delta.old_file().path().and_then(name)))
    }

    pub(crate) fn change(
        &mut self,
        commit: &git2::Commit<'_>,
        path: &str,
        before: Option<Oid>,
        after: Option<Oid>,
    ) -> Result<PathChange, Error> {
        let after = after.map(|id| self.bytes(id, path)).transpose()?;
        let before = before.map(|id| self.bytes(id, path)).transpose()?;
        let merged = if commit.parent_count() > 1 { self.merged(commit, path)? } else { Vec::new() };
        Ok(PathChange { commit: commit::meta(commit), path: path.to_owned(), before, after, merged })
    }

    /// The commits that a merge brought onto the branch and that changed the file, newest first. What cannot be walked (a
    /// shallow clone's edge) is left out: the change is then the merge's own.
    fn merged(&mut self, merge: &git2::Commit<'_>, path: &str) -> Result<Vec<PathChange>, Error> {
        let Ok(mut walk) = self.repo.revwalk() else { return Ok(Vec::new()) };
        let ready = walk
            .set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME)
            .and_then(|()| merge.parent_ids().skip(1).try_for_each(|id| walk.push(id)))
            .and_then(|()| merge.parent_id(0).and_then(|id| walk.hide(id)));
        if ready.is_err() {
            return Ok(Vec::new());
        }
        let mut changes = Vec::new();
        for id in walk.take(MERGED_COMMITS) {
            let Ok(commit) = id.and_then(|id| self.repo.find_commit(id)) else { break };
            // What a merge within them did is what its own parents did.
            if commit.parent_count() != 1 {
                continue;
            }
            let Ok(parent) = commit.parent(0) else { break };
            let after = self.trace(commit.tree_id(), path, None)?;
            let before = self.trace(parent.tree_id(), path, Some(&after))?;
            if after.file() != before.file() {
                changes.push(self.change(&commit, path, before.file(), after.file())?);
            }
        }
        Ok(changes)
    }

    fn bytes(&mut self, id: Oid, path: &str) -> Result<Bytes, Error> {
        if let Some((last, bytes)) = &self.last
            && *last == id
        {
            return Ok(bytes.clone());
        }
        let blob = self.repo.find_blob(id).map_err(|error| self.clone.damage("read a file", &error))?;
        if blob.size() > self.max_bytes {
            let what = format!("{path} had {} bytes in its history", blob.size());
            return Err(Error::Limit { what, allowed: format!("{} bytes", self.max_bytes) });
        }
        let bytes = Bytes::copy_from_slice(blob.content());
        self.last = Some((id, bytes.clone()));
        Ok(bytes)
    }
}
