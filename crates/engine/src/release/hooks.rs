//! Hooks: objects that run before or after an install or upgrade.

use super::objects::{self, Prepared};
use super::record::{self, HookPhase};
use super::{Desired, ReleasePorts};
use crate::ports::{Apply, Fault, FaultKind, FieldManager, ObjectRef, ReleaseRecord, RenderedHook, RenderedObject};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often a running hook is looked at.
const POLL: Duration = Duration::from_secs(1);

const BEFORE_CREATION: &str = "before-hook-creation";
const SUCCEEDED: &str = "hook-succeeded";
const FAILED: &str = "hook-failed";

/// A hook and its objects (a template may make a List).
#[derive(Debug, Clone)]
pub(super) struct Hook {
    hook: RenderedHook,
    objects: Vec<Prepared>,
}

impl Hook {
    fn has(&self, policy: &str) -> bool {
        let policies = &self.hook.delete_policies;
        if policies.is_empty() { policy == BEFORE_CREATION } else { policies.iter().any(|found| found == policy) }
    }
}

/// The hooks of some events, resolved against the cluster, so that an unknown kind is found before anything is changed.
pub(super) async fn prepare(
    ports: &ReleasePorts,
    desired: &Desired,
    hooks: &[RenderedHook],
    events: &[&str],
) -> Result<Vec<Hook>, Fault> {
    let mut prepared = Vec::new();
    for hook in hooks.iter().filter(|hook| hook.events.iter().any(|event| events.contains(&event.as_str()))) {
        let rendered = RenderedObject {
            source: hook.path.clone(),
            manifest: String::new(),
            object: hook.object.clone(),
            warnings: Vec::new(),
        };
        let objects = objects::prepare(ports.cluster.as_ref(), &[rendered], &desired.namespace).await?;
        prepared.push(Hook { hook: hook.clone(), objects });
    }
    // Lower weights first, then by name; the order of kinds decides between equals, and the sort is stable.
    prepared.sort_by(|one, other| (one.hook.weight, &one.hook.name).cmp(&(other.hook.weight, &other.hook.name)));
    Ok(prepared)
}

/// Runs the hooks of one event, one after the other, and notes each run in the record.
pub(super) async fn run(
    ports: &ReleasePorts,
    desired: &Desired,
    hooks: &[Hook],
    event: &str,
    record: &mut ReleaseRecord,
) -> Result<(), Fault> {
    let hooks: Vec<&Hook> = hooks.iter().filter(|hook| hook.hook.events.iter().any(|found| found == event)).collect();
    for (done, hook) in hooks.iter().enumerate() {
        let (path, name) = (hook.hook.path.as_str(), hook.hook.name.as_str());
        if hook.has(BEFORE_CREATION) {
            remove(ports, desired, hook, true).await?;
        }
        record::set_hook_run(record, path, name, HookPhase::Running, ports.clock.now());
        ports.fence.check().await?;
        ports.records.update(record).await?;
        tracing::debug!(release.name = desired.release, hook.name = name, hook.event = event, "hook runs");
        let outcome = perform(ports, desired, hook).await;
        let phase = if outcome.is_ok() { HookPhase::Succeeded } else { HookPhase::Failed };
        record::set_hook_run(record, path, name, phase, ports.clock.now());
        if let Err(fault) = outcome {
            // The failure is what matters; what cannot be cleaned up is cleaned up before the next run.
            if hook.has(FAILED) {
                let _ = remove(ports, desired, hook, false).await;
            }
            clean(ports, desired, &hooks[..done]).await;
            return Err(Fault { text: format!("{event} hook {path} failed: {}", fault.text), ..fault });
        }
    }
    clean(ports, desired, &hooks).await;
    Ok(())
}

/// Removes what is to be removed after success, the last first.
async fn clean(ports: &ReleasePorts, desired: &Desired, hooks: &[&Hook]) {
    for hook in hooks.iter().rev().filter(|hook| hook.has(SUCCEEDED)) {
        if let Err(fault) = remove(ports, desired, hook, false).await {
            tracing::warn!(
                release.name = desired.release,
                hook.name = hook.hook.name,
                "a hook that is done was not removed: {fault}"
            );
        }
    }
}

async fn perform(ports: &ReleasePorts, desired: &Desired, hook: &Hook) -> Result<(), Fault> {
    for prepared in &hook.objects {
        ports.fence.check().await?;
        let apply = Apply {
            object: prepared.object.clone(),
            manager: FieldManager::Release,
            run_as: None,
            leave_annotations: BTreeSet::new(),
            dry_run: false,
        };
        ports.cluster.apply(&apply).await?;
    }
    let deadline = deadline(ports, desired);
    for prepared in &hook.objects {
        wait(ports, desired, prepared, deadline).await?;
    }
    Ok(())
}

/// Waits for a Job or a Pod to end; other kinds are done when they are there, as in Helm.
async fn wait(ports: &ReleasePorts, desired: &Desired, prepared: &Prepared, deadline: Timestamp) -> Result<(), Fault> {
    if !matches!(prepared.id.kind.as_str(), "Job" | "Pod") {
        return Ok(());
    }
    loop {
        let live = ports.cluster.get(&prepared.id).await?;
        let Some(live) = live else {
            if prepared.object.pointer("/spec/ttlSecondsAfterFinished").is_some() {
                return Ok(());
            }
            return Err(Fault::new(FaultKind::Invalid, format!("{} was removed before it ended", prepared.id)));
        };
        match ended(&prepared.id, &live) {
            Some(Ok(())) => return Ok(()),
            Some(Err(reason)) => return Err(Fault::new(FaultKind::Invalid, reason)),
            None if ports.clock.now() >= deadline => {
                let text = format!("{} has not ended within {} s", prepared.id, desired.timeout.as_secs());
                return Err(Fault::new(FaultKind::Timeout, text));
            }
            None => ports.clock.sleep(POLL).await,
        }
    }
}

/// How a Job or Pod ended, if it did.
fn ended(id: &ObjectRef, live: &Value) -> Option<Result<(), String>> {
    if id.kind == "Pod" {
        return match live.pointer("/status/phase").and_then(Value::as_str)? {
            "Succeeded" => Some(Ok(())),
            "Failed" => {
                let why = live.pointer("/status/message").and_then(Value::as_str).unwrap_or("its containers failed");
                Some(Err(format!("{id} failed: {why}")))
            }
            _ => None,
        };
    }
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array)?;
    let holds = |type_: &str| {
        conditions.iter().find(|condition| {
            condition.get("type").and_then(Value::as_str) == Some(type_)
                && condition.get("status").and_then(Value::as_str) == Some("True")
        })
    };
    if holds("Complete").is_some() {
        return Some(Ok(()));
    }
    let failed = holds("Failed")?;
    let text = |key: &str| failed.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(Err(format!("{id} failed: {} {}", text("reason"), text("message"))))
}

/// Removes a hook's objects, and waits until they are gone where the next ones need their names.
async fn remove(ports: &ReleasePorts, desired: &Desired, hook: &Hook, and_wait: bool) -> Result<(), Fault> {
    for prepared in hook.objects.iter().filter(|prepared| prepared.id.kind != "CustomResourceDefinition") {
        ports.fence.check().await?;
        let Some(live) = ports.cluster.get(&prepared.id).await? else { continue };
        ports.cluster.delete(&prepared.id, live.pointer("/metadata/uid").and_then(Value::as_str)).await?;
        let deadline = deadline(ports, desired);
        while and_wait && ports.cluster.get(&prepared.id).await?.is_some() {
            if ports.clock.now() >= deadline {
                let text =
                    format!("{} of an earlier run is not gone within {} s", prepared.id, desired.timeout.as_secs());
                return Err(Fault::new(FaultKind::Timeout, text));
            }
            ports.clock.sleep(POLL).await;
        }
    }
    Ok(())
}

/// The time by which something must be done that begins now.
pub(super) fn deadline(ports: &ReleasePorts, desired: &Desired) -> Timestamp {
    let wait = SignedDuration::try_from(desired.timeout).unwrap_or(SignedDuration::MAX);
    ports.clock.now().checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id(kind: &str) -> ObjectRef {
        ObjectRef { api_version: "v1".into(), kind: kind.into(), namespace: Some("ns".into()), name: "migrate".into() }
    }

    #[test]
    fn a_job_ends_by_its_conditions() {
        let with = |type_: &str, status: &str| json!({"status": {"conditions": [{"type": type_, "status": status, "reason": "BackoffLimitExceeded", "message": "m"}]}});
        assert_eq!(ended(&id("Job"), &with("Complete", "True")), Some(Ok(())));
        assert_eq!(ended(&id("Job"), &with("Complete", "False")), None);
        let failed = ended(&id("Job"), &with("Failed", "True")).unwrap().unwrap_err();
        assert_eq!(failed, "Job ns/migrate failed: BackoffLimitExceeded m");
        assert_eq!(ended(&id("Job"), &json!({})), None);
    }

    #[test]
    fn a_pod_ends_by_its_phase() {
        let with = |phase: &str| json!({"status": {"phase": phase}});
        assert_eq!(ended(&id("Pod"), &with("Succeeded")), Some(Ok(())));
        assert!(ended(&id("Pod"), &with("Failed")).unwrap().is_err());
        assert_eq!(ended(&id("Pod"), &with("Running")), None);
    }
}
