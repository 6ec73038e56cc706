//! Versions, read as leniently as Flux's users are used to.

use std::cmp::Ordering;

/// A semantic version with a leading `v` or without, with one to three numbers: `v1`, `1.2`, `1.2.3-rc.1`. Build metadata
/// is allowed and says nothing about the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) numbers: [u64; 3],
    /// Empty for a release.
    pub(super) pre: String,
}

impl Version {
    /// `None` for what is no version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = split_at_mark(text, '+');
        let (core, pre) = split_at_mark(text, '-');
        let mut numbers = [0; 3];
        let mut parts = core.split('.');
        for number in &mut numbers {
            match parts.next() {
                Some(part) if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => {
                    *number = part.parse().ok()?;
                }
                Some(_) => return None,
                None => break,
            }
        }
        let extra_ok = parts.next().is_none()
            && metadata.is_none_or(|metadata| metadata.split('.').all(is_identifier))
            && pre.is_none_or(|pre| pre.split('.').all(|part| is_identifier(part) && !has_leading_zero(part)));
        extra_ok.then(|| Self { numbers, pre: pre.unwrap_or_default().to_owned() })
    }

    pub(super) fn is_prerelease(&self) -> bool {
        !self.pre.is_empty()
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    /// Precedence as in Semantic Versioning 2.0.0, section 11.
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.is_prerelease(), other.is_prerelease()) {
            (false, other_pre) => other_pre.cmp(&false),
            (true, false) => Ordering::Less,
            (true, true) => compare_pre(&self.pre, &other.pre),
        })
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let unequal = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            // A number is before a word; one too large for 64 bits counts as a word.
            (Some(x), Some(y)) => match (number(x), number(y)) {
                (Some(m), Some(n)) => m.cmp(&n),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => x.cmp(y),
            },
        };
        if unequal != Ordering::Equal {
            return unequal;
        }
    }
}

fn number(part: &str) -> Option<u64> {
    // Rust's parser would take a leading plus.
    part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
}

fn split_at_mark(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn has_leading_zero(part: &str) -> bool {
    part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit())
}
