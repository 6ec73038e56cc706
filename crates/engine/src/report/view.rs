//! The read model, as `tagboat status --output json` prints it and `GET /api/v1/status` serves it.
//!
//! The shape is [`StatusView`]'s. Within `cli.tagboat/v1` keys are only ever added; readers pass over keys and words that
//! they do not know. Times are RFC 3339 in UTC. What is not known is left out.

use crate::decide::{Action, Decision, DecisionView, ReasonView};
use crate::ports::{ChangeId, DeploymentOutcome, HealthState, Revision, SourceId};
use crate::report::AppState;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use tagboat_manifest::WorkloadId;

/// The version of everything in this module.
pub const API_VERSION: &str = "cli.tagboat/v1";

/// Everything at one moment: `{"apiVersion":"cli.tagboat/v1","kind":"AppList","controller":{…},"sources":[…],"items":[…]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// [`API_VERSION`].
    pub api_version: String,
    /// `AppList`.
    pub kind: String,
    /// When this was put together.
    pub time: Timestamp,
    /// Who answers.
    pub controller: ControllerView,
    /// The configured repositories, by name.
    pub sources: Vec<SourceView>,
    /// Every workload with an image, by name.
    pub items: Vec<WorkloadView>,
}

/// The process that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerView {
    /// Its version.
    pub version: String,
    /// Whether it holds the lease, and so is the one that writes.
    pub leader: bool,
    /// Whether it only observes: it decides and compares, and writes nothing.
    pub observe: bool,
}

/// One repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceView {
    /// Its name in the configuration.
    pub name: SourceId,
    /// The tip of its branch when last fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Revision>,
    /// When it was last fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Timestamp>,
    /// The revision that the cluster was last made to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored: Option<Revision>,
    /// When it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrored_at: Option<Timestamp>,
    /// How many objects that revision has.
    #[serde(default)]
    pub objects: usize,
    /// Why the last fetch or mirror failed as a whole, or else the last commit, until one succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is wrong with single files and objects of the mirrored revision.
    #[serde(default)]
    pub problems: Vec<ProblemView>,
}

/// Something wrong in one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemView {
    /// The file, from the repository's root.
    pub file: String,
    /// The line, from 1; 0 where the whole file is meant.
    #[serde(default)]
    pub line: usize,
    /// Which object, where that is known: `Deployment shop/web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What is wrong, what was found, what is allowed, what Tagboat did.
    pub text: String,
    /// Whether the object or document is left out because of it.
    #[serde(default)]
    pub error: bool,
}

/// One workload, as far as it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadView {
    /// `namespace:kind/name`.
    #[serde(deserialize_with = "lenient_workload")]
    pub workload: WorkloadId,
    /// The headline, by fixed precedence from everything below.
    #[serde(default)]
    pub state: AppState,
    /// The headline's cause, for people.
    #[serde(default)]
    pub because: String,
    /// The repository that declares it.
    pub source: SourceId,
    /// The file that does.
    pub file: String,
    /// The line where its object begins, from 1.
    pub line: usize,
    /// Whether its images follow their tags, by git and the live object together.
    #[serde(default)]
    pub automated: bool,
    /// Why a person's word keeps it where it is; left out where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldView>,
    /// Its images.
    #[serde(default)]
    pub containers: Vec<ContainerView>,
    /// Its Helm release, if it is one and has been looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseView>,
    /// How its objects stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthView>,
    /// Its newest change and how far that got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeView>,
}

/// One image and what is decided about it, in the words of `tagboat plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerView {
    /// The container; for a HelmRelease the key in its values, or `chart-image`.
    pub name: String,
    /// The line of the image in the workload's file, from 1.
    #[serde(default)]
    pub line: usize,
    /// The filter, as it is written; left out where none is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What git says now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// What it should become; only with `update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `update`, `keep`, `hold` or `blocked`.
    pub action: Action,
    /// Why.
    pub reason: ReasonView,
}

impl From<&Decision> for ContainerView {
    /// The view of one decision; its filter is the caller's to add.
    fn from(decision: &Decision) -> Self {
        let DecisionView { container, line, current, target, action, reason, .. } = decision.into();
        Self { name: container, line, filter: None, current, target, action, reason }
    }
}

/// What keeps a workload from moving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// `paused`, `suspended`, `locked`, `ignored` or `pinned`.
    pub code: String,
    /// Where that is said, and by whom if known.
    pub text: String,
}

/// A Helm release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseView {
    /// The release's name.
    pub name: String,
    /// The namespace that holds its records.
    pub namespace: String,
    /// `helm.fluxcd.io/v1`'s phase: `Succeeded`, `DeployFailed`, `ChartFetchFailed`, …
    pub phase: String,
    /// Helm's revision; left out before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The chart's name and version: `bookshop-0.1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// The condition's text: the real error, where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it is in that phase.
    pub since: Timestamp,
}

/// How a workload's objects stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// The verdict.
    pub state: HealthState,
    /// The first useful reason.
    pub reason: String,
    /// Since when the verdict is this one.
    pub since: Timestamp,
}

/// A change of a workload, from the tag to the pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// Its id, as in the commit's trailer.
    pub id: ChangeId,
    /// The image before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The image after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The infrastructure commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// When each step was done.
    pub timeline: Timeline,
    /// How it ended; left out while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<DeploymentOutcome>,
}

/// When each step of a change was done; steps that have not happened, or are not known, are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The image was pushed, or else built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Timestamp>,
    /// Tagboat saw the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
    /// The commit landed on the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Timestamp>,
    /// The commit's manifests were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Timestamp>,
    /// The Helm release was upgraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
    /// All of its objects run as desired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<Timestamp>,
    /// It was given up on, or one of its objects was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Timestamp>,
}

/// A manifest may hold any text for a name, so one odd name must not make the whole report unreadable.
fn lenient_workload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WorkloadId, D::Error> {
    let text = String::deserialize(deserializer)?;
    let (namespace, rest) = text.split_once(':').unwrap_or(("<cluster>", &text));
    let (kind, name) = rest.split_once('/').unwrap_or(("", rest));
    Ok(WorkloadId::new((namespace != "<cluster>").then_some(namespace), kind, name))
}
