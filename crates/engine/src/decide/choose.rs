use super::Decision;
use super::line::LineHistory;
use super::reason::Reason;
use crate::policy::Effective;
use std::collections::HashSet;
use tagboat_image::{Candidate, Digest, Filter, Reference, compare};
use tagboat_manifest::{Container, Workload};

/// What is known of an image's tags.
#[derive(Debug, Clone, PartialEq)]
pub enum Tags {
    /// A complete list, agreed on by two complete scans where it had shrunk.
    Complete(Vec<Candidate>),
    /// The list is not whole, or has shrunk and was seen only once.
    Incomplete(String),
    /// Nothing is known.
    Unknown(String),
}

/// One image to decide on.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// Its container.
    pub container: &'a Container,
    /// The policies that count: git's and, where stricter, the live ones.
    pub policies: &'a Effective,
    /// The tags of its repository.
    pub tags: &'a Tags,
    /// What history says of its line; `None` where there is no history (a folder that is no git work tree).
    pub history: Option<&'a LineHistory>,
}

/// Decides on one image.
#[must_use]
pub fn decide(image: &Image<'_>) -> Decision {
    let current = image.container.current.as_ref().ok();
    let (reason, candidate) = match choose(image) {
        Ok(found) => found,
        Err(reason) => (reason, None),
    };
    let target = candidate.as_ref().zip(current).map(|(candidate, current)| current.with_tag(&candidate.tag));
    Decision {
        workload: image.workload.id.clone(),
        container: image.container.name.clone(),
        file: image.workload.file.clone(),
        line: image.container.line,
        current: current.cloned(),
        target,
        candidate,
        reason,
    }
}

/// The reason, with the candidate where the image moves.
fn choose(image: &Image<'_>) -> Result<(Reason, Option<Candidate>), Reason> {
    image.policies.held()?;
    let filter = image
        .workload
        .policies
        .filter_for(&image.container.name)
        .map_err(|error| Reason::InvalidFilter { text: error.to_string() })?;
    if let Some(problem) = image.workload.blocked_by() {
        return Err(Reason::InvalidPolicy { text: format!("{}: {}", problem.key, problem.text) });
    }
    let current =
        image.container.current.as_ref().map_err(|problem| Reason::UnsupportedImage { text: problem.to_string() })?;
    let candidates = match image.tags {
        Tags::Complete(candidates) => candidates,
        Tags::Incomplete(text) => return Err(Reason::Incomplete { text: text.clone() }),
        Tags::Unknown(text) => return Err(Reason::NotScanned { text: text.clone() }),
    };
    if current.digest().is_some() {
        return Err(Reason::UnsupportedImage {
            text: format!("{current} is held by its digest; automation moves tags only"),
        });
    }
    let Some(current_tag) = current.tag() else {
        return Err(Reason::UnsupportedImage {
            text: format!("{current} has no tag, so it cannot be told what would be newer; set one by hand once"),
        });
    };
    let matching: Vec<&Candidate> = candidates.iter().filter(|candidate| filter.admits(&candidate.tag)).collect();
    if matching.is_empty() {
        let newest = candidates.iter().min_by(|a, b| compare(&Filter::any(), a, b)).map(|newest| newest.tag.clone());
        return Err(Reason::NoMatch { filter: filter.to_string(), seen: candidates.len(), newest });
    }
    if matching.iter().all(|candidate| candidate.tag == *current_tag) {
        return Err(Reason::Newest { filter: filter.to_string(), matching: matching.len(), seen: candidates.len() });
    }
    let orderable = |candidate: &&Candidate| filter.is_ordered_by_version() || candidate.time().is_some();
    let ordered: Vec<&Candidate> = matching.iter().copied().filter(orderable).collect();
    // Lists are long, and all that counts of one is what comes first.
    let order = |a: &&Candidate, b: &&Candidate| compare(&filter, a, b);
    let Some(first) = ordered.iter().copied().min_by(order) else {
        return Err(Reason::NoTimes { filter: filter.to_string(), matching: matching.len() });
    };
    let stands = Standing::new(&filter, current, candidates, image.history);
    let listed = candidates.iter().find(|candidate| candidate.tag == *current_tag);
    let by_time = filter.admits(current_tag) && !filter.is_ordered_by_version();
    if by_time && listed.is_none() && image.history.is_some_and(|history| history.unknown) {
        return Err(Reason::HistoryUnknown { current: current_tag.clone() });
    }
    let newer = stands.newer_than_current(&ordered, listed);
    let nothing_better = || {
        if first.tag == *current_tag {
            Reason::Newest { filter: filter.to_string(), matching: matching.len(), seen: candidates.len() }
        } else {
            Reason::OnlyOlder { filter: filter.to_string(), newest: first.tag.clone() }
        }
    };
    let Some(best) = newer.iter().copied().min_by(order) else { return Err(nothing_better()) };
    let allowed = newer.iter().copied().filter(|candidate| stands.allowed_by_pin(candidate));
    let Some(chosen) = allowed.min_by(order) else {
        return Err(match image.history.and_then(|history| history.pin.clone()) {
            Some(pin) => {
                let stood = stands.has_stood(best);
                Reason::Pinned { pin, instead_of: best.tag.clone(), stood }
            }
            None => nothing_better(),
        });
    };
    let reason = if !filter.admits(current_tag) {
        Reason::FilterChanged { filter: filter.to_string(), current: current_tag.clone() }
    } else if listed.is_none() {
        Reason::CurrentGone { filter: filter.to_string(), current: current_tag.clone() }
    } else {
        Reason::NewerTag {
            filter: filter.to_string(),
            matching: matching.len(),
            seen: candidates.len(),
            time: chosen.time(),
        }
    };
    Ok((reason, Some(chosen.clone())))
}

/// Where the current tag stands, and what may therefore follow it.
struct Standing<'a> {
    filter: &'a Filter,
    current: &'a Reference,
    history: Option<&'a LineHistory>,
    /// Under a pin, the digests of the images that were on the line before it.
    stood_digests: HashSet<&'a Digest>,
}

impl<'a> Standing<'a> {
    fn new(
        filter: &'a Filter,
        current: &'a Reference,
        candidates: &'a [Candidate],
        history: Option<&'a LineHistory>,
    ) -> Self {
        let mut stood_digests = HashSet::new();
        if let Some((history, pin)) = history.and_then(|history| Some((history, history.pin.as_ref()?))) {
            stood_digests.extend(&history.stood_digests);
            // A tag that stood here says which image that was, unless it was pushed again since.
            let was_then = |it: &&Candidate| {
                history.stood_tags.contains(&it.tag) && it.time().is_none_or(|time| time <= pin.since)
            };
            stood_digests.extend(candidates.iter().filter(was_then).filter_map(|it| it.digest.as_ref()));
        }
        Self { filter, current, history, stood_digests }
    }

    /// The candidates that may follow the current tag by D4.
    fn newer_than_current<'c>(&self, ordered: &[&'c Candidate], listed: Option<&Candidate>) -> Vec<&'c Candidate> {
        let Some(tag) = self.current.tag() else { return Vec::new() };
        let others = ordered.iter().copied().filter(|candidate| candidate.tag != *tag);
        if !self.filter.admits(tag) {
            // The filter was changed, or automation was turned on: the newest match is what that asked for.
            return others.collect();
        }
        let same_image = |candidate: &Candidate| {
            candidate.digest.is_some() && candidate.digest == listed.and_then(|listed| listed.digest.clone())
        };
        let others = others.filter(|candidate| !same_image(candidate));
        if self.filter.is_ordered_by_version() {
            // A version says by itself what it is higher than, be it gone from the registry or not.
            return others.filter(|it| Filter::is_higher_version(&it.tag, tag)).collect();
        }
        match listed.and_then(Candidate::time) {
            // What is as old is not newer.
            Some(time) => others.filter(|candidate| candidate.time() > Some(time)).collect(),
            // Gone from the registry, or without a time there: what was pushed after it was set is newer. Where nothing
            // tells when that was (no history), the newest match is taken.
            None => {
                let set = self.history.and_then(|history| history.set);
                others.filter(|candidate| set.is_none_or(|set| candidate.time() > Some(set))).collect()
            }
        }
    }

    /// Whether a pin, if there is one, lets a candidate through: pushed after it, and never on this line before (D5).
    fn allowed_by_pin(&self, candidate: &Candidate) -> bool {
        let Some(pin) = self.history.and_then(|history| history.pin.as_ref()) else { return true };
        candidate.time().is_some_and(|time| time > pin.since) && !self.has_stood(candidate)
    }

    /// Whether a candidate, by name or digest, was on this line before the pin.
    fn has_stood(&self, candidate: &Candidate) -> bool {
        self.history.is_some_and(|history| history.stood_tags.contains(&candidate.tag))
            || candidate.digest.as_ref().is_some_and(|digest| self.stood_digests.contains(digest))
    }
}
