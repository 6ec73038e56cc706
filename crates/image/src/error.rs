//! What can be wrong with a reference or with a filter.

use std::fmt::Write as _;

use crate::text::Quoted;

/// Why a text is not an image reference, or not the part of one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// There is no text.
    #[error("an image reference is empty")]
    Empty,
    /// The text begins with `http://`, `oci://` or another scheme; a reference has none.
    #[error("invalid image reference {text}: remove the scheme {scheme:?}")]
    Scheme {
        /// What was found.
        text: Quoted,
        /// The scheme with its `://`.
        scheme: String,
    },
    /// The text holds `$(VAR)`, `${VAR}` or `{{ … }}`, so that it is known only after something else has replaced it.
    #[error("image {text} contains a variable; cannot automate")]
    Variable {
        /// What was found.
        text: Quoted,
    },
    /// The registry's host or port is malformed.
    #[error("invalid image reference {text}: {reason}")]
    Host {
        /// What was found.
        text: Quoted,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// The repository's path is malformed: upper case, an empty component, a character that is not allowed.
    #[error("invalid image reference {text}: {reason}")]
    Path {
        /// What was found.
        text: Quoted,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// The text has a tag or a digest where only a repository's name is allowed.
    #[error("{text} is an image reference; expected a repository without tag and digest")]
    NotARepository {
        /// What was found.
        text: Quoted,
    },
    /// The tag is not one that a registry accepts.
    #[error("invalid tag {text}: {reason}")]
    Tag {
        /// What was found.
        text: Quoted,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// The digest is malformed or in an unknown algorithm.
    #[error("invalid digest {text}: expected sha256: and 64, or sha512: and 128, lower-case hexadecimal digits")]
    Digest {
        /// What was found.
        text: Quoted,
    },
}

/// Why a text is not a filter. A filter that is invalid matches nothing: its image stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The pattern is empty, so that no tag could ever match.
    #[error("the filter {text} has no pattern, so no tag could match; write glob:* to match every tag")]
    Empty {
        /// The whole filter.
        text: Quoted,
        /// Where the pattern should begin, in characters from 1.
        column: usize,
    },
    /// The part before the colon is no kind of filter.
    #[error("unknown kind of filter {prefix:?} in {text}; known are glob:, semver:, regexp: and regex:")]
    UnknownPrefix {
        /// The whole filter.
        text: Quoted,
        /// The prefix with its colon.
        prefix: String,
        /// Always 1.
        column: usize,
    },
    /// The pattern holds something that a tag cannot, so that no tag could ever match.
    #[error("no tag could match the filter {text}: {reason} at column {column}")]
    Unmatchable {
        /// The whole filter.
        text: Quoted,
        /// What no tag has.
        reason: String,
        /// Where it stands, in characters from 1.
        column: usize,
    },
    /// The regular expression does not compile, or is too large.
    #[error("invalid regular expression in the filter {text}: {reason} at column {column}")]
    Regexp {
        /// The whole filter.
        text: Quoted,
        /// The compiler's reason.
        reason: String,
        /// Where it stands, in characters from 1.
        column: usize,
    },
    /// The semver constraint is malformed.
    #[error("invalid semver constraint in the filter {text}: {reason} at column {column}")]
    Semver {
        /// The whole filter.
        text: Quoted,
        /// What is wrong and what is allowed.
        reason: String,
        /// Where it stands, in characters from 1.
        column: usize,
    },
}

impl FilterError {
    /// Where in the filter's text the fault is, in characters from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        match self {
            Self::Empty { column, .. }
            | Self::UnknownPrefix { column, .. }
            | Self::Unmatchable { column, .. }
            | Self::Regexp { column, .. }
            | Self::Semver { column, .. } => *column,
        }
    }

    /// The filter on one line and a caret under the fault on the next, for terminals.
    #[must_use]
    pub fn caret(&self, text: &str) -> String {
        let mut out: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let _ = write!(out, "\n{:>width$}", '^', width = self.column());
        out
    }
}
