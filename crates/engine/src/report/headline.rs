use super::view::WorkloadView;
use crate::decide::Action;
use crate::ports::{DeploymentOutcome, HealthState};
use serde::{Deserialize, Serialize};

/// One word for how a workload stands, the most pressing first.
///
/// The order is the precedence: a failed release that is also paused says `failed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppState {
    /// It does not run, and will not by waiting.
    Failed,
    /// It cannot be decided or written: a person must act.
    Blocked,
    /// A change is on its way into the cluster.
    Releasing,
    /// A newer image is decided and not yet committed.
    Waiting,
    /// A person paused, suspended or ignored it.
    Paused,
    /// A person's pin or lock keeps it where it is.
    Held,
    /// It runs as desired.
    Healthy,
    /// Nothing is known yet, or a newer Tagboat said a word that this one does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl AppState {
    /// The word, as JSON and tables have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Releasing => "releasing",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a person has to look at it.
    #[must_use]
    pub fn needs_attention(self) -> bool {
        matches!(self, Self::Failed | Self::Blocked)
    }
}

/// The phases of `helm.fluxcd.io/v1` that end in nothing.
fn is_failed_phase(phase: &str) -> bool {
    phase.ends_with("Failed")
}

/// The headline of a workload and its cause, from everything else in the view.
pub(super) fn headline(view: &WorkloadView) -> (AppState, String) {
    let containers = |action: Action| view.containers.iter().find(|container| container.action == action);

    if let Some(release) = view.release.as_ref().filter(|release| is_failed_phase(&release.phase)) {
        return (AppState::Failed, first_of(&[&release.message, &release.phase]));
    }
    if let Some(health) = view.health.as_ref().filter(|health| health.state == HealthState::Failed) {
        return (AppState::Failed, health.reason.clone());
    }
    if let Some(container) = containers(Action::Blocked) {
        return (AppState::Blocked, format!("{}: {}", container.name, container.reason.text));
    }
    if let Some(change) = view.change.as_ref().filter(|change| change.result.is_none()) {
        let step = if change.timeline.released.is_some() {
            "released, waiting until it is healthy"
        } else if change.timeline.applied.is_some() {
            "applied"
        } else if change.timeline.committed.is_some() {
            "committed"
        } else {
            "seen"
        };
        return (AppState::Releasing, step.to_owned());
    }
    if let Some(health) = view.health.as_ref() {
        match health.state {
            HealthState::Progressing => return (AppState::Releasing, health.reason.clone()),
            HealthState::Missing => return (AppState::Waiting, health.reason.clone()),
            HealthState::Healthy | HealthState::Failed => {}
        }
    }
    if let Some(container) = containers(Action::Update) {
        return (AppState::Waiting, format!("{}: {}", container.name, container.reason.text));
    }
    if let Some(hold) = &view.hold {
        let state = match hold.code.as_str() {
            "paused" | "suspended" | "ignored" => AppState::Paused,
            _ => AppState::Held,
        };
        return (state, hold.text.clone());
    }
    if let Some(container) = containers(Action::Hold) {
        return (AppState::Held, container.reason.text.clone());
    }
    match (&view.health, &view.change) {
        (Some(health), _) if health.state == HealthState::Healthy => (AppState::Healthy, health.reason.clone()),
        (None, Some(change)) => match &change.result {
            Some(DeploymentOutcome::Failed { reason }) => (AppState::Failed, reason.clone()),
            Some(DeploymentOutcome::Done | DeploymentOutcome::Recovered) => (AppState::Healthy, String::new()),
            None => (AppState::Unknown, String::new()),
        },
        _ => (AppState::Unknown, "not looked at yet".to_owned()),
    }
}

fn first_of(texts: &[&str]) -> String {
    texts.iter().find(|text| !text.is_empty()).map_or_else(String::new, |text| (*text).to_owned())
}
