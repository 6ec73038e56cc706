//! An image reference, as somebody wrote it.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::ReferenceError;
use crate::repository::Repository;
use crate::tag::Tag;
use crate::text::serde_as_text;

/// An image reference that keeps its spelling: `docker.io/mozilla/commonvoice:v1` displays as it was written, and its
/// [`repository`](Reference::repository) is the canonical `mozilla/commonvoice`.
///
/// Equality and order are those of the text; compare repositories to ask whether two references name the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    name: String,
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads `[host/]path[:tag][@digest]`.
    ///
    /// # Errors
    /// [`ReferenceError`] that says which part is malformed and what is allowed there.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        let last_component = named.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match named[last_component..].find(':') {
            Some(colon) if !named[last_component + colon..].starts_with("://") => {
                let colon = last_component + colon;
                (&named[..colon], Some(&named[colon + 1..]))
            }
            _ => (named, None),
        };
        // The name first: "http://reg/x:y" should be told about its scheme, not about its tag.
        let repository = Repository::parse_name(name, text)?;
        let tag = tag.map(str::parse).transpose()?;
        let digest = digest.map(str::parse).transpose()?;
        Ok(Self { name: name.to_owned(), repository, tag, digest })
    }

    /// The name as it was written, without tag and digest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The repository in canonical form.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if there is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same name with this tag and no digest (the old digest would be another image's).
    #[must_use]
    pub fn with_tag(&self, tag: &Tag) -> Self {
        Self { tag: Some(tag.clone()), digest: None, ..self.clone() }
    }

    /// The same name and tag, pinned to this digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { digest: Some(digest.clone()), ..self.clone() }
    }

    /// This name with the tag and the digest of `other`.
    #[must_use]
    pub fn with_version_of(&self, other: &Self) -> Self {
        Self { tag: other.tag.clone(), digest: other.digest.clone(), ..self.clone() }
    }

    /// What stands after the name: `tag`, `tag@digest`, `@digest` or nothing.
    #[must_use]
    pub fn version(&self) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), Some(digest)) => format!("{tag}@{digest}"),
            (Some(tag), None) => tag.to_string(),
            (None, Some(digest)) => format!("@{digest}"),
            (None, None) => String::new(),
        }
    }
}

impl From<&Repository> for Reference {
    /// The repository in its short form, without tag and digest.
    fn from(repository: &Repository) -> Self {
        Self { name: repository.to_string(), repository: repository.clone(), tag: None, digest: None }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(Reference);
