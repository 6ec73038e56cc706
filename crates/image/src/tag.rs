//! A tag, as the OCI distribution specification allows it.

use std::fmt;
use std::str::FromStr;

use crate::error::ReferenceError;
use crate::text::{Quoted, serde_as_text};

/// A tag that a registry accepts: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (OCI distribution specification, "Pulling
/// manifests"). No other text gets into a command line, a commit or a message as a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Longest tag that a registry accepts, in bytes.
    pub const MAX_LENGTH: usize = 128;

    /// Checks and takes a tag.
    ///
    /// # Errors
    /// [`ReferenceError::Tag`] when the text is not a tag.
    pub fn new(text: impl Into<String>) -> Result<Self, ReferenceError> {
        let text = text.into();
        let reason = if text.is_empty() {
            "a tag is empty".to_owned()
        } else if text.len() > Self::MAX_LENGTH {
            format!("a tag has at most {} characters, this has {}", Self::MAX_LENGTH, text.len())
        } else if text.starts_with(['.', '-']) {
            "a tag does not begin with `.` or `-`".to_owned()
        } else if let Some(bad) = text.chars().find(|&c| !Self::may_hold(c)) {
            format!("a tag has only letters, digits, `_`, `.` and `-`, found {bad:?}")
        } else {
            return Ok(Self(text));
        };
        Err(ReferenceError::Tag { text: Quoted::new(&text), reason })
    }

    /// Whether a tag can contain this character (after its first, which is neither `.` nor `-`).
    #[must_use]
    pub fn may_hold(c: char) -> bool {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
    }

    /// The text of the tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `latest`, in any case: the tag that a filter admits only when it names it.
    #[must_use]
    pub fn is_latest(&self) -> bool {
        self.0.eq_ignore_ascii_case("latest")
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

serde_as_text!(Tag);
