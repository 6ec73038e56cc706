//! How an object stands, by the rules of kstatus, from the object alone.
//!
//! An object whose controller has not yet seen its newest generation is on its way, whatever its status says. After
//! that each kind has its own rules; kinds without any go by the conditions `Stalled`, `Reconciling` and `Ready`, and
//! by being there.

pub(crate) mod pods;
mod workloads;

use serde_json::Value;
use tagboat_engine::ports::{Health, HealthState};

use crate::error::plain;

/// Judges an object as the API server gave it.
pub fn assess(object: &Value) -> Health {
    let view = View(object);
    if view.has("/metadata/deletionTimestamp") {
        return progressing("it is being deleted");
    }
    let observed = view.number("/status/observedGeneration");
    if let (Some(observed), Some(generation)) = (observed, view.number("/metadata/generation"))
        && observed < generation
    {
        return progressing("its controller has not seen the newest change yet");
    }
    match (view.group(), view.text("/kind")) {
        ("apps", "Deployment") => workloads::deployment(view),
        ("apps", "ReplicaSet") => workloads::replica_set(view),
        ("apps", "StatefulSet") => workloads::stateful_set(view),
        ("apps", "DaemonSet") => workloads::daemon_set(view),
        ("batch", "Job") => workloads::job(view),
        ("", "Pod") => pods::pod(view),
        ("", "PersistentVolumeClaim") => claim(view),
        ("", "Service") => service(view),
        ("", "Namespace") => namespace(view),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(view),
        ("apiregistration.k8s.io", "APIService") => by_condition(view, "Available"),
        ("helm.fluxcd.io", "HelmRelease") => helm_release(view),
        _ => generic(view),
    }
}

/// Reads an object without caring what is missing.
#[derive(Clone, Copy)]
pub(crate) struct View<'a>(pub(crate) &'a Value);

impl<'a> View<'a> {
    pub(crate) fn has(self, pointer: &str) -> bool {
        self.0.pointer(pointer).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn text(self, pointer: &str) -> &'a str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn number(self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer).and_then(Value::as_i64)
    }

    /// A count in the status: absent means none.
    pub(crate) fn count(self, pointer: &str) -> i64 {
        self.number(pointer).unwrap_or(0)
    }

    pub(crate) fn list(self, pointer: &str) -> impl Iterator<Item = View<'a>> {
        self.0.pointer(pointer).and_then(Value::as_array).into_iter().flatten().map(View)
    }

    pub(crate) fn condition(self, kind: &str) -> Option<View<'a>> {
        self.list("/status/conditions").find(|condition| condition.text("/type") == kind)
    }

    pub(crate) fn condition_is(self, kind: &str, status: &str) -> bool {
        self.condition(kind).is_some_and(|condition| condition.text("/status") == status)
    }

    fn group(self) -> &'a str {
        self.text("/apiVersion").split_once('/').map_or("", |(group, _)| group)
    }

    /// A condition's message, or else its reason.
    pub(crate) fn said(self) -> String {
        let message = self.text("/message");
        plain(if message.is_empty() { self.text("/reason") } else { message })
    }
}

pub(crate) fn healthy(reason: impl Into<String>) -> Health {
    Health { state: HealthState::Healthy, reason: reason.into() }
}

pub(crate) fn progressing(reason: impl Into<String>) -> Health {
    Health { state: HealthState::Progressing, reason: reason.into() }
}

pub(crate) fn failed(reason: impl Into<String>) -> Health {
    Health { state: HealthState::Failed, reason: reason.into() }
}

fn generic(view: View<'_>) -> Health {
    if let Some(stalled) = view.condition("Stalled").filter(|condition| condition.text("/status") == "True") {
        return failed(stalled.said());
    }
    if let Some(reconciling) = view.condition("Reconciling").filter(|condition| condition.text("/status") == "True") {
        return progressing(reconciling.said());
    }
    match view.condition("Ready") {
        Some(ready) if ready.text("/status") != "True" => progressing(ready.said()),
        Some(_) => healthy("ready"),
        None => healthy("it is there"),
    }
}

fn by_condition(view: View<'_>, kind: &str) -> Health {
    match view.condition(kind) {
        Some(condition) if condition.text("/status") == "True" => healthy(kind.to_lowercase()),
        Some(condition) => progressing(condition.said()),
        None => progressing(format!("it has no condition {kind} yet")),
    }
}

fn claim(view: View<'_>) -> Health {
    match view.text("/status/phase") {
        "Bound" => healthy("bound"),
        "Lost" => failed("its volume is lost"),
        _ => progressing("it is not bound to a volume yet"),
    }
}

fn service(view: View<'_>) -> Health {
    let waits = view.text("/spec/type") == "LoadBalancer" && !view.has("/status/loadBalancer/ingress/0");
    if waits { progressing("its load balancer has no address yet") } else { healthy("it is there") }
}

fn namespace(view: View<'_>) -> Health {
    if view.text("/status/phase") == "Terminating" { progressing("it is being deleted") } else { healthy("active") }
}

fn definition(view: View<'_>) -> Health {
    if let Some(names) = view.condition("NamesAccepted").filter(|condition| condition.text("/status") == "False") {
        return failed(names.said());
    }
    by_condition(view, "Established")
}

fn helm_release(view: View<'_>) -> Health {
    // Without `observedGeneration`, no status speaks of this generation.
    if !view.has("/status/observedGeneration") {
        return progressing("it has not been looked at yet");
    }
    match view.condition("Released") {
        Some(released) if released.text("/status") == "True" => healthy(released.said()),
        Some(released) if released.text("/status") == "False" => failed(released.said()),
        _ => progressing(format!("it is being released ({})", plain(view.text("/status/phase")))),
    }
}

#[cfg(test)]
mod tests;
