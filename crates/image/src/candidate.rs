//! What a registry offers, and which of it comes first.

use std::cmp::{Ordering, Reverse};

use jiff::Timestamp;

use crate::digest::Digest;
use crate::filter::Filter;
use crate::tag::Tag;

/// One tag at a registry, with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Candidate {
    /// The tag's name.
    pub tag: Tag,
    /// The digest of what the tag points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// When the image was built, by its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// When the tag was last pushed, where the registry tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Timestamp>,
}

impl Candidate {
    /// A candidate of which only the name is known.
    #[must_use]
    pub fn named(tag: Tag) -> Self {
        Self { tag, digest: None, created: None, pushed: None }
    }

    /// The time that orders it: when it was pushed where the registry tells, else when it was created.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.pushed.or(self.created)
    }
}

/// The order of candidates under a filter, the one to run first.
///
/// A semver filter puts the higher version first, and of equal ones the greater text (`1.10.0` before `1.10`). Every other filter puts the later [`Candidate::time`] first, and what
/// has no time last. What is equal by that goes by [`more_specific_first`].
#[must_use]
pub fn compare(filter: &Filter, a: &Candidate, b: &Candidate) -> Ordering {
    let by_rule = if filter.is_ordered_by_version() {
        Filter::compare_versions(&a.tag, &b.tag)
    } else {
        // `None` is less than any time, so it comes last.
        Reverse(a.time()).cmp(&Reverse(b.time()))
    };
    by_rule.then_with(|| more_specific_first(&a.tag, &b.tag))
}

/// The order of names of one image, the most specific first: `v2.1.3` before `v2.1` before `v2`; else the
/// lexicographically smaller name.
///
/// It is the order of the characters with two places changed: `.` before everything, the end of the name right after
/// it. That makes it total, which "the longer one if the other is its beginning" alone would not be.
#[must_use]
pub fn more_specific_first(a: &Tag, b: &Tag) -> Ordering {
    let rank = |byte: Option<u8>| match byte {
        Some(b'.') => (0, 0),
        None => (1, 0),
        Some(other) => (2, other),
    };
    let (mut left, mut right) = (a.as_str().bytes(), b.as_str().bytes());
    loop {
        let (x, y) = (left.next(), right.next());
        match rank(x).cmp(&rank(y)) {
            Ordering::Equal if x.is_none() => return Ordering::Equal,
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
}
