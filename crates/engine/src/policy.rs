//! The policies that count: git's and, where stricter, the live ones (D6).

use crate::decide::Reason;
use crate::ports::LiveAnnotations;
use std::collections::BTreeMap;
use tagboat_manifest::{Ignore, Policies, Workload};

/// What holds an image back or lets it go, with where that is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    policies: Policies,
    git: Policies,
    namespace_pause: Option<(&'static str, String)>,
    live: Vec<&'static str>,
}

impl Effective {
    /// Git's policies alone: offline, and for objects that are not in the cluster yet.
    #[must_use]
    pub fn of_git(workload: &Workload) -> Self {
        Self {
            policies: workload.policies.clone(),
            git: workload.policies.clone(),
            namespace_pause: None,
            live: Vec::new(),
        }
    }

    /// Git's policies, with those that stand on the Namespace in git: offline, where nothing is live.
    #[must_use]
    pub fn in_namespace(workload: &Workload, annotations: &BTreeMap<String, String>) -> Self {
        Self { namespace_pause: pause_of(workload, annotations), ..Self::of_git(workload) }
    }

    /// Git's policies with those of the live object and its namespace where they are stricter.
    #[must_use]
    pub fn with_live(workload: &Workload, live: &LiveAnnotations) -> Self {
        let (on_object, _) = Policies::from_annotations(pairs(&live.annotations));
        let combined = workload.policies.stricter(&on_object);
        Self {
            live: combined.from_live.iter().map(|found| found.policy).collect(),
            policies: combined.policies,
            git: workload.policies.clone(),
            namespace_pause: pause_of(workload, &live.namespace),
        }
    }

    /// The policies, by name, where the live object is stricter than git, and so counts.
    #[must_use]
    pub fn live_policies(&self) -> std::collections::BTreeSet<&str> {
        self.live.iter().copied().collect()
    }

    /// Whether mirror and release leave it alone: `suspend`, `ignore: "true"`.
    #[must_use]
    pub fn untouched(&self) -> Option<String> {
        let at = |same: bool| if same { "git" } else { "the live object" };
        if self.policies.is_suspended() {
            return Some(format!("suspended by tagboat.dev/suspend: \"true\" on {}", at(self.git.is_suspended())));
        }
        if self.policies.ignore() == Ignore::Yes {
            return Some(format!("ignored by fluxcd.io/ignore: \"true\" on {}", at(self.git.ignore() == Ignore::Yes)));
        }
        match &self.namespace_pause {
            Some((key, namespace)) if *key == tagboat_api::annotations::SUSPEND => {
                Some(format!("suspended by {key}: \"true\" on the namespace {namespace}"))
            }
            _ => None,
        }
    }

    /// Whether automation may go on; else why not.
    ///
    /// # Errors
    /// The reason that holds it.
    pub fn held(&self) -> Result<(), Reason> {
        let (git, now) = (&self.git, &self.policies);
        let paused = |by: &str, in_git: bool| Reason::Paused {
            by: by.to_owned(),
            at: if in_git { "git" } else { "the live object" }.to_owned(),
        };
        if !git.is_automated() {
            return Err(Reason::NotAutomated);
        }
        if !now.is_automated() {
            return Err(paused("fluxcd.io/automated: \"false\"", false));
        }
        if now.is_locked() {
            return Err(Reason::Locked {
                user: now.locked_user().map(str::to_owned),
                message: now.locked_message().map(str::to_owned),
                live: !git.is_locked(),
            });
        }
        if now.ignore() == Ignore::Yes {
            return Err(paused("fluxcd.io/ignore: \"true\"", git.ignore() == Ignore::Yes));
        }
        if now.is_suspended() {
            return Err(paused("tagboat.dev/suspend: \"true\"", git.is_suspended()));
        }
        if now.is_paused() {
            return Err(paused("tagboat.dev/paused: \"true\"", git.is_paused()));
        }
        if let Some((key, namespace)) = &self.namespace_pause {
            return Err(Reason::Paused { by: format!("{key}: \"true\""), at: format!("the namespace {namespace}") });
        }
        Ok(())
    }
}

/// The annotation of a namespace that pauses what is in it.
fn pause_of(workload: &Workload, annotations: &BTreeMap<String, String>) -> Option<(&'static str, String)> {
    let (on_namespace, _) = Policies::from_annotations(pairs(annotations));
    let namespace = workload.id.namespace().unwrap_or_default().to_owned();
    if on_namespace.is_suspended() {
        Some((tagboat_api::annotations::SUSPEND, namespace))
    } else if on_namespace.is_paused() {
        Some((tagboat_api::annotations::PAUSED, namespace))
    } else {
        None
    }
}

fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}
