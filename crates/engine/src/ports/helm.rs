use super::Fault;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// Which chart a release wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChartRequest {
    /// The repository's URL as the release writes it (a configured mirror may stand in for it).
    pub repository: String,
    /// The chart's name.
    pub name: String,
    /// An exact version or a range.
    pub version: String,
    /// The namespace of the release, for the choice of credentials.
    pub namespace: String,
}

/// A chart at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartArchive {
    /// The packaged chart (`.tgz`) in the cache.
    pub path: PathBuf,
    /// The archive's digest, `sha256:…`.
    pub digest: String,
    /// The chart's exact version.
    pub version: String,
}

/// Where charts come from.
#[async_trait]
pub trait ChartSource: Send + Sync {
    /// Fetches a chart, from the cache where the same digest is there.
    async fn fetch(&self, request: &ChartRequest) -> Result<ChartArchive, Fault>;
}

/// What templates see of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// `v1.37.2`.
    pub kube_version: String,
    /// Every `group/version` and `group/version/Kind` that the API server serves, sorted.
    pub api_versions: Vec<String>,
}

/// One rendering.
#[derive(Debug, Clone)]
pub struct RenderRequest {
    /// The chart.
    pub chart: ChartArchive,
    /// `.Release.Name`.
    pub release: String,
    /// `.Release.Namespace`.
    pub namespace: String,
    /// `.Release.Revision`.
    pub revision: u64,
    /// `.Release.IsUpgrade`; otherwise `.Release.IsInstall`.
    pub upgrade: bool,
    /// The user's values (not merged with the chart's own).
    pub values: Value,
    /// The cluster's version and APIs.
    pub capabilities: Capabilities,
}

/// One rendered object, in the order in which it is to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedObject {
    /// The template it came from, `chart/templates/x.yaml`.
    pub source: String,
    /// Its YAML, as rendered.
    pub manifest: String,
    /// The same as Helm reads it (YAML 1.1; of a duplicate key the last wins); null where there are only comments.
    pub object: Value,
    /// Duplicate keys, with their lines.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One hook of the release, in Helm's own shape and order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderedHook {
    /// The object's name.
    pub name: String,
    /// The object's kind.
    pub kind: String,
    /// The template it came from.
    pub path: String,
    /// Its YAML.
    pub manifest: String,
    /// The same as Helm reads it.
    pub object: Value,
    /// When it runs: `pre-install`, `post-upgrade`, …
    pub events: Vec<String>,
    /// Lower runs first.
    #[serde(default)]
    pub weight: i64,
    /// When it is removed: `before-hook-creation`, …
    #[serde(default)]
    pub delete_policies: Vec<String>,
    /// When its log is to be shown.
    #[serde(default)]
    pub output_log_policies: Vec<String>,
}

/// What Helm's library made of a chart and values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// The manifest as Helm stores it: the documents joined, each with its `# Source:` line, in install order.
    pub manifest: String,
    /// The same, one object each, in install order.
    pub objects: Vec<RenderedObject>,
    /// Hooks.
    pub hooks: Vec<RenderedHook>,
    /// Objects of the chart's `crds/` folders.
    pub crds: Vec<RenderedObject>,
    /// NOTES.txt.
    pub notes: String,
    /// The chart as Helm stores it in a release record (metadata, lock, templates, values, schema, files).
    pub chart: Value,
}

/// Answers a template's `lookup`, under the release's own identity.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// An object, or with an empty name the list of them; an empty object where there is none.
    async fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, Fault>;
}

/// Renders charts with Helm's own library.
#[async_trait]
pub trait Renderer: Send + Sync {
    /// Renders; a template's error is a fault of kind `Invalid` with Helm's own text.
    async fn render(&self, request: &RenderRequest, lookup: &dyn Lookup) -> Result<Rendered, Fault>;
    /// Reads a stored manifest as Helm does: one object for each document.
    async fn read(&self, manifest: &str) -> Result<Vec<RenderedObject>, Fault>;
}

/// A release record as Helm stores it.
///
/// The JSON is kept whole: a field that Tagboat does not know survives a rewrite.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRecord {
    /// The release's name.
    pub name: String,
    /// The namespace that holds the record.
    pub namespace: String,
    /// The revision, from 1.
    pub version: u64,
    /// Helm's status word: `deployed`, `failed`, `superseded`, `pending-install`, …
    pub status: String,
    /// Labels of the Secret beyond Helm's own.
    pub labels: std::collections::BTreeMap<String, String>,
    /// When the record was last written.
    pub modified: Option<Timestamp>,
    /// Helm's JSON.
    pub body: Value,
}

/// Release records: Secrets in Helm's own format.
#[async_trait]
pub trait ReleaseStore: Send + Sync {
    /// All records of a release, oldest first.
    async fn history(&self, namespace: &str, release: &str) -> Result<Vec<ReleaseRecord>, Fault>;
    /// Creates a record; a fault of kind `Conflict` where the revision exists.
    async fn create(&self, record: &ReleaseRecord) -> Result<(), Fault>;
    /// Replaces a record, and its `status` label with it.
    async fn update(&self, record: &ReleaseRecord) -> Result<(), Fault>;
    /// Removes a record.
    async fn delete(&self, namespace: &str, release: &str, version: u64) -> Result<(), Fault>;
}
