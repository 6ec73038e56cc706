//! Filters: which tags of a repository an image may be set to.

mod glob;
mod regexp;
mod semver;
mod version;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::error::FilterError;
use crate::tag::Tag;
use crate::text::{Quoted, serde_as_text};
use glob::Glob;
use regexp::Regexp;
use semver::Constraint;
use version::Version;

/// A filter, as an annotation writes it: `glob:main-*` (or `main-*`), `semver:~1.2`, `regexp:^v[0-9]+$`.
///
/// The prefix is case-sensitive and nothing is trimmed, as in Flux. Unlike there, what could never match is an error, so
/// that a filter never means more, or less, than it says.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    pattern: Pattern,
}

#[derive(Debug, Clone)]
enum Pattern {
    Glob(Glob),
    Regexp(Regexp),
    Semver(Constraint),
}

/// Prefixes that name a kind of filter.
const PREFIXES: [&str; 4] = ["glob:", "semver:", "regexp:", "regex:"];

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`FilterError`] when it is malformed, or when no tag could ever match it.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let prefix = PREFIXES.iter().find(|prefix| text.starts_with(**prefix)).copied();
        let body = &text[prefix.map_or(0, str::len)..];
        if body.is_empty() {
            return Err(FilterError::Empty { text: Quoted::new(text), column: text.chars().count() + 1 });
        }
        let pattern = match prefix {
            Some("regexp:" | "regex:") => Pattern::Regexp(Regexp::parse(text, body)?),
            Some("semver:") => Pattern::Semver(Constraint::parse(text, body)?),
            _ => Pattern::Glob(Glob::parse(text, body)?),
        };
        Ok(Self { text: text.to_owned(), pattern })
    }

    /// The filter of an image that has none: `glob:*`.
    #[must_use]
    pub fn any() -> Self {
        Self { text: "glob:*".to_owned(), pattern: Pattern::Glob(Glob::any()) }
    }

    /// The filter as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches the tag's name, whatever else the rules say: see [`Filter::admits`].
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        match &self.pattern {
            Pattern::Glob(glob) => glob.matches(tag.as_str()),
            Pattern::Regexp(regexp) => regexp.matches(tag.as_str()),
            Pattern::Semver(constraint) => {
                Version::parse(tag.as_str()).is_some_and(|version| constraint.matches(&version))
            }
        }
    }

    /// Whether a tag is a candidate: it matches, and it is not `latest` (in any case) unless the filter is exactly
    /// `glob:latest` or `latest`.
    #[must_use]
    pub fn admits(&self, tag: &Tag) -> bool {
        let names_latest = matches!(&self.pattern, Pattern::Glob(glob) if glob.text() == "latest");
        (names_latest || !tag.is_latest()) && self.matches(tag)
    }

    /// Whether candidates are ordered by their version, as under `semver:`; else they are ordered by time.
    #[must_use]
    pub fn is_ordered_by_version(&self) -> bool {
        matches!(self.pattern, Pattern::Semver(_))
    }

    /// The higher version first; of equal versions (`1.10` and `1.10.0`) the greater text; what is no version last.
    pub(crate) fn compare_versions(a: &Tag, b: &Tag) -> Ordering {
        match (Version::parse(a.as_str()), Version::parse(b.as_str())) {
            (Some(x), Some(y)) => y.cmp(&x).then_with(|| b.cmp(a)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.cmp(b),
        }
    }

    /// Whether one tag is a higher version than another; `1.10.0` is no higher than `1.10`.
    #[must_use]
    pub fn is_higher_version(tag: &Tag, than: &Tag) -> bool {
        match (Version::parse(tag.as_str()), Version::parse(than.as_str())) {
            (Some(version), Some(than)) => version.cmp(&than) == Ordering::Greater,
            (version, than) => version.is_some() && than.is_none(),
        }
    }

    /// Whether this is the filter that matches everything.
    #[must_use]
    pub fn is_any(&self) -> bool {
        matches!(&self.pattern, Pattern::Glob(glob) if glob.text() == "*")
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::any()
    }
}

impl fmt::Display for Filter {
    /// With its prefix, as Flux writes it: `main-*` displays as `glob:main-*`, `regex:x` as `regexp:x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Glob(glob) => write!(f, "glob:{}", glob.text()),
            Pattern::Regexp(regexp) => write!(f, "regexp:{}", regexp.text()),
            Pattern::Semver(constraint) => write!(f, "semver:{}", constraint.text()),
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl PartialEq for Filter {
    /// Equal where they display alike, however they were written.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Filter {}

impl PartialOrd for Filter {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Filter {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_string().hash(state);
    }
}

serde_as_text!(Filter);
