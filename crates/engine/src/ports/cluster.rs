use super::{Fault, Revision, SourceId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tagboat_api::HelmRelease;
use tagboat_manifest::WorkloadId;

/// Names one object: group, version, kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// `apps/v1`, `v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl ObjectRef {
    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Reads the identity out of an object.
    pub fn of(object: &Value) -> Option<Self> {
        Some(Self {
            api_version: object.get("apiVersion")?.as_str()?.to_owned(),
            kind: object.get("kind")?.as_str()?.to_owned(),
            namespace: object.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned),
            name: object.pointer("/metadata/name")?.as_str()?.to_owned(),
        })
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {}/{}", self.kind, namespace, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Whether a kind lives in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Its objects have a namespace.
    Namespaced,
    /// Its objects have none.
    Cluster,
}

/// Under which field manager an apply is made (D8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldManager {
    /// `tagboat`: what the mirror applies.
    Mirror,
    /// `helm`: what a release applies, so that the real `helm` can go on with it.
    Release,
}

impl FieldManager {
    /// The manager's name in `managedFields`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mirror => "tagboat",
            Self::Release => "helm",
        }
    }
}

/// One server-side apply.
#[derive(Debug, Clone)]
pub struct Apply {
    /// The whole desired object.
    pub object: Value,
    /// Whose fields these become.
    pub manager: FieldManager,
    /// The service account to impersonate, `namespace/name`; `None` for Tagboat's own identity.
    pub run_as: Option<String>,
    /// Annotation keys to leave out, because a person set them on the live object (D6).
    pub leave_annotations: BTreeSet<String>,
    /// Only ask the API server what would come out; nothing is stored.
    pub dry_run: bool,
}

/// What an apply left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The object's UID.
    pub uid: String,
    /// The resource version after the apply.
    pub resource_version: String,
    /// Whether anything changed.
    pub changed: bool,
    /// `metadata.generation` after the apply, where the kind has one.
    pub generation: Option<i64>,
    /// What the object says after the apply: [`content`](crate::mirror::content).
    pub content: [u8; 32],
    /// What was normalised or left out, and the API server's own warnings.
    pub warnings: Vec<String>,
}

/// One entry of the inventory: what Tagboat applied. Identity is written before the apply, the UID after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryEntry {
    /// Which object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// Its UID; without one, nothing is ever deleted for this entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// What a source has applied to the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The revision whose objects these are; `None` while an apply is going on or was cut off.
    pub revision: Option<Revision>,
    /// Every object, by identity.
    pub entries: Vec<InventoryEntry>,
}

/// How an object stands, by the rules of kstatus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The verdict.
    pub state: HealthState,
    /// The first useful reason, for people: `2 of 3 ready`, `image cannot be pulled: …`.
    pub reason: String,
}

/// The verdicts on an object's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// As desired, and ready.
    Healthy,
    /// On its way.
    Progressing,
    /// It will not become ready by waiting.
    Failed,
    /// Not there.
    Missing,
}

/// The cluster's API server.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Whether a kind is namespaced; `None` where the API server does not serve it. Cached, read anew when unknown.
    async fn scope(&self, api_version: &str, kind: &str) -> Result<Option<Scope>, Fault>;
    /// Applies an object by forced server-side apply with the rules of D8.
    async fn apply(&self, apply: &Apply) -> Result<Applied, Fault>;
    /// Reads an object.
    async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, Fault>;
    /// Lists the objects of a kind, in a namespace or everywhere (templates' `lookup`).
    async fn list(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, Fault>;
    /// Deletes an object if its UID is still this one; `false` where it was not there.
    async fn delete(&self, object: &ObjectRef, uid: Option<&str>) -> Result<bool, Fault>;
    /// How objects stand now; the answers come in the order of the question.
    async fn health(&self, objects: &[ObjectRef]) -> Result<Vec<Health>, Fault>;
    /// Waits until a CustomResourceDefinition is established and its kind is served, at most until the deadline.
    async fn established(&self, crd: &str, deadline: std::time::Duration) -> Result<(), Fault>;
    /// The API server's version and everything it serves, for rendering.
    async fn capabilities(&self) -> Result<super::Capabilities, Fault>;
    /// The inventory of a source.
    async fn inventory(&self, source: &SourceId) -> Result<Option<Inventory>, Fault>;
    /// Writes the inventory of a source.
    async fn save_inventory(&self, source: &SourceId, inventory: &Inventory) -> Result<(), Fault>;
    /// Records a Kubernetes Event on an object. `warning` or normal; best effort, never fails a cycle.
    async fn event(&self, object: &ObjectRef, warning: bool, reason: &str, note: &str);
}

/// The annotations of one live object that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveAnnotations {
    /// All annotations of the live object.
    pub annotations: BTreeMap<String, String>,
    /// Keys that a person set: managed fields name a manager that is neither ours nor a predecessor's (D6).
    pub set_by_person: BTreeSet<String>,
    /// Annotations of its namespace (`tagboat.dev/paused`, `tagboat.dev/suspend` count there).
    pub namespace: BTreeMap<String, String>,
}

/// Policy annotations on live objects, watched.
#[async_trait]
pub trait LivePolicies: Send + Sync {
    /// What the watch knows; `None` where the object does not exist.
    fn known(&self, workload: &WorkloadId) -> Option<LiveAnnotations>;
    /// Reads it from the API server now: asked right before a commit and before a release.
    async fn read(&self, workload: &WorkloadId) -> Result<Option<LiveAnnotations>, Fault>;
    /// Returns when a policy annotation of some watched object has changed since the last call.
    async fn changed(&self);
}

/// A HelmRelease in the cluster, decoded.
#[derive(Debug, Clone)]
pub struct ReleaseObject {
    /// The object; a spec that does not decode is the fault's text instead.
    pub object: Result<Box<HelmRelease>, String>,
    /// Which one.
    pub id: ObjectRef,
    /// Its UID.
    pub uid: String,
}

/// What Tagboat writes into a HelmRelease's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// The status to store, as `api` declares it.
    pub status: tagboat_api::HelmReleaseStatus,
}

/// HelmReleases in the cluster, watched.
#[async_trait]
pub trait ReleaseObjects: Send + Sync {
    /// All that the watch knows; `None` before the first list has come in whole.
    fn all(&self) -> Option<Vec<ReleaseObject>>;
    /// Reads one from the API server now.
    async fn read(&self, namespace: &str, name: &str) -> Result<Option<ReleaseObject>, Fault>;
    /// Returns the `namespace/name` of those that changed (spec, annotations, deletion) since the last call.
    async fn changed(&self) -> Vec<ObjectRef>;
    /// Writes the status where it differs from what is there; tells whether a request was made.
    async fn write_status(&self, id: &ObjectRef, status: &ReleaseStatus) -> Result<bool, Fault>;
}
