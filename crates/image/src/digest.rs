//! A content digest.

use std::fmt;
use std::str::FromStr;

use crate::error::ReferenceError;
use crate::text::{Quoted, serde_as_text};

/// A digest in one of the two algorithms that the OCI image specification registers: `sha256:` and 64, or `sha512:`
/// and 128, lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// Checks and takes a digest.
    ///
    /// # Errors
    /// [`ReferenceError::Digest`] when the text is not a digest in a known algorithm.
    pub fn new(text: impl Into<String>) -> Result<Self, ReferenceError> {
        let text = text.into();
        let wanted = match text.split_once(':') {
            Some(("sha256", hex)) => Some((hex, 64)),
            Some(("sha512", hex)) => Some((hex, 128)),
            _ => None,
        };
        let valid = wanted.is_some_and(|(hex, digits)| {
            hex.len() == digits && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if valid { Ok(Self(text)) } else { Err(ReferenceError::Digest { text: Quoted::new(&text) }) }
    }

    /// The digest as `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The algorithm: `sha256` or `sha512`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.0[..6]
    }

    /// The hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[7..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

serde_as_text!(Digest);
