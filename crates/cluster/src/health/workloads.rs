use tagboat_engine::ports::Health;

use super::{View, failed, healthy, progressing};
use crate::error::plain;

fn replicas(view: View<'_>) -> i64 {
    view.number("/spec/replicas").unwrap_or(1)
}

pub(super) fn deployment(view: View<'_>) -> Health {
    if let Some(condition) = view.condition("Progressing")
        && condition.text("/reason") == "ProgressDeadlineExceeded"
    {
        return failed(condition.said());
    }
    if let Some(failure) = view.condition("ReplicaFailure").filter(|condition| condition.text("/status") == "True") {
        return progressing(failure.said());
    }
    if !view.has("/status/observedGeneration") {
        return progressing("its controller has not seen it yet");
    }
    let wanted = replicas(view);
    let updated = view.count("/status/updatedReplicas");
    let (all, ready) = (view.count("/status/replicas"), view.count("/status/readyReplicas"));
    let available = view.count("/status/availableReplicas");
    if updated < wanted {
        return progressing(format!("{updated} of {wanted} pods are of the new version"));
    }
    if all > updated {
        return progressing(format!("{} pods of the old version are still there", all - updated));
    }
    if ready < wanted {
        return progressing(format!("{ready} of {wanted} ready"));
    }
    if available < wanted {
        return progressing(format!("{available} of {wanted} available"));
    }
    healthy(format!("{ready} of {wanted} ready"))
}

pub(super) fn replica_set(view: View<'_>) -> Health {
    let (wanted, ready) = (replicas(view), view.count("/status/readyReplicas"));
    if let Some(failure) = view.condition("ReplicaFailure").filter(|condition| condition.text("/status") == "True") {
        return progressing(failure.said());
    }
    if ready < wanted || view.count("/status/replicas") > wanted {
        return progressing(format!("{ready} of {wanted} ready"));
    }
    healthy(format!("{ready} of {wanted} ready"))
}

pub(super) fn stateful_set(view: View<'_>) -> Health {
    let wanted = replicas(view);
    let ready = view.count("/status/readyReplicas");
    if !view.has("/status/observedGeneration") {
        return progressing("its controller has not seen it yet");
    }
    if ready < wanted {
        return progressing(format!("{ready} of {wanted} ready"));
    }
    if view.count("/status/replicas") > wanted {
        return progressing(format!("{} pods too many are still there", view.count("/status/replicas") - wanted));
    }
    // With `OnDelete`, when pods become new is somebody else's decision.
    if view.text("/spec/updateStrategy/type") != "OnDelete" {
        let partition = view.number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
        let due = (wanted - partition).max(0);
        let updated = view.count("/status/updatedReplicas");
        let current = view.text("/status/currentRevision") == view.text("/status/updateRevision");
        if updated < due && !current {
            return progressing(format!("{updated} of {due} pods are of the new version"));
        }
    }
    healthy(format!("{ready} of {wanted} ready"))
}

pub(super) fn daemon_set(view: View<'_>) -> Health {
    if !view.has("/status/observedGeneration") {
        return progressing("its controller has not seen it yet");
    }
    let wanted = view.count("/status/desiredNumberScheduled");
    let ready = view.count("/status/numberReady");
    let updated = view.count("/status/updatedNumberScheduled");
    if view.text("/spec/updateStrategy/type") != "OnDelete" && updated < wanted {
        return progressing(format!("{updated} of {wanted} pods are of the new version"));
    }
    let available = view.count("/status/numberAvailable");
    if ready < wanted || available < wanted {
        return progressing(format!("{} of {wanted} ready", ready.min(available)));
    }
    healthy(format!("{ready} of {wanted} ready"))
}

/// A Job that runs is as desired; how it ends is known when it has ended.
pub(super) fn job(view: View<'_>) -> Health {
    for kind in ["Failed", "FailureTarget"] {
        if let Some(condition) = view.condition(kind).filter(|condition| condition.text("/status") == "True") {
            return failed(format!("{}: {}", plain(condition.text("/reason")), condition.said()));
        }
    }
    if view.condition_is("Complete", "True") {
        return healthy("completed");
    }
    if view.condition_is("Suspended", "True") {
        return healthy("suspended");
    }
    if !view.has("/status/startTime") {
        return progressing("it has not started yet");
    }
    healthy(format!("running: {} active, {} failed", view.count("/status/active"), view.count("/status/failed")))
}
