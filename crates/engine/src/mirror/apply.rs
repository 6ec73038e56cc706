use super::load::{Desired, DesiredObject};
use super::order::rank;
use crate::policy::Effective;
use crate::ports::{
    Applied, Apply, Cluster, Fault, FaultKind, FieldManager, Inventory, InventoryEntry, LiveAnnotations, LivePolicies,
    ObjectRef, Revision, SourceId, WriteFence,
};
use futures::StreamExt;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tagboat_manifest::{Problem, Severity, Workload, WorkloadId};
use tracing::{info, warn};

/// How many objects of one stage are applied side by side.
const PARALLEL: usize = 8;
/// How long a CustomResourceDefinition may take until it is served.
const ESTABLISH: Duration = Duration::from_secs(60);

/// Applies the revisions of one source, and remembers what it applied, so that what did not change costs no request.
pub struct Mirror {
    pub(super) source: SourceId,
    pub(super) cluster: Arc<dyn Cluster>,
    live: Arc<dyn LivePolicies>,
    fence: Arc<dyn WriteFence>,
    pub(super) applied: BTreeMap<ObjectRef, Remembered>,
    inventory: Option<Inventory>,
}

/// An object that is to be applied, and the digest of what the apply depends on.
type Pending<'a> = (&'a DesiredObject, Apply, [u8; 32]);

pub(super) struct Remembered {
    digest: [u8; 32],
    uid: String,
    /// What it said after its apply.
    pub(super) content: [u8; 32],
    /// What was said of it then stands for as long as it does.
    warnings: Vec<String>,
}

/// What came of mirroring one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirrored {
    /// The revision.
    pub revision: Revision,
    /// Objects that are in the cluster as the revision wants them.
    pub in_place: Vec<ObjectRef>,
    /// Objects that this pass changed.
    pub changed: Vec<ObjectRef>,
    /// Objects left alone because somebody wants it so, and why.
    pub untouched: Vec<(ObjectRef, String)>,
    /// What is wrong, by file and line.
    pub problems: Vec<Problem>,
    /// Whether something failed that may succeed without a change in git.
    pub retry: bool,
}

impl Mirrored {
    /// Nothing done yet, and what is wrong with the manifests themselves.
    fn begin(revision: &Revision, desired: &Desired) -> Self {
        Self {
            revision: revision.clone(),
            in_place: Vec::new(),
            changed: Vec::new(),
            untouched: Vec::new(),
            problems: desired.problems.clone(),
            retry: false,
        }
    }
}

fn by_id(desired: &Desired) -> BTreeMap<&WorkloadId, &Workload> {
    desired.workloads.iter().map(|workload| (&workload.id, workload)).collect()
}

impl Mirror {
    /// A mirror that has applied nothing yet.
    #[must_use]
    pub fn new(
        source: SourceId,
        cluster: Arc<dyn Cluster>,
        live: Arc<dyn LivePolicies>,
        fence: Arc<dyn WriteFence>,
    ) -> Self {
        Self { source, cluster, live, fence, applied: BTreeMap::new(), inventory: None }
    }

    /// Makes the cluster match a revision.
    ///
    /// # Errors
    /// Nothing could be done at all: this process may not write, or the API server is out of reach.
    pub async fn mirror(&mut self, revision: &Revision, desired: Desired) -> Result<Mirrored, Fault> {
        self.fence.check().await?;
        let mut outcome = Mirrored::begin(revision, &desired);
        let workloads = by_id(&desired);
        let mut stages: BTreeMap<u8, Vec<Pending<'_>>> = BTreeMap::new();
        for wanted in &desired.objects {
            let (apply, live, untouched) = self.prepare(wanted, &workloads);
            if let Some(why) = untouched {
                outcome.untouched.push((wanted.object.clone(), why));
                continue;
            }
            let digest = digest(&apply, live.as_ref());
            if let Some(known) = self.applied.get(&wanted.object).filter(|known| known.digest == digest) {
                outcome.in_place.push(wanted.object.clone());
                outcome.problems.extend(known.warnings.iter().map(|text| warning(wanted, text)));
                continue;
            }
            stages.entry(rank(&wanted.object.kind)).or_default().push((wanted, apply, digest));
        }
        if stages.is_empty() {
            self.record(revision, &desired, true).await?;
            return Ok(outcome);
        }
        // Identity is written before the apply, the UID after it: whatever was applied is in the inventory (D8).
        self.record(revision, &desired, false).await?;
        for (stage, objects) in stages {
            self.fence.check().await?;
            let asked: Vec<_> = objects.iter().map(|(_, apply, _)| self.cluster.apply(apply)).collect();
            let answers: Vec<_> = futures::stream::iter(asked).buffered(PARALLEL).collect().await;
            for ((wanted, _, digest), answer) in objects.iter().zip(answers) {
                self.note(wanted, answer, *digest, &mut outcome);
            }
            if stage == 0 {
                self.wait_for_definitions(&desired, &mut outcome).await;
            }
        }
        self.record(revision, &desired, !outcome.retry).await?;
        Ok(outcome)
    }

    /// Asks the API server what [`mirror`](Self::mirror) would change, and writes nothing. `in_place` is what is as the
    /// revision wants it, `changed` what is not.
    ///
    /// # Errors
    /// The API server is out of reach.
    pub async fn compare(&self, revision: &Revision, desired: Desired) -> Result<Mirrored, Fault> {
        let mut outcome = Mirrored::begin(revision, &desired);
        let workloads = by_id(&desired);
        let mut objects = Vec::new();
        for wanted in &desired.objects {
            let (mut apply, _, untouched) = self.prepare(wanted, &workloads);
            apply.dry_run = true;
            match untouched {
                Some(why) => outcome.untouched.push((wanted.object.clone(), why)),
                None => objects.push((wanted, apply)),
            }
        }
        let asked: Vec<_> = objects.iter().map(|(_, apply)| self.cluster.apply(apply)).collect();
        let answers: Vec<_> = futures::stream::iter(asked).buffered(PARALLEL).collect().await;
        for ((wanted, _), answer) in objects.iter().zip(answers) {
            let object = &wanted.object;
            let differs = match answer {
                Ok(applied) if !applied.changed => {
                    outcome.in_place.push(object.clone());
                    continue;
                }
                Ok(_) => format!("{object} differs from git"),
                // Its namespace or its definition may be missing as well: a dry run makes none.
                Err(fault) if fault.kind == FaultKind::NotFound => format!("{object} is not in the cluster: {fault}"),
                Err(fault) => {
                    outcome.retry |= fault.is_transient();
                    outcome.problems.push(at(wanted, Severity::Error, format!("{object} would be refused: {fault}")));
                    continue;
                }
            };
            outcome.changed.push(object.clone());
            outcome.problems.push(at(wanted, Severity::Warning, differs));
        }
        Ok(outcome)
    }

    fn note(
        &mut self,
        wanted: &DesiredObject,
        answer: Result<Applied, Fault>,
        digest: [u8; 32],
        outcome: &mut Mirrored,
    ) {
        match answer {
            Ok(applied) => {
                outcome.problems.extend(applied.warnings.iter().map(|text| warning(wanted, text)));
                outcome.in_place.push(wanted.object.clone());
                if applied.changed {
                    info!(source = %self.source, object = %wanted.object, "applied {}", wanted.object);
                    outcome.changed.push(wanted.object.clone());
                }
                self.applied.insert(
                    wanted.object.clone(),
                    Remembered { digest, uid: applied.uid, content: applied.content, warnings: applied.warnings },
                );
            }
            Err(fault) => {
                self.applied.remove(&wanted.object);
                outcome.retry |= fault.kind != FaultKind::Invalid;
                outcome.problems.push(at(
                    wanted,
                    Severity::Error,
                    format!("{} was not applied: {fault}", wanted.object),
                ));
            }
        }
    }

    /// What is sent for an object, or why it is left alone.
    fn prepare(
        &self,
        wanted: &DesiredObject,
        workloads: &BTreeMap<&WorkloadId, &Workload>,
    ) -> (Apply, Option<LiveAnnotations>, Option<String>) {
        let mut apply = Apply {
            object: wanted.json.clone(),
            manager: FieldManager::Mirror,
            run_as: None,
            leave_annotations: BTreeSet::new(),
            dry_run: false,
        };
        let id = WorkloadId::new(wanted.object.namespace.as_deref(), &wanted.object.kind, &wanted.object.name);
        let Some(workload) = workloads.get(&id) else { return (apply, None, None) };
        let Some(live) = self.live.known(&workload.id) else {
            return (apply, None, Effective::of_git(workload).untouched());
        };
        apply.leave_annotations = stricter_keys(&live, workload);
        let untouched = Effective::with_live(workload, &live).untouched();
        (apply, Some(live), untouched)
    }

    async fn wait_for_definitions(&self, desired: &Desired, outcome: &mut Mirrored) {
        for wanted in &desired.objects {
            if wanted.object.kind != "CustomResourceDefinition" || !self.applied.contains_key(&wanted.object) {
                continue;
            }
            if let Err(fault) = self.cluster.established(&wanted.object.name, ESTABLISH).await {
                outcome.retry = true;
                outcome.problems.push(at(wanted, Severity::Error, fault.text));
            }
        }
    }

    /// Brings the inventory in the cluster up to what is wanted and known. What an earlier revision applied stays in it:
    /// nothing is pruned here, and what is not in the inventory could never be pruned later.
    async fn record(&mut self, revision: &Revision, desired: &Desired, complete: bool) -> Result<(), Fault> {
        let stored = match self.inventory.take() {
            Some(known) => Some(known),
            None => self.cluster.inventory(&self.source).await?,
        };
        let mut entries: BTreeMap<ObjectRef, Option<String>> = stored
            .iter()
            .flat_map(|inventory| inventory.entries.iter().map(|entry| (entry.object.clone(), entry.uid.clone())))
            .collect();
        for wanted in &desired.objects {
            let uid = self.applied.get(&wanted.object).map(|known| known.uid.clone());
            let entry = entries.entry(wanted.object.clone()).or_default();
            *entry = uid.or_else(|| entry.take());
        }
        let next = Inventory {
            revision: complete.then(|| revision.clone()),
            entries: entries.into_iter().map(|(object, uid)| InventoryEntry { object, uid }).collect(),
        };
        if stored.as_ref() != Some(&next) {
            self.fence.check().await?;
            if let Err(fault) = self.cluster.save_inventory(&self.source, &next).await {
                warn!(source = %self.source, error = %fault, "the inventory could not be written");
                return Err(fault);
            }
        }
        self.inventory = Some(next);
        Ok(())
    }
}

fn warning(wanted: &DesiredObject, text: &str) -> Problem {
    at(wanted, Severity::Warning, format!("{}: {text}", wanted.object))
}

fn at(wanted: &DesiredObject, severity: Severity, text: String) -> Problem {
    Problem { file: wanted.location.file.clone(), line: wanted.location.line, column: 1, severity, text }
}

/// Policy keys that a person set on the live object and that are stricter than git: they are left out of the apply
/// (D6). A looser one is applied over, and so put back.
fn stricter_keys(live: &LiveAnnotations, workload: &Workload) -> BTreeSet<String> {
    let effective = Effective::with_live(workload, live);
    let overrides = effective.live_policies();
    live.set_by_person.iter().filter(|key| overrides.contains(policy_name(key))).cloned().collect()
}

fn policy_name(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, name)| name)
}

/// What an apply depends on: the object, the keys left out, and the live policies, so that a looser one is put back.
fn digest(apply: &Apply, live: Option<&LiveAnnotations>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(apply.object.to_string());
    for key in &apply.leave_annotations {
        hash.update([0]);
        hash.update(key);
    }
    for (key, value) in live.iter().flat_map(|live| &live.annotations) {
        let declared = apply.object.pointer("/metadata/annotations").and_then(|all| all.get(key));
        if declared.is_some_and(|declared| declared != value) {
            hash.update([1]);
            hash.update(key);
            hash.update([0]);
            hash.update(value);
        }
    }
    hash.finalize().into()
}
