//! What history says of the line that sets an image: when it was set, by whom, and whether that is a pin (D5).

use crate::ports::{CommitMeta, PathHistory, Person, Revision};
use jiff::Timestamp;
use std::collections::BTreeSet;
use tagboat_image::{Digest, Reference, Tag};
use tagboat_manifest::{ManifestFile, Workload, WorkloadId};

/// The authors whose commits are automation's, not a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automation {
    /// Mail addresses, compared without regard to case.
    pub emails: Vec<String>,
    /// Names, for authors that share an address with people.
    pub names: Vec<String>,
}

impl Automation {
    /// Flux's own author, and ours.
    #[must_use]
    pub fn known(own: &Person) -> Self {
        Self {
            emails: vec!["support@weave.works".to_owned(), own.email.clone()],
            names: vec!["Weave Flux".to_owned(), own.name.clone()],
        }
    }

    /// Whether a commit is automation's.
    #[must_use]
    pub fn made(&self, commit: &CommitMeta) -> bool {
        [&commit.author, &commit.committer].into_iter().any(|person| {
            self.emails.iter().any(|email| !email.is_empty() && email.eq_ignore_ascii_case(&person.email))
                || self.names.iter().any(|name| !name.is_empty() && *name == person.name)
        })
    }
}

/// A person's change of a tag on an image that was automated at that commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Who made the change.
    pub by: String,
    /// The committer date of the first-parent commit that brought it onto the branch.
    pub since: Timestamp,
    /// That commit.
    pub revision: Revision,
}

/// What history says of one image's line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineHistory {
    /// When the current tag was set; `None` where history does not tell.
    pub set: Option<Timestamp>,
    /// Whether a person holds it there.
    pub pin: Option<Pin>,
    /// Every tag that has stood on the line, the current one apart.
    pub stood_tags: BTreeSet<Tag>,
    /// Every digest that has stood on the line, the current one apart.
    pub stood_digests: BTreeSet<Digest>,
    /// Whether history does not reach back to where the tag was set: pins are unknown then.
    pub unknown: bool,
}

/// One state of the line.
struct State {
    image: Option<Reference>,
    automated: bool,
    filter: Option<String>,
}

fn state(workload: &WorkloadId, container: &str, path: &str, bytes: Option<&[u8]>) -> Option<State> {
    let file = ManifestFile::parse(path, bytes?);
    let found: Option<&Workload> = file.workloads_named(workload).next();
    let found = found?;
    let container = found.container(container)?;
    Some(State {
        image: container.current.as_ref().ok().cloned(),
        automated: found.policies.is_automated(),
        filter: found
            .policies
            .filtered_containers()
            .any(|name| name == container.name)
            .then(|| found.policies.filter_for(&container.name).map_or_else(|e| e.to_string(), |f| f.to_string())),
    })
}

/// Reads the history of one image's line, newest change first.
///
/// `current` is what the line says now; a history whose newest state says something else (an edit that is not
/// committed) tells nothing of it.
#[must_use]
pub fn read_line(
    history: &PathHistory,
    workload: &WorkloadId,
    container: &str,
    current: &Reference,
    automation: &Automation,
) -> LineHistory {
    let mut line = LineHistory::default();
    let mut later_filter_change = false;
    let mut newest = true;
    let mut decided = false;
    // The state after a commit is the state before the next newer one: each version is read once.
    let mut known: Option<(bytes::Bytes, Option<State>)> = None;
    for change in &history.changes {
        let after = match known.take() {
            Some((bytes, state)) if change.after.as_ref() == Some(&bytes) => state,
            _ => state(workload, container, &change.path, change.after.as_deref()),
        };
        let before = state(workload, container, &change.path, change.before.as_deref());
        let uncommitted = after.as_ref().and_then(|state| state.image.as_ref()).is_none_or(|image| image != current);
        if std::mem::take(&mut newest) && uncommitted {
            return line;
        }
        let image_after = after.as_ref().and_then(|state| state.image.as_ref());
        let image_before = before.as_ref().and_then(|state| state.image.as_ref());
        for image in [image_after, image_before].into_iter().flatten() {
            line.stood_tags.extend(image.tag().cloned());
            line.stood_digests.extend(image.digest().cloned());
        }
        let same_version = |a: &Reference, b: &Reference| a.tag() == b.tag() && a.digest() == b.digest();
        let set_here = match (image_before, image_after) {
            (Some(before), Some(after)) => !same_version(before, after),
            (None, Some(_)) => true,
            _ => false,
        };
        if !decided && set_here {
            decided = true;
            line.set = Some(change.commit.committed);
            let person = !automation.made(&change.commit);
            let was_automated = before.as_ref().is_some_and(|state| state.automated)
                && after.as_ref().is_some_and(|state| state.automated);
            if person && was_automated && image_before.is_some() && !later_filter_change {
                line.pin = Some(Pin {
                    by: change.commit.author.name.clone(),
                    since: change.commit.committed,
                    revision: change.commit.revision.clone(),
                });
            }
            if line.pin.is_none() {
                // What stood before matters only under a pin.
                break;
            }
        }
        if !decided && before.is_some() && before.as_ref().map(|s| &s.filter) != after.as_ref().map(|s| &s.filter) {
            later_filter_change = true;
        }
        known = change.before.clone().map(|bytes| (bytes, before));
    }
    line.unknown = !decided && !history.complete;
    if let Some(tag) = current.tag() {
        line.stood_tags.remove(tag);
    }
    if let Some(digest) = current.digest() {
        line.stood_digests.remove(digest);
    }
    line
}
