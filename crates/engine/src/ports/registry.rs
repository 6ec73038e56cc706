use super::Fault;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tagboat_image::{Digest, Repository, Tag};
use tagboat_manifest::WorkloadId;

/// Which repository, and on whose behalf: credentials are chosen by workload and host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageAccess {
    /// The repository, in canonical form.
    pub repository: Repository,
    /// The workload whose pull credentials may be used; `None` for those of the configuration alone.
    pub workload: Option<WorkloadId>,
}

/// One row of a tag list. Hosts that only give names leave the rest empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// The tag.
    pub tag: Tag,
    /// The digest, where the list gives it (Docker Hub's API).
    pub digest: Option<Digest>,
    /// When it was pushed, where the list gives it (Docker Hub's API).
    pub pushed: Option<Timestamp>,
}

/// The tags of a repository, listed to the end. An incomplete list is a [`Fault`], never a shorter `TagList`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagList {
    /// In the order in which the registry gave them, without duplicates.
    pub rows: Vec<TagRow>,
    /// How many names did not obey the OCI tag grammar and were dropped, and the first of them, escaped.
    pub dropped: Option<(usize, String)>,
}

/// What the manifest and its configuration say of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDetails {
    /// The digest that the tag points to (of the index, where it is one).
    pub digest: Digest,
    /// The build time that the image's configuration states.
    pub created: Option<Timestamp>,
    /// `org.opencontainers.image.revision` and `.source`, where the image carries them.
    pub labels: BTreeMap<String, String>,
}

/// Container registries, all hosts behind one port. Budgets, retries, tokens and redirects are the adapter's affair.
#[async_trait]
pub trait ImageRegistry: Send + Sync {
    /// Lists the tags of a repository to the end, or fails.
    async fn tags(&self, access: &ImageAccess) -> Result<TagList, Fault>;
    /// The digest that a tag points to now, by HEAD; `None` where the tag does not exist.
    async fn digest(&self, access: &ImageAccess, tag: &Tag) -> Result<Option<Digest>, Fault>;
    /// The details of an image, by digest: manifest (through an index, where it is one) and configuration.
    async fn details(&self, access: &ImageAccess, digest: &Digest) -> Result<ImageDetails, Fault>;
    /// A blob, by digest, checked against it (charts in OCI registries).
    async fn blob(&self, access: &ImageAccess, digest: &Digest) -> Result<bytes::Bytes, Fault>;
}

/// What is known of one tag from earlier scans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownTag {
    /// The digest when it was last read.
    pub digest: Option<Digest>,
    /// The build time of that digest.
    pub created: Option<Timestamp>,
    /// The push time, where the registry tells it.
    pub pushed: Option<Timestamp>,
    /// When Tagboat first saw the tag.
    pub first_seen: Timestamp,
}

/// What is known of one repository from earlier scans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRepository {
    /// When the list was last read to the end.
    pub scanned: Option<Timestamp>,
    /// Every tag of that list.
    pub tags: BTreeMap<Tag, KnownTag>,
    /// Tags that the last complete list lacked although the one before had them: a second complete list must agree
    /// before anything is decided on their absence (D4).
    pub missing: BTreeMap<Tag, KnownTag>,
}

/// A cache of what registries said. It may be deleted at any time (D7, D10).
pub trait TagStore: Send + Sync {
    /// What is known of a repository.
    fn load(&self, repository: &Repository) -> Result<Option<KnownRepository>, Fault>;
    /// Replaces what is known of a repository.
    fn save(&self, repository: &Repository, known: &KnownRepository) -> Result<(), Fault>;
}
