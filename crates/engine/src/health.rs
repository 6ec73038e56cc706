//! Follows what was brought into the cluster until it runs, and tells when it does, or does not.

use crate::ports::{Cluster, Fault, Health, HealthState, ObjectRef};
use crate::report::{Reporter, Step};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tagboat_manifest::WorkloadId;

/// How soon after a change its objects are looked at again.
const EAGER: Duration = Duration::from_millis(500);
/// How long after a change they are looked at that often.
const EAGER_FOR: SignedDuration = SignedDuration::from_secs(60);
/// How often objects of a change that is still on its way are looked at after that.
const PATIENT: Duration = Duration::from_secs(5);
/// How often objects that run are looked at.
const SETTLED: Duration = Duration::from_secs(60);
/// How long a change may be on its way before it is told as failed. It is followed on, and may recover.
pub const DEADLINE: SignedDuration = SignedDuration::from_secs(600);

/// The health of several objects as one: the worst, with its reason.
#[must_use]
pub fn worst(objects: &[ObjectRef], health: &[Health]) -> Health {
    let rank = |state: HealthState| match state {
        HealthState::Failed => 3,
        HealthState::Missing => 2,
        HealthState::Progressing => 1,
        HealthState::Healthy => 0,
    };
    let worst = objects.iter().zip(health).max_by_key(|(_, health)| rank(health.state));
    let running = || {
        // Of what runs, a workload says more than a ConfigMap does.
        let telling = objects
            .iter()
            .zip(health)
            .find(|(object, _)| matches!(object.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet"));
        telling.map_or_else(|| format!("{} objects in place", objects.len()), |(_, health)| health.reason.clone())
    };
    match worst {
        Some((object, health)) if health.state != HealthState::Healthy => {
            Health { state: health.state, reason: format!("{object}: {}", health.reason) }
        }
        _ => Health { state: HealthState::Healthy, reason: running() },
    }
}

/// One look at the objects of a workload since `began`: the board and people are told, and the wait until the next look
/// comes back.
///
/// # Errors
/// The API server could not be asked.
pub async fn look(
    workload: &WorkloadId,
    objects: &[ObjectRef],
    began: Timestamp,
    now: Timestamp,
    cluster: &dyn Cluster,
    reporter: &Reporter,
) -> Result<Duration, Fault> {
    let health = worst(objects, &cluster.health(objects).await?);
    reporter.board.health(workload, &health, now);
    let age = now.duration_since(began);
    if !reporter.was_in_cluster_by(workload, now) {
        return Ok(EAGER);
    }
    Ok(match health.state {
        HealthState::Healthy => {
            reporter.step(workload, Step::Healthy).await;
            SETTLED
        }
        HealthState::Failed => {
            reporter.step(workload, Step::Failed(health.reason)).await;
            PATIENT
        }
        HealthState::Progressing | HealthState::Missing => {
            if age > DEADLINE {
                let waited = DEADLINE.as_secs() / 60;
                reporter
                    .step(workload, Step::Failed(format!("not ready after {waited} minutes: {}", health.reason)))
                    .await;
            }
            if age < EAGER_FOR { EAGER } else { PATIENT }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str) -> ObjectRef {
        ObjectRef { api_version: "v1".to_owned(), kind: kind.to_owned(), namespace: None, name: "web".to_owned() }
    }

    fn health(state: HealthState, reason: &str) -> Health {
        Health { state, reason: reason.to_owned() }
    }

    #[test]
    fn the_worst_object_speaks_for_all() {
        let objects = [object("ConfigMap"), object("Deployment"), object("Service")];
        let all = [
            health(HealthState::Healthy, "in place"),
            health(HealthState::Failed, "image cannot be pulled"),
            health(HealthState::Progressing, "no endpoints"),
        ];
        assert_eq!(worst(&objects, &all), health(HealthState::Failed, "Deployment web: image cannot be pulled"));
    }

    #[test]
    fn of_what_runs_the_workload_speaks() {
        let objects = [object("ConfigMap"), object("Deployment")];
        let all = [health(HealthState::Healthy, "in place"), health(HealthState::Healthy, "3 of 3 ready")];
        assert_eq!(worst(&objects, &all), health(HealthState::Healthy, "3 of 3 ready"));
    }
}
