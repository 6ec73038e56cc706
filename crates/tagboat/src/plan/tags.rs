//! The file of tags.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use tagboat_engine::decide::Tags;
use tagboat_image::{Candidate, Digest, Repository, Tag};

/// What the registries offer, by canonical repository.
pub struct Images(BTreeMap<Repository, Tags>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    images: BTreeMap<String, Vec<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    tag: String,
    #[serde(default, deserialize_with = "time")]
    pushed: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    created: Option<Timestamp>,
    #[serde(default)]
    digest: Option<Digest>,
}

fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let wrong = |error| serde::de::Error::custom(format!("{text:?} is no time such as 2020-12-25T16:00:00Z: {error}"));
    text.parse().map(Some).map_err(wrong)
}

/// Reads the file.
///
/// # Errors
/// It cannot be read, or is not of this form.
pub fn read(path: &Path) -> Result<Images> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: File = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{}: expected {{\"images\":{{\"acme/web\":[{{\"tag\":\"main-1a2b\",\"pushed\":\"2020-12-25T16:00:00Z\"}}]}}}}",
            path.display()
        )
    })?;
    let mut images: BTreeMap<Repository, BTreeMap<Tag, Candidate>> = BTreeMap::new();
    for (name, rows) in file.images {
        let repository = Repository::parse(&name).with_context(|| format!("{}: images[{name:?}]", path.display()))?;
        let known = images.entry(repository).or_default();
        // Tags outside the OCI grammar do not exist at any registry; they are dropped, as a scan drops them.
        for row in rows {
            let Ok(tag) = Tag::new(row.tag) else { continue };
            let candidate =
                Candidate { tag: tag.clone(), digest: row.digest, created: row.created, pushed: row.pushed };
            known.insert(tag, candidate);
        }
    }
    let complete = |tags: BTreeMap<Tag, Candidate>| Tags::Complete(tags.into_values().collect());
    Ok(Images(images.into_iter().map(|(repository, tags)| (repository, complete(tags))).collect()))
}

impl Images {
    /// The tags of a repository. The file counts as two complete scans that agree.
    pub fn of(&self, repository: &Repository) -> Cow<'_, Tags> {
        match self.0.get(repository) {
            Some(tags) => Cow::Borrowed(tags),
            None => {
                Cow::Owned(Tags::Unknown(format!("nothing is known of {repository}: it is not in the file of tags")))
            }
        }
    }
}
