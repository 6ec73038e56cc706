use crate::ports::{Fault, ObjectRef};
use jiff::Timestamp;
use std::time::Duration;

/// What became of one HelmRelease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseOutcome {
    /// The HelmRelease.
    pub id: ObjectRef,
    /// What was done.
    pub result: ReleaseResult,
    /// When to look again although nothing changed; `None`: with the next full round.
    pub next: Option<Duration>,
}

/// The results of one look at a HelmRelease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseResult {
    /// Chart, values and record are unchanged: nothing was rendered.
    Unchanged(Deployed),
    /// It was installed or upgraded.
    Released(Released),
    /// It was left alone: suspended, being deleted, or already being worked on.
    Skipped {
        /// Why, for people.
        reason: String,
    },
    /// Nothing was tried: an earlier failure, or somebody else's operation, has to be waited for.
    Waiting {
        /// Why, for people.
        reason: String,
        /// Until when.
        until: Timestamp,
    },
    /// It failed. The status of the HelmRelease says the same.
    Failed(ReleaseFailure),
}

/// The release that is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The release's name.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// Its revision.
    pub revision: u64,
    /// The chart's version.
    pub chart_version: String,
}

/// An install or upgrade that went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// What is deployed now.
    pub deployed: Deployed,
    /// Whether it was an upgrade.
    pub upgrade: bool,
    /// Whether the attempt before had failed.
    pub recovered: bool,
    /// The release's objects, in the order in which they were applied.
    pub objects: Vec<ObjectRef>,
    /// What was normalised or left out, unsupported, or could not be cleaned up.
    pub warnings: Vec<String>,
    /// How long it took, waiting included.
    pub duration: Duration,
}

/// A release that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFailure {
    /// How far it came.
    pub stage: Stage,
    /// What went wrong.
    pub fault: Fault,
    /// Whether the same failure was reported before.
    pub repeated: bool,
    /// The revision whose record says `failed`; `None` where nothing was written and nothing was applied.
    pub revision: Option<u64>,
}

/// How far a release came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The HelmRelease itself is not in order.
    Spec,
    /// The chart is not to be had.
    Chart,
    /// Rendering, applying, hooks or waiting failed.
    Deploy,
    /// The outcome could not be determined: the cluster cannot be reached, or this process may not write.
    Cluster,
}
