use super::view::{ChangeView, Timeline};
use crate::ports::{ChangeId, Deployment, DeploymentOutcome, Revision};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tagboat_image::Reference;
use tagboat_manifest::WorkloadId;

/// A change of a workload's image, by Tagboat or by a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its id: that of the commit's trailer, or for a person's commit one that the revision and the workload make.
    pub id: ChangeId,
    /// The image before, where it is known.
    pub from: Option<Reference>,
    /// The image after.
    pub to: Option<Reference>,
    /// When the image was pushed, or else built.
    pub pushed: Option<Timestamp>,
}

/// A step on the way of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The tag was seen, and it was decided to take it.
    Seen,
    /// The commit landed.
    Committed(Revision),
    /// The commit's manifests were applied.
    Applied,
    /// The Helm release was upgraded.
    Released,
    /// Its objects run as desired. Counts only once the change is in the cluster: what is healthy before then is what
    /// ran before.
    Healthy,
    /// It was given up on, for now: the first useful reason.
    Failed(String),
}

/// What was last told of a workload, for a process that starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// That the change is done, or has recovered.
    Done,
    /// That it has failed.
    Failed,
}

/// Turns the steps of changes into what people are told: one [`Deployment`] when a change is done, one when it has
/// failed, one when what had failed runs again, and nothing else.
///
/// * A step that comes twice counts once, with its first time.
/// * A newer change of the same workload takes the place of one that is still on its way: of several builds within
///   minutes only what ended is told.
/// * A change that fails, is tried again and fails again is told once.
/// * After a failure, the next success of that workload is a recovery, by whichever change it came.
#[derive(Debug, Default)]
pub struct Deployments {
    workloads: BTreeMap<WorkloadId, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    change: Change,
    revision: Option<Revision>,
    timeline: Timeline,
    /// What was told of this change.
    told: Option<DeploymentOutcome>,
    /// Whether the last thing told of this workload, of this change or an earlier one, is a failure.
    failing: bool,
}

impl Deployments {
    /// No change yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A change has begun. The same id again changes nothing.
    pub fn begin(&mut self, workload: &WorkloadId, change: Change) {
        let failing = match self.workloads.get(workload) {
            Some(tracked) if tracked.change.id == change.id => return,
            Some(tracked) => tracked.failing,
            None => false,
        };
        let timeline = Timeline { pushed: change.pushed, ..Timeline::default() };
        let tracked = Tracked { change, revision: None, timeline, told: None, failing };
        self.workloads.insert(workload.clone(), tracked);
    }

    /// Takes up a change that an earlier process had told of, so that it is not told again.
    pub fn resume(&mut self, workload: &WorkloadId, change: Change, revision: Option<Revision>, told: Told) {
        let outcome = match told {
            Told::Done => DeploymentOutcome::Done,
            Told::Failed => DeploymentOutcome::Failed { reason: String::new() },
        };
        let timeline = Timeline { pushed: change.pushed, ..Timeline::default() };
        let failing = told == Told::Failed;
        self.workloads.insert(workload.clone(), Tracked { change, revision, timeline, told: Some(outcome), failing });
    }

    /// A step of the workload's newest change was done; the deployment to tell of, if this is the moment.
    pub fn step(&mut self, workload: &WorkloadId, step: Step, at: Timestamp) -> Option<Deployment> {
        let tracked = self.workloads.get_mut(workload)?;
        let in_cluster = tracked.in_cluster(workload);
        let timeline = &mut tracked.timeline;
        match step {
            Step::Seen => once(&mut timeline.seen, at),
            Step::Committed(revision) => {
                once(&mut timeline.committed, at);
                tracked.revision.get_or_insert(revision);
            }
            Step::Applied => once(&mut timeline.applied, at),
            Step::Released => {
                // The release may be faster than the rest of the revision: what is released was applied.
                once(&mut timeline.applied, at);
                once(&mut timeline.released, at);
            }
            Step::Healthy if !in_cluster => {}
            Step::Healthy => {
                let done = matches!(tracked.told, Some(DeploymentOutcome::Done | DeploymentOutcome::Recovered));
                if !done {
                    once(&mut timeline.healthy, at);
                    let outcome = if tracked.failing { DeploymentOutcome::Recovered } else { DeploymentOutcome::Done };
                    tracked.failing = false;
                    return Some(tracked.tell(workload, outcome, at));
                }
            }
            Step::Failed(reason) => {
                if tracked.told.is_none() {
                    once(&mut timeline.failed, at);
                    tracked.failing = true;
                    return Some(tracked.tell(workload, DeploymentOutcome::Failed { reason }, at));
                }
            }
        }
        None
    }

    /// Forgets a workload that is no longer declared.
    pub fn forget(&mut self, workload: &WorkloadId) {
        self.workloads.remove(workload);
    }

    /// The newest change of a workload and how far it got.
    #[must_use]
    pub fn change(&self, workload: &WorkloadId) -> Option<ChangeView> {
        let tracked = self.workloads.get(workload)?;
        Some(ChangeView {
            id: tracked.change.id.clone(),
            from: tracked.change.from.as_ref().map(ToString::to_string),
            to: tracked.change.to.as_ref().map(ToString::to_string),
            revision: tracked.revision.clone(),
            timeline: tracked.timeline.clone(),
            result: tracked.told.clone(),
        })
    }

    /// The workloads whose newest change is in the cluster and has not run healthily yet: those whose health to ask for.
    pub fn awaiting_health(&self) -> impl Iterator<Item = &WorkloadId> {
        self.workloads
            .iter()
            .filter(|(id, tracked)| tracked.in_cluster(id) && tracked.timeline.healthy.is_none())
            .map(|(id, _)| id)
    }
}

impl Tracked {
    /// A HelmRelease is in the cluster when its release is; anything else when it is applied.
    fn in_cluster(&self, workload: &WorkloadId) -> bool {
        if workload.kind() == "helmrelease" {
            self.timeline.released.is_some()
        } else {
            self.timeline.applied.is_some()
        }
    }

    fn tell(&mut self, workload: &WorkloadId, outcome: DeploymentOutcome, at: Timestamp) -> Deployment {
        self.told = Some(outcome.clone());
        Deployment {
            id: self.change.id.clone(),
            workload: workload.clone(),
            from: self.change.from.clone(),
            to: self.change.to.clone(),
            revision: self.revision.clone(),
            outcome,
            pushed: self.timeline.pushed,
            committed: self.timeline.committed,
            finished: at,
        }
    }
}

fn once(slot: &mut Option<Timestamp>, at: Timestamp) {
    slot.get_or_insert(at);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice() -> WorkloadId {
        "shop:helmrelease/web".parse().unwrap()
    }

    fn change(id: &str) -> Change {
        Change {
            id: ChangeId(id.to_owned()),
            from: None,
            to: Some("shop/web:v2".parse().unwrap()),
            pushed: Some(at(0)),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn revision() -> Revision {
        Revision("4".repeat(40))
    }

    /// Records all steps up to `Released` and expects nobody to be told yet.
    fn release(deployments: &mut Deployments, id: &str, start: i64) {
        deployments.begin(&voice(), change(id));
        let steps = [Step::Seen, Step::Committed(revision()), Step::Applied, Step::Released];
        for (second, step) in (start..).zip(steps) {
            assert_eq!(deployments.step(&voice(), step, at(second)), None);
        }
    }

    #[test]
    fn a_change_is_told_once_when_it_is_healthy() {
        let mut deployments = Deployments::new();
        release(&mut deployments, "a", 1);
        let told = deployments.step(&voice(), Step::Healthy, at(9)).unwrap();
        assert_eq!(told.outcome, DeploymentOutcome::Done);
        assert_eq!((told.pushed, told.committed, told.finished), (Some(at(0)), Some(at(2)), at(9)));
        assert_eq!(told.revision, Some(revision()));
        assert_eq!(deployments.step(&voice(), Step::Healthy, at(10)), None);
        deployments.begin(&voice(), change("a"));
        assert_eq!(deployments.step(&voice(), Step::Healthy, at(11)), None, "the same change does not begin anew");
        assert_eq!(deployments.change(&voice()).unwrap().timeline.healthy, Some(at(9)));
    }

    #[test]
    fn what_ran_before_is_not_taken_for_the_change() {
        let mut deployments = Deployments::new();
        deployments.begin(&voice(), change("a"));
        deployments.step(&voice(), Step::Committed(revision()), at(1));
        deployments.step(&voice(), Step::Applied, at(2));
        assert_eq!(deployments.step(&voice(), Step::Healthy, at(3)), None, "applied, but not released yet");
        assert_eq!(deployments.awaiting_health().count(), 0);
        deployments.step(&voice(), Step::Released, at(4));
        assert_eq!(deployments.awaiting_health().collect::<Vec<_>>(), [&voice()]);
        assert!(deployments.step(&voice(), Step::Healthy, at(5)).is_some());
        assert_eq!(deployments.awaiting_health().count(), 0);
    }

    #[test]
    fn a_plain_workload_needs_no_release() {
        let mut deployments = Deployments::new();
        let plain: WorkloadId = "shop:deployment/monitor".parse().unwrap();
        deployments.begin(&plain, change("a"));
        deployments.step(&plain, Step::Applied, at(2));
        assert_eq!(deployments.step(&plain, Step::Healthy, at(3)).unwrap().outcome, DeploymentOutcome::Done);
    }

    #[test]
    fn a_failure_is_told_once_and_its_end_is_a_recovery() {
        let mut deployments = Deployments::new();
        release(&mut deployments, "a", 1);
        let failed = deployments.step(&voice(), Step::Failed("image cannot be pulled".to_owned()), at(9)).unwrap();
        assert_eq!(failed.outcome, DeploymentOutcome::Failed { reason: "image cannot be pulled".to_owned() });
        assert_eq!(deployments.step(&voice(), Step::Failed("still".to_owned()), at(10)), None);
        let recovered = deployments.step(&voice(), Step::Healthy, at(20)).unwrap();
        assert_eq!(recovered.outcome, DeploymentOutcome::Recovered);
        assert_eq!(
            deployments.step(&voice(), Step::Failed("later".to_owned()), at(30)),
            None,
            "no deployment any more"
        );
    }

    #[test]
    fn the_next_change_after_a_failure_recovers() {
        let mut deployments = Deployments::new();
        release(&mut deployments, "a", 1);
        deployments.step(&voice(), Step::Failed("crash loop".to_owned()), at(9)).unwrap();
        release(&mut deployments, "b", 20);
        let told = deployments.step(&voice(), Step::Healthy, at(30)).unwrap();
        assert_eq!((told.id.0.as_str(), told.outcome), ("b", DeploymentOutcome::Recovered));
        release(&mut deployments, "c", 40);
        assert_eq!(deployments.step(&voice(), Step::Healthy, at(50)).unwrap().outcome, DeploymentOutcome::Done);
    }

    #[test]
    fn of_builds_in_quick_succession_only_the_last_is_told() {
        let mut deployments = Deployments::new();
        release(&mut deployments, "a", 1);
        release(&mut deployments, "b", 5);
        let told = deployments.step(&voice(), Step::Healthy, at(9)).unwrap();
        assert_eq!(told.id.0, "b");
    }

    #[test]
    fn a_restart_tells_nothing_twice_and_still_tells_the_recovery() {
        let mut deployments = Deployments::new();
        deployments.resume(&voice(), change("a"), Some(revision()), Told::Done);
        deployments.step(&voice(), Step::Released, at(1));
        assert_eq!(deployments.step(&voice(), Step::Healthy, at(2)), None);
        deployments.resume(&voice(), change("b"), Some(revision()), Told::Failed);
        deployments.step(&voice(), Step::Released, at(3));
        assert_eq!(deployments.step(&voice(), Step::Failed("again".to_owned()), at(4)), None);
        assert_eq!(deployments.step(&voice(), Step::Healthy, at(5)).unwrap().outcome, DeploymentOutcome::Recovered);
    }

    #[test]
    fn a_workload_without_a_change_tells_nothing() {
        let mut deployments = Deployments::new();
        assert_eq!(deployments.step(&voice(), Step::Failed("x".to_owned()), at(1)), None);
        assert_eq!(deployments.step(&voice(), Step::Healthy, at(2)), None);
    }
}
