//! One look at a HelmRelease, from its spec to its status.

use super::action::Run;
use super::attempts::Attempts;
use super::objects;
use super::outcome::{Deployed, ReleaseFailure, ReleaseOutcome, ReleaseResult, Released, Stage};
use super::plan::{self, Action, Plan};
use super::record::{self, Inputs};
use super::report::Report;
use super::status;
use super::{Desired, Refusal};
use crate::ports::{
    ChartArchive, ChartRequest, ChartSource, Clock, Cluster, Fault, FaultKind, LiveAnnotations, LivePolicies,
    ObjectRef, ReleaseObject, ReleaseObjects, ReleaseRecord, ReleaseStore, Renderer, WriteFence,
};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tagboat_api::{HelmRelease, HelmReleasePhase as Phase};
use tagboat_manifest::{Ignore, Policies, WorkloadId};

/// How often somebody else's unfinished operation is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

const INSTALLING: [Phase; 2] = [Phase::ChartFetched, Phase::Installing];
const UPGRADING: [Phase; 2] = [Phase::ChartFetched, Phase::Upgrading];

/// What releases need of the world.
#[derive(Clone)]
#[allow(missing_docs, reason = "each is documented where it is declared")]
pub struct ReleasePorts {
    pub charts: Arc<dyn ChartSource>,
    pub renderer: Arc<dyn Renderer>,
    pub records: Arc<dyn ReleaseStore>,
    pub cluster: Arc<dyn Cluster>,
    pub objects: Arc<dyn ReleaseObjects>,
    pub policies: Arc<dyn LivePolicies>,
    pub clock: Arc<dyn Clock>,
    pub fence: Arc<dyn WriteFence>,
}

/// Reconciles HelmReleases. Different ones may be reconciled at the same time; a release is worked on once at a time.
pub struct ReleaseReconciler {
    ports: ReleasePorts,
    attempts: Attempts,
    /// Namespace and name of the releases that are being worked on.
    busy: Mutex<HashSet<(String, String)>>,
}

/// Marks a release as being worked on, until it is dropped.
struct Busy<'a> {
    reconciler: &'a ReleaseReconciler,
    key: (String, String),
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.reconciler.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// A failure on its way to the status.
struct Failure {
    stage: Stage,
    fault: Fault,
    revision: Option<u64>,
    attempted: Option<String>,
}

impl Failure {
    fn new(stage: Stage, fault: Fault) -> Self {
        Self { stage, fault, revision: None, attempted: None }
    }
}

impl ReleaseReconciler {
    /// A reconciler over the world.
    pub fn new(ports: ReleasePorts) -> Self {
        Self { ports, attempts: Attempts::default(), busy: Mutex::default() }
    }

    /// Looks at one HelmRelease and does what is to be done.
    pub async fn reconcile(&self, object: &ReleaseObject) -> ReleaseOutcome {
        let (result, next) = self.look(object).await;
        ReleaseOutcome { id: object.id.clone(), result, next }
    }

    /// The objects of the revision that is deployed, from its record.
    ///
    /// # Errors
    /// The record or the cluster cannot be read.
    pub async fn deployed_objects(&self, namespace: &str, release: &str) -> Result<Vec<ObjectRef>, Fault> {
        let history = self.ports.records.history(namespace, release).await?;
        let deployed = history.iter().rev().find(|found| found.status == "deployed");
        let manifest = deployed.and_then(|found| found.body.get("manifest")).and_then(|text| text.as_str());
        let read = self.ports.renderer.read(manifest.unwrap_or_default()).await?;
        let prepared = objects::prepare_old(self.ports.cluster.as_ref(), &read, namespace).await?;
        Ok(prepared.into_iter().map(|prepared| prepared.id).collect())
    }

    async fn look(&self, object: &ReleaseObject) -> (ReleaseResult, Option<Duration>) {
        let now = self.ports.clock.now();
        let generation = object.object.as_ref().ok().and_then(|release| release.metadata.generation);
        let deleted = |release: &HelmRelease| release.metadata.deletion_timestamp.is_some();
        if object.object.as_ref().is_ok_and(|release| deleted(release)) {
            return skipped("it is being deleted; its release is left alone");
        }
        if let Some(reason) = self.ports.policies.known(&workload(&object.id)).as_ref().and_then(suspended) {
            return skipped(reason);
        }
        if let Some((until, text)) = self.attempts.held(&object.id, &object.uid, generation, now) {
            let next = until.duration_since(now).try_into().ok();
            return (ReleaseResult::Waiting { reason: format!("it failed before: {text}"), until }, next);
        }
        let outcome = match Desired::of(object) {
            Ok(desired) => match self.claim(&desired) {
                Some(_busy) => self.settle(object, &desired).await,
                None => return (skipped("it is being worked on").0, Some(Duration::from_secs(1))),
            },
            Err(Refusal::Chart(text)) => Err(Failure::new(Stage::Chart, Fault::new(FaultKind::Invalid, text))),
            Err(Refusal::Spec(text)) => Err(Failure::new(Stage::Spec, Fault::new(FaultKind::Invalid, text))),
        };
        match outcome {
            Ok(done) => done,
            Err(failure) => self.fail(object, generation, failure).await,
        }
    }

    /// From a checked spec to the result.
    async fn settle(
        &self,
        object: &ReleaseObject,
        desired: &Desired,
    ) -> Result<(ReleaseResult, Option<Duration>), Failure> {
        let ports = &self.ports;
        if let Some(other) = self.rival(object, desired) {
            let (namespace, release) = (&desired.namespace, &desired.release);
            let text = format!(
                "the release '{release}' in '{namespace}' belongs to {other}, which is older; nothing was done"
            );
            return Err(Failure::new(Stage::Spec, Fault::new(FaultKind::Conflict, text)));
        }
        let chart = ports.charts.fetch(&desired.chart).await.map_err(|mut fault| {
            let ChartRequest { name, version, .. } = &desired.chart;
            fault.text = format!("chart {name} {version} cannot be had: {}", fault.text);
            Failure::new(Stage::Chart, fault)
        })?;
        let cluster =
            |fault| Failure { attempted: Some(chart.version.clone()), ..Failure::new(stage_of(&fault), fault) };
        let history = ports.records.history(&desired.namespace, &desired.release).await.map_err(cluster)?;
        let inputs = Inputs::new(&chart.digest, &desired.values, &desired.namespace, &desired.release);
        let action = match plan::plan(&inputs, &history, desired.timeout, ports.clock.now()) {
            Plan::Nothing { revision, superseded } => {
                self.supersede(&history, &superseded).await.map_err(cluster)?;
                let deployed = deployed(desired, &chart, revision);
                let report = Report::new(object, desired).chart(&chart.version).succeeded();
                report.write_unless_seen(ports).await.map_err(cluster)?;
                self.attempts.succeeded(&object.id);
                return Ok((ReleaseResult::Unchanged(deployed), None));
            }
            Plan::Wait { status, revision, until } => {
                let reason = format!(
                    "revision {revision} is {status}, which is not Tagboat's doing; it is waited for until {until}, then \
                     it counts as abandoned"
                );
                let report = Report::new(object, desired).chart(&chart.version);
                report
                    .phases(&[Phase::ChartFetched, Phase::Failed])
                    .error(&reason)
                    .write(ports)
                    .await
                    .map_err(cluster)?;
                let left = until.duration_since(ports.clock.now()).try_into().unwrap_or_default();
                return Ok((ReleaseResult::Waiting { reason, until }, Some(LOOK_AGAIN.min(left))));
            }
            Plan::Act(action) => action,
        };
        self.act(object, desired, &chart, &inputs, &history, &action).await
    }

    async fn act(
        &self,
        object: &ReleaseObject,
        desired: &Desired,
        chart: &ChartArchive,
        inputs: &Inputs,
        history: &[ReleaseRecord],
        action: &Action,
    ) -> Result<(ReleaseResult, Option<Duration>), Failure> {
        let ports = &self.ports;
        let cluster =
            |fault| Failure { attempted: Some(chart.version.clone()), ..Failure::new(stage_of(&fault), fault) };
        // Right before anything is written, the API server says what holds now.
        let live = ports.policies.read(&workload(&desired.id)).await.map_err(cluster)?;
        let Some(live) = live else { return Ok(skipped("it is gone; its release is left alone")) };
        if let Some(reason) = suspended(&live) {
            return Ok(skipped(reason));
        }
        let started = ports.clock.now();
        let report = Report::new(object, desired).chart(&chart.version);
        let begun = report.clone().phases(if action.upgrade { &UPGRADING } else { &INSTALLING });
        let run = Run { ports, desired, chart, inputs, history, action, begun };
        let performed = run.perform().await.map_err(|failed| Failure {
            stage: match stage_of(&failed.fault) {
                Stage::Cluster if !failed.recorded || failed.fault.kind == FaultKind::Fenced => Stage::Cluster,
                _ => Stage::Deploy,
            },
            fault: failed.fault,
            revision: failed.recorded.then_some(action.revision),
            attempted: Some(chart.version.clone()),
        })?;
        for warning in &performed.warnings {
            tracing::warn!(release.name = desired.release, release.namespace = desired.namespace, "{warning}");
        }
        report.succeeded().write(ports).await.map_err(cluster)?;
        let recovered = self.attempts.succeeded(&object.id) || action.again;
        let duration = ports.clock.now().duration_since(started).try_into().unwrap_or_default();
        tracing::info!(
            release.name = desired.release,
            release.namespace = desired.namespace,
            release.revision = action.revision,
            chart.version = chart.version,
            duration_ms = u64::try_from(Duration::as_millis(&duration)).unwrap_or(u64::MAX),
            "release '{}' in '{}' {} to revision {} with chart {} {}",
            desired.release,
            desired.namespace,
            if action.upgrade { "upgraded" } else { "installed" },
            action.revision,
            desired.chart.name,
            chart.version,
        );
        let note = format!("managed release '{}' in namespace '{}' synchronized", desired.release, desired.namespace);
        ports.cluster.event(&desired.id, false, "ReleaseSynced", &note).await;
        let released = Released {
            deployed: deployed(desired, chart, action.revision),
            upgrade: action.upgrade,
            recovered,
            objects: performed.objects,
            warnings: performed.warnings,
            duration,
        };
        Ok((ReleaseResult::Released(released), None))
    }

    /// Reports a failure where people look, once, and says when to try again.
    async fn fail(
        &self,
        object: &ReleaseObject,
        generation: Option<i64>,
        failure: Failure,
    ) -> (ReleaseResult, Option<Duration>) {
        let Failure { stage, fault, revision, attempted } = failure;
        let next = self.attempts.failed(&object.id, &object.uid, generation, &fault, self.ports.clock.now());
        let phase = match stage {
            Stage::Spec => Phase::Failed,
            Stage::Chart => Phase::ChartFetchFailed,
            Stage::Deploy => Phase::DeployFailed,
            // Nothing is known to be wrong with the release itself.
            Stage::Cluster => {
                if next.repeated || fault.kind == FaultKind::Fenced {
                    tracing::debug!(release.object = %object.id, "release not looked at: {fault}");
                } else {
                    tracing::warn!(release.object = %object.id, "release not looked at: {fault}");
                }
                let failed = ReleaseFailure { stage, fault, repeated: next.repeated, revision };
                return (ReleaseResult::Failed(failed), Some(next.wait));
            }
        };
        let phases: &[Phase] = if stage == Stage::Deploy { &[Phase::ChartFetched, phase] } else { &[phase] };
        let mut report = Report::of(object).phases(phases).error(&fault.text);
        if let Some(version) = &attempted {
            report = report.chart(version);
        }
        if let Err(second) = report.write(&self.ports).await {
            tracing::debug!(release.object = %object.id, "the failure is not in its status: {second}");
        }
        if !next.repeated {
            tracing::warn!(release.object = %object.id, "release failed: {fault}");
            self.ports.cluster.event(&object.id, true, "FailedReleaseSync", &status::shortened(&fault.text)).await;
        }
        let failed = ReleaseFailure { stage, fault, repeated: next.repeated, revision };
        (ReleaseResult::Failed(failed), Some(next.wait))
    }

    async fn supersede(&self, history: &[ReleaseRecord], revisions: &[u64]) -> Result<(), Fault> {
        for before in history.iter().filter(|found| revisions.contains(&found.version)) {
            let mut before = before.clone();
            record::set_status(&mut before, "superseded", None, self.ports.clock.now());
            self.ports.fence.check().await?;
            self.ports.records.update(&before).await?;
        }
        Ok(())
    }

    /// Another HelmRelease that claims the same release and has the better right to it: the older one.
    fn rival(&self, object: &ReleaseObject, desired: &Desired) -> Option<String> {
        let age = |object: &ReleaseObject| {
            let created = object
                .object
                .as_ref()
                .ok()
                .and_then(|release| release.metadata.creation_timestamp.as_ref().map(|time| time.0));
            (created, object.id.clone())
        };
        let claims = |other: &ReleaseObject| {
            let namespace = other.id.namespace.as_deref().unwrap_or_default();
            other.object.as_ref().is_ok_and(|release| {
                release.metadata.deletion_timestamp.is_none()
                    && release.spec.target_namespace(namespace) == desired.namespace
                    && release.spec.release_name(namespace, &other.id.name) == desired.release
            })
        };
        let all = self.ports.objects.all().unwrap_or_default();
        let rivals = all.iter().filter(|other| other.id != object.id && claims(other) && age(other) < age(object));
        rivals.min_by_key(|other| age(other)).map(|other| other.id.to_string())
    }

    fn claim(&self, desired: &Desired) -> Option<Busy<'_>> {
        let key = (desired.namespace.clone(), desired.release.clone());
        let fresh = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        fresh.then(|| Busy { reconciler: self, key })
    }
}

/// Where a failure belongs that came before anything was recorded: what passes by itself is not the release's own.
fn stage_of(fault: &Fault) -> Stage {
    if fault.is_transient() || fault.kind == FaultKind::Fenced { Stage::Cluster } else { Stage::Deploy }
}

fn skipped(reason: impl Into<String>) -> (ReleaseResult, Option<Duration>) {
    (ReleaseResult::Skipped { reason: reason.into() }, None)
}

fn deployed(desired: &Desired, chart: &ChartArchive, revision: u64) -> Deployed {
    Deployed {
        release: desired.release.clone(),
        namespace: desired.namespace.clone(),
        revision,
        chart_version: chart.version.clone(),
    }
}

fn workload(id: &ObjectRef) -> WorkloadId {
    WorkloadId::new(id.namespace.as_deref(), &id.kind, &id.name)
}

/// Why a release is left alone, if somebody wants that (D6).
fn suspended(live: &LiveAnnotations) -> Option<String> {
    let policies = |annotations: &BTreeMap<String, String>| {
        Policies::from_annotations(annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()))).0
    };
    let own = policies(&live.annotations);
    if own.is_suspended() {
        return Some("suspended by tagboat.dev/suspend: \"true\"".to_owned());
    }
    if own.ignore() == Ignore::Yes {
        return Some("ignored by fluxcd.io/ignore: \"true\"".to_owned());
    }
    policies(&live.namespace)
        .is_suspended()
        .then(|| "suspended by tagboat.dev/suspend: \"true\" on its namespace".to_owned())
}
