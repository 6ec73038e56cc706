//! What history says of the line that sets an image: when it was set, by whom, and whether that is a pin (D5).

use crate::commit::IMAGE_TRAILER;
use crate::ports::{CommitMeta, PathChange, PathHistory, Person, Revision};
use jiff::Timestamp;
use std::collections::BTreeSet;
use tagboat_image::{Digest, Reference, Tag};
use tagboat_manifest::{ManifestFile, Severity, WorkloadId};

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
    /// Every digest that has stood on the line, or that our trailers recorded for it, the current one apart.
    pub stood_digests: BTreeSet<Digest>,
    /// The commit in which the image came into the file, where that is how its tag was set: it may have stood in another
    /// file before.
    pub entered: Option<Revision>,
    /// Whether history does not reach back to where the tag was set: pins are unknown then.
    pub unknown: bool,
}

/// One state of the line.
struct State {
    image: Option<Reference>,
    automated: bool,
    filter: Option<String>,
}

/// What a version of the file says of the line.
enum Reading {
    Known(State),
    /// The file does not parse where the line may be: what it said before and after still counts.
    Unreadable,
    Absent,
}

/// Whose line it is.
struct Line<'a> {
    workload: &'a WorkloadId,
    container: &'a str,
}

impl Line<'_> {
    fn read(&self, path: &str, bytes: Option<&[u8]>) -> Reading {
        let Some(bytes) = bytes else { return Reading::Absent };
        let file = ManifestFile::parse(path, bytes);
        let found = file.workloads_named(self.workload).next();
        let Some((found, container)) = found.and_then(|found| Some((found, found.container(self.container)?))) else {
            let broken = file.problems.iter().any(|problem| problem.severity == Severity::Error);
            return if broken && found.is_none() { Reading::Unreadable } else { Reading::Absent };
        };
        Reading::Known(State {
            image: container.current.as_ref().ok().cloned(),
            automated: found.policies.is_automated(),
            filter: found
                .policies
                .has_filter_for(self.container)
                .then(|| found.policies.filter_for(self.container).map_or_else(|e| e.to_string(), |f| f.to_string())),
        })
    }

    /// What our trailers in a message say that a commit set this line to.
    fn trailers<'m>(&self, message: &'m str) -> impl Iterator<Item = Reference> + use<'m> {
        let lead = format!("{IMAGE_TRAILER}: {} {} ", self.workload, self.container);
        message.lines().filter_map(move |line| line.trim_end().strip_prefix(&lead)?.trim().parse().ok())
    }

    /// The commit that changed the line to this image: of a merge the merged one, else the change's own.
    fn author<'c>(&self, change: &'c PathChange, image: &Reference) -> &'c CommitMeta {
        let says = |path: &str, bytes: Option<&[u8]>| match self.read(path, bytes) {
            Reading::Known(State { image: Some(image), .. }) => Some(image),
            _ => None,
        };
        change
            .merged
            .iter()
            .find(|merged| {
                says(&merged.path, merged.after.as_deref()).is_some_and(|after| same_version(&after, image))
                    && says(&merged.path, merged.before.as_deref()).is_none_or(|before| !same_version(&before, image))
            })
            .map_or(&change.commit, |merged| &merged.commit)
    }

    /// Whether a person made the change: neither automation did, nor is it what automation had proposed (a pull request
    /// that was squashed carries its trailers).
    fn person<'c>(&self, change: &'c PathChange, image: &Reference, automation: &Automation) -> Option<&'c CommitMeta> {
        let author = self.author(change, image);
        let proposed = [&change.commit, author]
            .into_iter()
            .any(|commit| self.trailers(&commit.message).any(|proposed| proposed.tag() == image.tag()));
        (!proposed && !automation.made(author)).then_some(author)
    }
}

fn same_version(a: &Reference, b: &Reference) -> bool {
    a.tag() == b.tag() && a.digest() == b.digest()
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
    let line = Line { workload, container };
    let mut reader =
        Reader { line: &line, automation, found: LineHistory::default(), decided: false, refiltered: false };
    // The oldest state read so far, and the commit that brought it onto the branch.
    let mut newer: Option<(&PathChange, State)> = None;
    for (index, change) in history.changes.iter().enumerate() {
        let reading = line.read(&change.path, change.after.as_deref());
        if index == 0 && !matches!(&reading, Reading::Known(State { image: Some(image), .. }) if image == current) {
            return LineHistory::default();
        }
        if reader.is_done() {
            return reader.found;
        }
        match reading {
            Reading::Known(state) => {
                if let Some((change, newer)) = newer.take() {
                    reader.step(change, Some(&state), &newer);
                }
                newer = Some((change, state));
            }
            Reading::Unreadable => {}
            Reading::Absent => {
                if let Some((change, newer)) = newer.take() {
                    reader.step(change, None, &newer);
                }
            }
        }
        reader.found.stood_digests.extend(
            line.trailers(&change.commit.message)
                .filter(|image| image.tag() != current.tag())
                .filter_map(|image| image.digest().cloned()),
        );
    }
    if let (Some((change, newer)), Some(oldest)) = (newer, history.changes.last()) {
        match line.read(&oldest.path, oldest.before.as_deref()) {
            Reading::Known(state) => reader.step(change, Some(&state), &newer),
            // Where the history was cut off, what is before it is unknown.
            Reading::Absent if history.complete || oldest.before.is_some() => reader.step(change, None, &newer),
            _ => {}
        }
    }
    let Reader { mut found, decided, .. } = reader;
    found.unknown = !decided && !history.complete;
    if let Some(tag) = current.tag() {
        found.stood_tags.remove(tag);
    }
    if let Some(digest) = current.digest() {
        found.stood_digests.remove(digest);
    }
    found
}

/// Goes from a state of the line to the one before it.
struct Reader<'a> {
    line: &'a Line<'a>,
    automation: &'a Automation,
    found: LineHistory,
    /// Whether it is known when the current tag was set.
    decided: bool,
    /// Whether the filter was changed after the tag was set.
    refiltered: bool,
}

impl Reader<'_> {
    /// What stood before the tag was set matters only under a pin.
    fn is_done(&self) -> bool {
        self.decided && self.found.pin.is_none()
    }

    fn step(&mut self, change: &PathChange, older: Option<&State>, newer: &State) {
        let image_before = older.and_then(|state| state.image.as_ref());
        for image in [Some(newer), older].into_iter().flatten().filter_map(|state| state.image.as_ref()) {
            self.found.stood_tags.extend(image.tag().cloned());
            self.found.stood_digests.extend(image.digest().cloned());
        }
        if self.decided {
            return;
        }
        let set_here = match (image_before, &newer.image) {
            (Some(before), Some(after)) => !same_version(before, after),
            (None, Some(_)) => true,
            _ => false,
        };
        if let (true, Some(image)) = (set_here, &newer.image) {
            self.decided = true;
            self.found.set = Some(change.commit.committed);
            self.found.entered = older.is_none().then(|| change.commit.revision.clone());
            let was_automated = newer.automated && older.is_some_and(|state| state.automated);
            if was_automated
                && image_before.is_some()
                && !self.refiltered
                && let Some(person) = self.line.person(change, image, self.automation)
            {
                self.found.pin = Some(Pin {
                    by: person.author.name.clone(),
                    since: change.commit.committed,
                    revision: change.commit.revision.clone(),
                });
            }
        } else if older.is_some_and(|state| state.filter != newer.filter) {
            self.refiltered = true;
        }
    }
}
