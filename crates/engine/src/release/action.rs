//! Carries an install or an upgrade out.

use super::hooks::{self, Hook};
use super::objects::{self, ObjectKey, Prepared};
use super::plan::{self, Action};
use super::record::{self, Draft, Inputs};
use super::rendering;
use super::report::Report;
use super::{Desired, ReleasePorts};
use crate::ports::{
    Apply, ChartArchive, Fault, FaultKind, FieldManager, HealthState, ObjectRef, ReleaseRecord, Rendered,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often objects are looked at that a release waits for.
const POLL: Duration = Duration::from_secs(2);
/// How long the kinds of a CustomResourceDefinition may take to be served.
const ESTABLISHED: Duration = Duration::from_secs(60);

/// What an action did.
#[derive(Debug, Default)]
pub(super) struct Performed {
    /// The release's objects.
    pub(super) objects: Vec<ObjectRef>,
    /// What was normalised, left out, or could not be cleaned up.
    pub(super) warnings: Vec<String>,
}

/// How an action failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// Whether there is a record of it, and so objects that may have been changed.
    pub(super) recorded: bool,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, recorded: false }
    }
}

/// One action and what it needs to know.
pub(super) struct Run<'a> {
    pub(super) ports: &'a ReleasePorts,
    pub(super) desired: &'a Desired,
    pub(super) chart: &'a ChartArchive,
    pub(super) inputs: &'a Inputs,
    pub(super) history: &'a [ReleaseRecord],
    pub(super) action: &'a Action,
    /// What the status says once it has begun.
    pub(super) begun: Report<'a>,
}

/// What is known before anything is changed.
struct Prospect {
    rendered: Rendered,
    objects: Vec<Prepared>,
    hooks: Vec<Hook>,
    old: BTreeMap<ObjectKey, Prepared>,
}

impl Run<'_> {
    /// Carries it out. Everything that can be found out beforehand is found out before the first record is written.
    pub(super) async fn perform(&self) -> Result<Performed, Failed> {
        let mut performed = Performed { warnings: self.desired.warnings.clone(), ..Performed::default() };
        let prospect = self.prospect(&mut performed).await?;
        // Only now: a release that cannot even begin keeps a status that does not change with every try.
        self.begun.write(self.ports).await?;
        let mut record = self.begin(&prospect.rendered).await?;
        let outcome = self.release(&prospect, &mut record, &mut performed).await;
        self.finish(record, outcome).await?;
        performed.objects = prospect.objects.into_iter().map(|prepared| prepared.id).collect();
        Ok(performed)
    }

    async fn prospect(&self, performed: &mut Performed) -> Result<Prospect, Fault> {
        let (ports, desired) = (self.ports, self.desired);
        let mut rendered = rendering::render(ports, desired, self.chart, self.action).await?;
        if !self.action.upgrade && !desired.skip_crds && !rendered.crds.is_empty() {
            self.install_crds(&rendered).await?;
            // As in Helm: templates see what the definitions brought.
            rendered = rendering::render(ports, desired, self.chart, self.action).await?;
        }
        for document in &rendered.objects {
            let found = document.warnings.iter();
            performed.warnings.extend(found.map(|text| format!("{}: {text}; the last one wins", document.source)));
        }
        let cluster = ports.cluster.as_ref();
        let objects = objects::prepare(cluster, &rendered.objects, &desired.namespace).await?;
        let hooks = hooks::prepare(ports, desired, &rendered.hooks, &self.events()).await?;
        let mut old = BTreeMap::new();
        for revision in &self.action.predecessors {
            let before = self.history.iter().find(|found| found.version == *revision);
            let manifest = before.and_then(|found| found.body.get("manifest")).and_then(Value::as_str);
            let Some(manifest) = manifest.filter(|text| !text.is_empty()) else { continue };
            let read = match ports.renderer.read(manifest).await {
                Err(fault) if fault.kind == FaultKind::Invalid => {
                    let text =
                        format!("revision {revision} cannot be read, so nothing that it had is deleted: {fault}");
                    performed.warnings.push(text);
                    continue;
                }
                read => read?,
            };
            let prepared = objects::prepare_old(cluster, &read, &desired.namespace).await?;
            old.extend(prepared.into_iter().map(|prepared| (prepared.key(), prepared)));
        }
        let known = old.keys().cloned().collect();
        objects::check_conflicts(cluster, &objects, &known, &desired.namespace, &desired.release).await?;
        Ok(Prospect { rendered, objects, hooks, old })
    }

    fn events(&self) -> [&'static str; 2] {
        if self.action.upgrade { ["pre-upgrade", "post-upgrade"] } else { ["pre-install", "post-install"] }
    }

    /// Installs the definitions of `crds/` that are not there. Helm never changes one that is.
    async fn install_crds(&self, rendered: &Rendered) -> Result<(), Fault> {
        let ports = self.ports;
        let crds = objects::prepare(ports.cluster.as_ref(), &rendered.crds, &self.desired.namespace).await?;
        for crd in crds {
            if ports.cluster.get(&crd.id).await?.is_none() {
                self.apply(crd.object.clone()).await?;
            }
            // One that is there may have been made a moment ago, by somebody else.
            ports.cluster.established(&crd.id.name, ESTABLISHED).await?;
        }
        Ok(())
    }

    /// Writes the pending record: from here on the release is ours to finish, also after a crash.
    async fn begin(&self, rendered: &Rendered) -> Result<ReleaseRecord, Fault> {
        let (ports, desired, action) = (self.ports, self.desired, self.action);
        let now = ports.clock.now();
        ports.fence.check().await?;
        if let Some(record) = action.abandon.and_then(|revision| self.revision(revision)) {
            let mut record = record.clone();
            let text = format!("Release unlocked from stale '{}' state", record.status);
            record::set_status(&mut record, "failed", Some(&text), now);
            ports.records.update(&record).await?;
        }
        for revision in plan::prune(self.history, action.revision, desired.max_history) {
            ports.records.delete(&desired.namespace, &desired.release, revision).await?;
        }
        let last = self.history.last();
        let none = BTreeMap::new();
        let first = self.history.iter().rev().find(|found| action.predecessors.contains(&found.version));
        let record = Draft {
            release: &desired.release,
            namespace: &desired.namespace,
            revision: action.revision,
            upgrade: action.upgrade,
            values: &desired.values,
            rendered,
            first_deployed: first.and_then(|found| found.body.pointer("/info/first_deployed")).cloned(),
            labels: last.map_or(&none, |found| &found.labels),
            inputs: self.inputs,
            now,
        }
        .record();
        if action.again {
            ports.records.update(&record).await?;
        } else {
            ports.records.create(&record).await?;
        }
        Ok(record)
    }

    async fn release(
        &self,
        prospect: &Prospect,
        record: &mut ReleaseRecord,
        performed: &mut Performed,
    ) -> Result<(), Fault> {
        let (ports, desired) = (self.ports, self.desired);
        let [before, after] = self.events();
        hooks::run(ports, desired, &prospect.hooks, before, record).await?;
        let mut uids = BTreeSet::new();
        for prepared in &prospect.objects {
            let applied = self.apply(prepared.owned_by(&desired.namespace, &desired.release)).await?;
            performed.warnings.extend(applied.warnings.iter().map(|text| format!("{}: {text}", prepared.id)));
            uids.insert(applied.uid);
            if prepared.id.kind == "CustomResourceDefinition" {
                ports.cluster.established(&prepared.id.name, ESTABLISHED).await?;
            }
        }
        self.remove_dropped(prospect, &uids, performed).await?;
        if desired.wait {
            self.wait(&prospect.objects).await?;
        }
        hooks::run(ports, desired, &prospect.hooks, after, record).await
    }

    async fn apply(&self, object: Value) -> Result<crate::ports::Applied, Fault> {
        self.ports.fence.check().await?;
        let apply = Apply {
            object,
            manager: FieldManager::Release,
            run_as: None,
            leave_annotations: BTreeSet::new(),
            dry_run: false,
        };
        self.ports.cluster.apply(&apply).await
    }

    /// Deletes what earlier revisions had and this one has not: only what carries the release's own marks, by its UID,
    /// and nothing that asks to be kept. What cannot be deleted is a warning, as in Helm.
    async fn remove_dropped(
        &self,
        prospect: &Prospect,
        applied: &BTreeSet<String>,
        performed: &mut Performed,
    ) -> Result<(), Fault> {
        let (ports, desired) = (self.ports, self.desired);
        let wanted: BTreeSet<ObjectKey> = prospect.objects.iter().map(Prepared::key).collect();
        for (_, dropped) in prospect.old.iter().rev().filter(|(key, _)| !wanted.contains(*key)) {
            ports.fence.check().await?;
            let Some(live) = ports.cluster.get(&dropped.id).await? else { continue };
            let Some(uid) = live.pointer("/metadata/uid").and_then(Value::as_str) else { continue };
            if objects::is_kept(&live) || objects::is_kept(&dropped.object) {
                performed
                    .warnings
                    .push(format!("{} is no longer part of the release; helm.sh/resource-policy keeps it", dropped.id));
            } else if applied.contains(uid) {
                // The same object under another group of the API.
            } else if let Err(why) = objects::check_ownership(&live, &desired.namespace, &desired.release) {
                performed
                    .warnings
                    .push(format!("{} is no longer part of the release and was not deleted: {why}", dropped.id));
            } else if let Err(fault) = ports.cluster.delete(&dropped.id, Some(uid)).await {
                performed
                    .warnings
                    .push(format!("{} is no longer part of the release and was not deleted: {fault}", dropped.id));
            }
        }
        Ok(())
    }

    /// Waits until every object is ready.
    async fn wait(&self, objects: &[Prepared]) -> Result<(), Fault> {
        let ids: Vec<ObjectRef> = objects.iter().map(|prepared| prepared.id.clone()).collect();
        let deadline = hooks::deadline(self.ports, self.desired);
        loop {
            let health = self.ports.cluster.health(&ids).await?;
            let unready: Vec<(&ObjectRef, _)> =
                ids.iter().zip(&health).filter(|(_, health)| health.state != HealthState::Healthy).collect();
            if unready.is_empty() {
                return Ok(());
            }
            if let Some((id, health)) = unready.iter().find(|(_, health)| health.state == HealthState::Failed) {
                return Err(Fault::new(FaultKind::Invalid, format!("{id} will not become ready: {}", health.reason)));
            }
            if self.ports.clock.now() >= deadline {
                let first: Vec<String> =
                    unready.iter().take(3).map(|(id, health)| format!("{id}: {}", health.reason)).collect();
                let text = format!(
                    "{} of {} objects are not ready within {} s; {}",
                    unready.len(),
                    ids.len(),
                    self.desired.timeout.as_secs(),
                    first.join("; ")
                );
                return Err(Fault::new(FaultKind::Timeout, text));
            }
            self.ports.clock.sleep(POLL).await;
        }
    }

    /// Writes how it ended. A failure never uninstalls or rolls back: the record says `failed`, and that is all.
    async fn finish(&self, mut record: ReleaseRecord, outcome: Result<(), Fault>) -> Result<(), Failed> {
        let (ports, action) = (self.ports, self.action);
        let now = ports.clock.now();
        let failed = |fault| Failed { fault, recorded: true };
        if let Err(fault) = outcome {
            // Who may not write any more leaves the record pending; the next writer takes it up.
            if fault.kind != FaultKind::Fenced && ports.fence.check().await.is_ok() {
                let what = if action.upgrade { "Upgrade" } else { "Release" };
                let text = format!("{what} \"{}\" failed: {}", self.desired.release, fault.text);
                record::set_status(&mut record, "failed", Some(&text), now);
                if let Err(second) = ports.records.update(&record).await {
                    tracing::warn!(
                        release.name = self.desired.release,
                        "the failed release is still recorded as pending: {second}"
                    );
                }
            }
            return Err(failed(fault));
        }
        ports.fence.check().await.map_err(failed)?;
        let done = if action.upgrade { "Upgrade complete" } else { "Install complete" };
        record::set_status(&mut record, "deployed", Some(done), now);
        ports.records.update(&record).await.map_err(failed)?;
        let older = action.supersede.iter().filter(|revision| **revision != action.revision);
        for before in older.filter_map(|revision| self.revision(*revision)) {
            let mut before = before.clone();
            record::set_status(&mut before, "superseded", None, now);
            ports.records.update(&before).await.map_err(failed)?;
        }
        Ok(())
    }

    fn revision(&self, revision: u64) -> Option<&ReleaseRecord> {
        self.history.iter().find(|found| found.version == revision)
    }
}
