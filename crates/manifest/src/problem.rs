//! What is wrong in a file of manifests, and where.

use std::fmt;

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is usable, but not what its author may think: a duplicate key, a misspelt annotation.
    Warning,
    /// A document or an object is left out of what was read.
    Error,
}

/// One fault in a file, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Problem {
    /// The file, as it was named to [`ManifestFile::parse`](crate::ManifestFile::parse).
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, what was found and what is allowed.
    pub text: String,
}

impl Problem {
    /// Whether a document or an object is left out because of it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.text)
    }
}
