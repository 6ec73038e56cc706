//! Commits: read for what they say of themselves, and made in the object database without a work tree.

use crate::clone::Clone;
use crate::{Error, Limits};
use git2::{FileMode, ObjectType, Oid, Repository, build::TreeUpdateBuilder};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::Path;
use tagboat_engine::ports::{CommitMeta, CommitPlan, FileEdit, Person, Revision};

const SYMLINK: i32 = 0o120000;
const TRAILER: &str = "Tagboat-Change-Id:";

/// What a commit says of itself.
pub(crate) fn meta(commit: &git2::Commit<'_>) -> CommitMeta {
    let person = |signature: git2::Signature<'_>| Person {
        name: String::from_utf8_lossy(signature.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(signature.email_bytes()).into_owned(),
    };
    CommitMeta {
        revision: Revision(commit.id().to_string()),
        author: person(commit.author()),
        committer: person(commit.committer()),
        // A date that no calendar holds is taken for the oldest: then it pins nothing younger.
        committed: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
    }
}

/// Whether a message carries this change id as a trailer.
pub(crate) fn has_change_id(message: &str, id: &str) -> bool {
    message.lines().any(|line| line.strip_prefix(TRAILER).is_some_and(|value| value.trim() == id))
}

/// Makes the planned commit in the object database. Nothing points to it yet.
pub(crate) fn create(
    clone: &Clone,
    repo: &Repository,
    plan: &CommitPlan,
    author: &Person,
    now: Timestamp,
    limits: &Limits,
) -> Result<Oid, Error> {
    check_message(plan)?;
    let parent = clone.commit(repo, &plan.parent)?;
    let base = parent.tree().map_err(|error| clone.damage("read a tree", &error))?;
    let mut update = TreeUpdateBuilder::new();
    let mut paths = BTreeSet::new();
    for edit in &plan.edits {
        if !paths.insert(edit.path.as_str()) {
            return Err(Error::Invalid(format!("{}: edited twice in one commit", edit.path)));
        }
        let (old, mode) = existing(clone, repo, &base, &plan.parent, edit)?;
        if edit.bytes.len() > limits.file_bytes {
            let what = format!("{} would have {} bytes", edit.path, edit.bytes.len());
            return Err(Error::Limit { what, allowed: format!("{} bytes", limits.file_bytes) });
        }
        let blob = repo.blob(&edit.bytes).map_err(|error| clone.damage("write a file", &error))?;
        if blob != old {
            update.upsert(edit.path.as_str(), blob, mode);
        }
    }
    let tree = update.create_updated(repo, &base).map_err(|error| clone.damage("write a tree", &error))?;
    if tree == base.id() {
        return Err(Error::Invalid(format!("the planned commit on {} would change nothing", plan.parent.short())));
    }
    let tree = repo.find_tree(tree).map_err(|error| clone.damage("read a tree", &error))?;
    let time = git2::Time::new(now.as_second(), 0);
    let signature = git2::Signature::new(&author.name, &author.email, &time)
        .map_err(|error| Error::Invalid(format!("author {} <{}>: {}", author.name, author.email, error.message())))?;
    repo.commit(None, &signature, &signature, &plan.message, &tree, &[&parent])
        .map_err(|error| clone.damage("write a commit", &error))
}

fn check_message(plan: &CommitPlan) -> Result<(), Error> {
    let invalid = |text: &str| Err(Error::Invalid(format!("the planned commit's message {text}")));
    if plan.edits.is_empty() {
        return Err(Error::Invalid("the planned commit edits no file".into()));
    }
    if plan.message.lines().next().is_none_or(|subject| subject.trim().is_empty()) {
        return invalid("has no subject");
    }
    if plan.message.contains(|c: char| c.is_control() && c != '\n') {
        return invalid("holds a control character");
    }
    let id = plan.change_id.0.as_str();
    if id.is_empty() || id.trim() != id || !has_change_id(&plan.message, id) {
        return invalid(&format!("does not carry the trailer `{TRAILER} {id}`"));
    }
    Ok(())
}

/// The file that an edit replaces: its blob and mode.
fn existing(
    clone: &Clone,
    repo: &Repository,
    base: &git2::Tree<'_>,
    parent: &Revision,
    edit: &FileEdit,
) -> Result<(Oid, FileMode), Error> {
    let components = crate::tree::components(&edit.path)?;
    let missing =
        || Error::PathMissing { path: edit.path.clone(), url: clone.url().to_string(), revision: parent.clone() };
    // `get_path` reads sub-trees, so that a damaged one must not look like a missing file.
    let entry = match base.get_path(Path::new(&components.join("/"))) {
        Ok(entry) => entry,
        Err(error) if crate::tree::is_absent(repo, base, &components) => {
            tracing::debug!(git.path = edit.path, error = error.message(), "the edited path is not in the tree");
            return Err(missing());
        }
        Err(error) => return Err(clone.damage("read a tree", &error)),
    };
    match (entry.kind(), entry.filemode()) {
        (Some(ObjectType::Blob), SYMLINK) => {
            Err(Error::Invalid(format!("{}: a symbolic link is not edited", edit.path)))
        }
        (Some(ObjectType::Blob), mode) if mode & 0o111 != 0 => Ok((entry.id(), FileMode::BlobExecutable)),
        (Some(ObjectType::Blob), _) => Ok((entry.id(), FileMode::Blob)),
        _ => Err(Error::Invalid(format!("{}: not a file", edit.path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_id_is_found_only_as_a_whole_trailer() {
        let message = "Auto-release x:1\n\nTagboat-Change-Id: abc\nTagboat-Image: x:1\n";
        assert!(has_change_id(message, "abc"));
        assert!(!has_change_id(message, "ab"));
        assert!(!has_change_id("about Tagboat-Change-Id: abc", "abc"));
    }
}
