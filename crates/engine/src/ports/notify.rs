use super::{ChangeId, Fault, Revision};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tagboat_image::Reference;
use tagboat_manifest::WorkloadId;

/// One deployment, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Tells it apart from every other, also across restarts: messages are delivered at least once.
    pub id: ChangeId,
    /// What was deployed.
    pub workload: WorkloadId,
    /// What ran before, where it is known.
    pub from: Option<Reference>,
    /// What runs, or should.
    pub to: Option<Reference>,
    /// The infrastructure commit.
    pub revision: Option<Revision>,
    /// Whether it worked.
    pub outcome: DeploymentOutcome,
    /// When the image was pushed, or else built.
    pub pushed: Option<Timestamp>,
    /// When the commit landed.
    pub committed: Option<Timestamp>,
    /// When the outcome was known.
    pub finished: Timestamp,
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum DeploymentOutcome {
    /// It runs and is healthy.
    Done,
    /// It does not; why.
    Failed {
        /// The first useful reason.
        reason: String,
    },
    /// It had failed, and runs now.
    Recovered,
}

/// Tells people.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers one message; never blocks a cycle for longer than its own deadline.
    async fn notify(&self, deployment: &Deployment) -> Result<(), Fault>;
}
