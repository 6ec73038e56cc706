use super::{Board, Change, Deployments, ImageLag, Meters, Step};
use crate::ports::{Clock, Deployment, Notifier};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use tagboat_manifest::WorkloadId;
use tracing::{info, warn};

/// Where every loop says how far a change has come: the board, the meters, the log and the notifier hear of it.
pub struct Reporter {
    /// The present state.
    pub board: Arc<Board>,
    /// Counts and durations.
    pub meters: Arc<Meters>,
    clock: Arc<dyn Clock>,
    notifiers: Vec<Arc<dyn Notifier>>,
    deployments: Mutex<Deployments>,
}

impl Reporter {
    /// A reporter that has heard of nothing.
    #[must_use]
    pub fn new(
        board: Arc<Board>,
        meters: Arc<Meters>,
        clock: Arc<dyn Clock>,
        notifiers: Vec<Arc<dyn Notifier>>,
    ) -> Self {
        Self { board, meters, clock, notifiers, deployments: Mutex::new(Deployments::new()) }
    }

    /// A change of a workload's image has begun.
    pub fn begin(&self, workload: &WorkloadId, change: Change) {
        let view = {
            let mut deployments = self.deployments.lock().unwrap_or_else(PoisonError::into_inner);
            deployments.begin(workload, change);
            deployments.change(workload)
        };
        self.board.changed(workload, view);
    }

    /// A step of the workload's newest change was done. People are told where this is the moment.
    pub async fn step(&self, workload: &WorkloadId, step: Step) {
        self.step_at(workload, step, self.clock.now()).await;
    }

    /// [`Reporter::step`] for a step that was done before now.
    pub async fn step_at(&self, workload: &WorkloadId, step: Step, at: Timestamp) {
        let (told, view) = {
            let mut deployments = self.deployments.lock().unwrap_or_else(PoisonError::into_inner);
            let told = deployments.step(workload, step, at);
            (told, deployments.change(workload))
        };
        self.board.changed(workload, view);
        if let Some(deployment) = told {
            self.tell(&deployment).await;
        }
    }

    /// Whether the workload's newest change is in the cluster and has not run healthily yet.
    #[must_use]
    pub fn awaits_health(&self, workload: &WorkloadId) -> bool {
        let deployments = self.deployments.lock().unwrap_or_else(PoisonError::into_inner);
        deployments.awaiting_health().any(|waiting| waiting == workload)
    }

    /// Whether the workload's newest change was in the cluster at a time.
    #[must_use]
    pub fn was_applied_by(&self, workload: &WorkloadId, at: Timestamp) -> bool {
        let deployments = self.deployments.lock().unwrap_or_else(PoisonError::into_inner);
        deployments.change(workload).and_then(|change| change.timeline.applied).is_some_and(|applied| applied <= at)
    }

    /// Whether what a look at health saw at a time was the workload's newest change, and not what ran before.
    #[must_use]
    pub fn was_in_cluster_by(&self, workload: &WorkloadId, at: Timestamp) -> bool {
        let deployments = self.deployments.lock().unwrap_or_else(PoisonError::into_inner);
        deployments.change(workload).is_none_or(|change| {
            let timeline = change.timeline;
            let arrived = if workload.kind() == "helmrelease" { timeline.released } else { timeline.applied };
            arrived.is_some_and(|arrived| arrived <= at)
        })
    }

    async fn tell(&self, deployment: &Deployment) {
        use crate::ports::DeploymentOutcome as Outcome;
        let to = deployment.to.as_ref().map(ToString::to_string).unwrap_or_default();
        if let (Outcome::Done | Outcome::Recovered, Some(committed)) = (&deployment.outcome, deployment.committed) {
            self.meters.lag(ImageLag::CommitToHealthy, committed, deployment.finished);
        }
        match &deployment.outcome {
            Outcome::Done => info!(workload = %deployment.workload, image = to, "deployed {to}"),
            Outcome::Recovered => info!(workload = %deployment.workload, image = to, "recovered: {to} is healthy"),
            Outcome::Failed { reason } => {
                warn!(workload = %deployment.workload, image = to, reason, "deployment of {to} failed");
            }
        }
        for notifier in &self.notifiers {
            if let Err(fault) = notifier.notify(deployment).await {
                warn!(workload = %deployment.workload, error = %fault, "a notification was not delivered");
            }
        }
    }
}
