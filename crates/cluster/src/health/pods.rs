//! Pods: their own health, and as the reason why what owns them is not ready.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use tagboat_engine::ports::{Health, HealthState};

use super::{View, failed, healthy, progressing};
use crate::error::plain;

/// So many restarts are a crash loop that lasts.
const CRASHES: i64 = 3;

/// A pod's trouble. The order is that of use to a reader: what stands first is told first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Image(String),
    Configuration(String),
    Crash(String),
    Unschedulable(String),
}

impl Trouble {
    fn text(&self) -> &str {
        match self {
            Self::Image(text) | Self::Configuration(text) | Self::Crash(text) | Self::Unschedulable(text) => text,
        }
    }
}

pub(super) fn pod(view: View<'_>) -> Health {
    let trouble = trouble(view);
    match view.text("/status/phase") {
        "Succeeded" => healthy("completed"),
        "Failed" => failed(trouble.map_or_else(|| said(view), |trouble| trouble.text().to_owned())),
        "Running" if view.condition_is("Ready", "True") => healthy("ready"),
        _ => match trouble {
            Some(crash @ Trouble::Crash(_)) => failed(crash.text()),
            Some(trouble) => progressing(trouble.text()),
            None => progressing(format!("it is {}", plain(&view.text("/status/phase").to_lowercase()))),
        },
    }
}

/// The pod's own message, or else how its containers ended.
fn said(view: View<'_>) -> String {
    for pointer in ["/status/message", "/status/reason"] {
        if !view.text(pointer).is_empty() {
            return plain(view.text(pointer));
        }
    }
    let ended = containers(view).find_map(|container| ended(container, "/state/terminated"));
    ended.unwrap_or_else(|| "it failed".to_owned())
}

fn containers<'a>(view: View<'a>) -> impl Iterator<Item = View<'a>> {
    view.list("/status/initContainerStatuses").chain(view.list("/status/containerStatuses"))
}

/// How a container ended: `container web ended with exit code 1 (Error)`.
fn ended(container: View<'_>, pointer: &str) -> Option<String> {
    let code = container.number(&format!("{pointer}/exitCode")).filter(|code| *code != 0)?;
    let reason = container.text(&format!("{pointer}/reason"));
    let message = container.text(&format!("{pointer}/message")).trim();
    let mut text = format!("container {} ended with exit code {code}", container.text("/name"));
    if !reason.is_empty() {
        text.push_str(&format!(" ({reason})"));
    }
    if !message.is_empty() {
        text.push_str(&format!(": {}", message.chars().take(300).collect::<String>()));
    }
    Some(plain(&text))
}

fn trouble(view: View<'_>) -> Option<Trouble> {
    let mut worst = containers(view).filter_map(container_trouble).min();
    if let Some(scheduled) = view.condition("PodScheduled").filter(|condition| condition.text("/status") == "False") {
        let unschedulable = Trouble::Unschedulable(format!("cannot be scheduled: {}", scheduled.said()));
        worst = worst.into_iter().chain([unschedulable]).min();
    }
    worst
}

fn container_trouble(container: View<'_>) -> Option<Trouble> {
    let name = plain(container.text("/name"));
    let reason = container.text("/state/waiting/reason");
    let message = plain(container.text("/state/waiting/message"));
    let message = if message.is_empty() { plain(reason) } else { message };
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => {
            let image = plain(container.text("/image"));
            Some(Trouble::Image(format!("image cannot be pulled: container {name}, {image}: {message}")))
        }
        "CrashLoopBackOff" => {
            let last = ended(container, "/lastState/terminated").unwrap_or(message);
            let times = container.count("/restartCount");
            Some(Trouble::Crash(format!("crash loop, {times} restarts: {last}")))
        }
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Some(Trouble::Configuration(format!("container {name} cannot start: {message}"))),
        _ => ended(container, "/state/terminated").map(Trouble::Crash),
    }
}

/// The label selector of a workload's pods, as a query has it; `None` for kinds that have no pods.
pub(crate) fn selector(object: &Value) -> Option<String> {
    let view = View(object);
    if !matches!(view.text("/kind"), "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job") {
        return None;
    }
    let selector = object.pointer("/spec/selector")?;
    let mut terms = Vec::new();
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        terms.push(format!("{key}={}", value.as_str()?));
    }
    for expression in View(selector).list("/matchExpressions") {
        let key = expression.text("/key");
        let values: Vec<&str> = expression.list("/values").filter_map(|value| value.0.as_str()).collect();
        terms.push(match expression.text("/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    (!terms.is_empty()).then(|| terms.join(","))
}

/// Adds to a workload's verdict what its newest pods in trouble say. Where those run the workload's present images and
/// were tried often enough, it has failed.
pub(crate) fn with_reason(health: Health, workload: &Value, pods: &[Value]) -> Health {
    let pods: Vec<View<'_>> = pods.iter().map(View).filter(|pod| !pod.has("/metadata/deletionTimestamp")).collect();
    // A rollout's new pods are the newest ones. Times are RFC 3339 in UTC to the second: as texts they sort as times,
    // and within one second there may be pods of two versions.
    let created = |pod: &View<'_>| pod.text("/metadata/creationTimestamp").to_owned();
    let newest = pods.iter().map(created).max();
    let new: HashSet<&str> = pods.iter().filter(|pod| Some(created(pod)) == newest).map(|pod| hash(*pod)).collect();
    match pods.iter().filter(|pod| new.contains(hash(**pod))).filter_map(|pod| trouble(*pod)).min() {
        Some(trouble) if health.state != HealthState::Healthy => {
            // Right after a change the newest pods may still be those of the version before.
            let wanted = images(View(workload), "/spec/template/spec/containers");
            let mut present =
                pods.iter().filter(|pod| new.contains(hash(**pod)) && images(**pod, "/spec/containers") == wanted);
            let given_up = present.any(|pod| containers(*pod).any(lasts));
            let state = if given_up { HealthState::Failed } else { health.state };
            Health { reason: format!("{} ({})", trouble.text(), health.reason), state }
        }
        _ => health,
    }
}

/// The images of containers, by name.
fn images<'a>(view: View<'a>, pointer: &str) -> BTreeMap<&'a str, &'a str> {
    view.list(pointer).map(|container| (container.text("/name"), container.text("/image"))).collect()
}

/// Whether a container has been tried often enough to say that waiting does not help. People want to hear of that at
/// once, and not when the rollout's deadline of ten minutes has passed; should it run after all, it has recovered.
fn lasts(container: View<'_>) -> bool {
    match container.text("/state/waiting/reason") {
        "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "CreateContainerConfigError" => true,
        "CrashLoopBackOff" => container.count("/restartCount") >= CRASHES,
        _ => false,
    }
}

/// What tells a rollout's pods from those of the one before.
fn hash<'a>(pod: View<'a>) -> &'a str {
    ["pod-template-hash", "controller-revision-hash"]
        .iter()
        .map(|label| pod.text(&format!("/metadata/labels/{label}")))
        .find(|hash| !hash.is_empty())
        .unwrap_or_default()
}
