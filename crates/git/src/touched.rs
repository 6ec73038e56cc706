//! Which commits touched which paths, for many histories from one head.

use crate::clone::Clone;
use crate::history::{Walk, is_cut_off};
use crate::{Error, Limits, tree};
use git2::{Oid, Repository};
use std::collections::HashMap;
use tagboat_engine::ports::{PathHistory, Revision};

/// The first parents of a head, and the paths that each of them changed. Made once, by one comparison a commit; the
/// history of a file is then only as long as the file has changes.
pub(crate) struct Touched {
    /// Newest first.
    commits: Vec<Oid>,
    places: HashMap<Oid, usize>,
    by_path: HashMap<Vec<u8>, Vec<usize>>,
    /// Whether the last commit is the first of all; `false` where a limit or a shallow clone ended the walk.
    complete: bool,
}

impl Touched {
    /// Compares each first parent with its own.
    pub(crate) fn read(clone: &Clone, repo: &Repository, head: &Revision, limits: &Limits) -> Result<Self, Error> {
        let damage = |error| clone.damage("compare two trees", &error);
        let mut touched =
            Self { commits: Vec::new(), places: HashMap::new(), by_path: HashMap::new(), complete: false };
        let mut child = clone.commit(repo, head)?;
        for place in 0..limits.commits {
            touched.commits.push(child.id());
            touched.places.insert(child.id(), place);
            let parent = match child.parent(0) {
                Ok(parent) => Some(parent),
                Err(error) if child.parent_count() > 0 => return Err(clone.damage("read a commit", &error)),
                Err(_) if is_cut_off(&child) => return Ok(touched),
                Err(_) => None,
            };
            let new = child.tree().map_err(damage)?;
            let old = parent.as_ref().map(git2::Commit::tree).transpose().map_err(damage)?;
            let diff = repo.diff_tree_to_tree(old.as_ref(), Some(&new), None).map_err(damage)?;
            for delta in diff.deltas() {
                let Some(path) = delta.new_file().path_bytes().or_else(|| delta.old_file().path_bytes()) else {
                    continue;
                };
                touched.by_path.entry(path.to_vec()).or_default().push(place);
            }
            let Some(parent) = parent else {
                touched.complete = true;
                return Ok(touched);
            };
            child = parent;
        }
        Ok(touched)
    }

    /// The history of a file, as [`history::read`](crate::history::read) tells it: from the head, or from the first
    /// parent of one of its commits.
    pub(crate) fn history(
        &self,
        clone: &Clone,
        repo: &Repository,
        before: Option<&Revision>,
        path: &str,
        limit: usize,
        limits: &Limits,
    ) -> Result<PathHistory, Error> {
        let mut walk = Walk { clone, repo, max_bytes: limits.file_bytes, last: None };
        let mut path = tree::components(path)?.join("/");
        let mut changes = Vec::new();
        let mut from = match before.and_then(|before| self.places.get(&Oid::from_str(&before.0).ok()?)) {
            Some(place) => place + 1,
            None => 0,
        };
        while let Some(place) = self.next(&path, from) {
            let damage = |error| clone.damage("read a commit", &error);
            let child = repo.find_commit(self.commits[place]).map_err(damage)?;
            let after = walk.trace(child.tree_id(), &path, None)?.file();
            let mut earlier = None;
            let mut old_path = None;
            if let Some(parent) = self.commits.get(place + 1) {
                let parent = repo.find_commit(*parent).map_err(damage)?;
                earlier = walk.trace(parent.tree_id(), &path, None)?.file();
                if let (Some(blob), None) = (after, earlier)
                    && let Some(old) = walk.old_name(&parent, &child, &path, blob)?
                {
                    earlier = walk.trace(parent.tree_id(), &old, None)?.file();
                    old_path = Some(old);
                }
            }
            if earlier != after {
                if changes.len() == limit {
                    return Ok(PathHistory { changes, complete: false });
                }
                changes.push(walk.change(&child, &path, earlier, after)?);
            }
            path = old_path.unwrap_or(path);
            from = place + 1;
        }
        Ok(PathHistory { changes, complete: self.complete })
    }

    /// The next commit from a place on that touched a path.
    fn next(&self, path: &str, from: usize) -> Option<usize> {
        let places = self.by_path.get(path.as_bytes())?;
        places.get(places.partition_point(|place| *place < from)).copied()
    }
}
