//! What the engine asks of the world, one trait for each neighbour.
//!
//! Adapters implement these; the binary wires them. The engine itself has no clock, no network and no disk, so that
//! every decision can be tested as a table. An adapter keeps its own error enum and hands the engine a [`Fault`]: what
//! went wrong, in words for people, and what kind of thing it was, so that the engine knows whether to try again.

mod clock;
mod cluster;
mod fault;
mod git;
mod helm;
mod notify;
mod registry;

pub use clock::{Clock, WriteFence};
pub use cluster::{
    Applied, Apply, Cluster, FieldManager, Health, HealthState, Inventory, InventoryEntry, LiveAnnotations,
    LivePolicies, ObjectRef, ReleaseObject, ReleaseObjects, ReleaseStatus, Scope,
};
pub use fault::{Fault, FaultKind};
pub use git::{
    ChangeId, CommitMeta, CommitPlan, FileEdit, GitRepository, Head, PathChange, PathHistory, Person, PushOutcome,
    RepoFile, Revision, SkippedFile, SourceId,
};
pub use helm::{
    Capabilities, ChartArchive, ChartRequest, ChartSource, Lookup, ReleaseRecord, ReleaseStore, RenderRequest,
    Rendered, RenderedHook, RenderedObject, Renderer,
};
pub use notify::{Deployment, DeploymentOutcome, Notifier};
pub use registry::{ImageAccess, ImageDetails, ImageRegistry, KnownRepository, KnownTag, TagList, TagRow, TagStore};
