//! Reads what registries offer: lists tags to the end, and reads times of those that matter, once for each digest.
//!
//! ```text
//!  tags() ──▶ settle(known, list) ──▶ new names that a filter matches ──▶ digest(), details() ──▶ candidates
//!                     │
//!                     └─ names that are gone wait for a second complete list (D4)
//! ```

use crate::decide::Tags;
use crate::ports::{
    Clock, Fault, FaultKind, ImageAccess, ImageDetails, ImageRegistry, KnownRepository, KnownTag, TagList, TagStore,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::collections::BTreeMap;
use tagboat_image::{Candidate, Digest, Filter, Tag};
use tracing::{debug, warn};

/// How many images of one repository are read side by side.
const PARALLEL: usize = 4;

/// What a scan asks: one repository, and the filters of every image that comes from it.
#[derive(Debug, Clone)]
pub struct Question {
    /// The repository, and on whose behalf it is read.
    pub access: ImageAccess,
    /// Tags that pass one of these matter.
    pub filters: Vec<Filter>,
    /// Tags that run now: they matter too.
    pub current: Vec<Tag>,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanned {
    /// For the decision.
    pub tags: Tags,
    /// When the list was read to the end.
    pub at: Timestamp,
    /// Tags that pass a filter but could not be read, and why: they are skipped and block nothing.
    pub skipped: Vec<(Tag, String)>,
    /// How many images were read anew.
    pub read: usize,
}

/// Scans one repository.
///
/// # Errors
/// The list could not be read to the end: nothing may be decided on it.
pub async fn scan(
    question: &Question,
    registry: &dyn ImageRegistry,
    store: &dyn TagStore,
    clock: &dyn Clock,
) -> Result<Scanned, Fault> {
    let repository = &question.access.repository;
    let list = registry.tags(&question.access).await?;
    let now = clock.now();
    let before = store.load(repository).unwrap_or_else(|fault| {
        warn!(image.repository = %repository, error = %fault, "the tag store cannot be read; scanning from scratch");
        None
    });
    if let Some((count, first)) = &list.dropped {
        debug!(image.repository = %repository, count, first, "tags outside the OCI grammar were dropped");
    }
    let mut known = settle(before.clone().unwrap_or_default(), &list, now);
    let wanted: Vec<Tag> = known
        .tags
        .iter()
        .filter(|(tag, row)| row.digest.is_none() && row.pushed.is_none() && question.matters(tag))
        .map(|(tag, _)| tag.clone())
        .collect();
    let reading = read_times(question, &wanted, &mut known, registry).await;
    let changed = before.is_none_or(|before| before.tags != known.tags || before.missing != known.missing);
    if changed && let Err(fault) = store.save(repository, &known) {
        warn!(image.repository = %repository, error = %fault, "the tag store cannot be written");
    }
    let tags = match (&reading.stopped, known.missing.len()) {
        (Some(fault), _) => Tags::Incomplete(format!(
            "scanning {}: {} of {} images read; {fault}",
            repository,
            reading.read + reading.skipped.len(),
            wanted.len()
        )),
        (None, 0) => Tags::Complete(known.tags.iter().map(|(tag, row)| candidate(tag, row)).collect()),
        (None, gone) => Tags::Incomplete(format!(
            "the list of {repository} lost {gone} tags, {} among them; a second complete scan must agree",
            known.missing.keys().next().map(ToString::to_string).unwrap_or_default()
        )),
    };
    Ok(Scanned { tags, at: now, skipped: reading.skipped, read: reading.read })
}

impl Question {
    fn matters(&self, tag: &Tag) -> bool {
        self.current.contains(tag) || self.filters.iter().any(|filter| filter.admits(tag))
    }
}

fn candidate(tag: &Tag, row: &KnownTag) -> Candidate {
    Candidate { tag: tag.clone(), digest: row.digest.clone(), created: row.created, pushed: row.pushed }
}

/// Brings what was known up to a complete list. What the list lacks goes to `missing`, and is forgotten when the next
/// complete list lacks it too.
fn settle(mut known: KnownRepository, list: &TagList, now: Timestamp) -> KnownRepository {
    let mut tags = BTreeMap::new();
    for row in &list.rows {
        let earlier = known.tags.remove(&row.tag).or_else(|| known.missing.remove(&row.tag));
        let mut entry = earlier.unwrap_or(KnownTag { digest: None, created: None, pushed: None, first_seen: now });
        if row.digest.is_some() && row.digest != entry.digest {
            // The list itself says that the tag points elsewhere: its times are to be read anew.
            entry.digest = row.digest.clone();
            entry.created = None;
        }
        entry.pushed = row.pushed.or(entry.pushed);
        tags.insert(row.tag.clone(), entry);
    }
    // What is still in `known.tags` was there at the last complete list and is not now.
    KnownRepository { scanned: Some(now), tags, missing: known.tags }
}

struct Reading {
    /// Images whose time is now known.
    read: usize,
    skipped: Vec<(Tag, String)>,
    /// What ended the reading early.
    stopped: Option<Fault>,
}

/// Reads the times of tags. A tag that cannot be read is skipped; a registry that asks for a pause ends the slice.
async fn read_times(
    question: &Question,
    wanted: &[Tag],
    known: &mut KnownRepository,
    registry: &dyn ImageRegistry,
) -> Reading {
    let mut created: BTreeMap<Digest, Option<Timestamp>> =
        known.tags.values().filter_map(|row| Some((row.digest.clone()?, Some(row.created?)))).collect();
    let mut reading = Reading { read: 0, skipped: Vec::new(), stopped: None };
    let mut digests: Vec<(Tag, Digest)> = Vec::new();
    let asked: Vec<_> = wanted.iter().map(|tag| ask_digest(registry, &question.access, tag.clone())).collect();
    let mut answers = futures::stream::iter(asked).buffered(PARALLEL);
    while let Some((tag, answer)) = answers.next().await {
        match answer {
            Ok(Some(digest)) => digests.push((tag.clone(), digest)),
            Ok(None) => reading.skipped.push((tag.clone(), "the tag is listed, but there is no manifest".to_owned())),
            Err(fault) if ends_the_slice(&fault) => {
                reading.stopped = Some(fault);
                break;
            }
            Err(fault) => reading.skipped.push((tag.clone(), fault.to_string())),
        }
    }
    drop(answers);
    let mut fresh: Vec<Digest> = digests.iter().map(|(_, digest)| digest.clone()).collect();
    fresh.sort();
    fresh.dedup();
    fresh.retain(|digest| !created.contains_key(digest));
    let mut failed: BTreeMap<Digest, String> = BTreeMap::new();
    let asked: Vec<_> = fresh.into_iter().map(|digest| ask_details(registry, &question.access, digest)).collect();
    let mut details = futures::stream::iter(asked).buffered(PARALLEL);
    while let Some((digest, answer)) = details.next().await {
        match answer {
            Ok(found) => {
                created.insert(digest, found.created);
            }
            Err(fault) if ends_the_slice(&fault) => {
                reading.stopped = Some(fault);
                break;
            }
            Err(fault) => {
                failed.insert(digest, fault.to_string());
            }
        }
    }
    drop(details);
    for (tag, digest) in digests {
        let failure = failed.get(&digest).cloned();
        let Some(time) = created.get(&digest).copied().or(failure.is_some().then_some(None)) else { continue };
        match (&failure, time) {
            (Some(text), _) => reading.skipped.push((tag.clone(), text.clone())),
            (None, None) => {
                reading.skipped.push((tag.clone(), "its configuration states no time of creation".to_owned()));
            }
            (None, Some(_)) => reading.read += 1,
        }
        // Also of an image that cannot be read the digest is kept, so that it is not asked for again.
        if let Some(row) = known.tags.get_mut(&tag) {
            row.digest = Some(digest);
            row.created = time;
        }
    }
    reading
}

fn ask_digest<'a>(
    registry: &'a dyn ImageRegistry,
    access: &'a ImageAccess,
    tag: Tag,
) -> BoxFuture<'a, (Tag, Result<Option<Digest>, Fault>)> {
    Box::pin(async move {
        let answer = registry.digest(access, &tag).await;
        (tag, answer)
    })
}

fn ask_details<'a>(
    registry: &'a dyn ImageRegistry,
    access: &'a ImageAccess,
    digest: Digest,
) -> BoxFuture<'a, (Digest, Result<ImageDetails, Fault>)> {
    Box::pin(async move {
        let answer = registry.details(access, &digest).await;
        (digest, answer)
    })
}

/// Whether a fault speaks of the registry, and not of this one tag.
fn ends_the_slice(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::Throttled | FaultKind::Unavailable | FaultKind::Timeout | FaultKind::Denied | FaultKind::Incomplete
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::TagRow;

    fn list(names: &[&str]) -> TagList {
        TagList {
            rows: names
                .iter()
                .map(|name| TagRow { tag: Tag::new(*name).unwrap(), digest: None, pushed: None })
                .collect(),
            dropped: None,
        }
    }

    fn names(map: &BTreeMap<Tag, KnownTag>) -> Vec<&str> {
        map.keys().map(Tag::as_str).collect()
    }

    #[test]
    fn a_tag_that_vanishes_waits_for_a_second_complete_list() {
        let first = settle(KnownRepository::default(), &list(&["a", "b"]), Timestamp::UNIX_EPOCH);
        assert_eq!(names(&first.tags), ["a", "b"]);
        assert!(first.missing.is_empty());
        let second = settle(first, &list(&["a"]), Timestamp::UNIX_EPOCH);
        assert_eq!((names(&second.tags), names(&second.missing)), (vec!["a"], vec!["b"]));
        let third = settle(second.clone(), &list(&["a"]), Timestamp::UNIX_EPOCH);
        assert!(third.missing.is_empty(), "two complete lists agree");
        let back = settle(second, &list(&["a", "b"]), Timestamp::UNIX_EPOCH);
        assert_eq!((names(&back.tags), names(&back.missing)), (vec!["a", "b"], vec![]));
    }
}
