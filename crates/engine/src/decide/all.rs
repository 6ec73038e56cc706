use super::Decision;
use super::choose::{Image, Tags, decide};
use super::line::LineHistory;
use super::reason::Reason;
use crate::policy::Effective;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tagboat_image::Repository;
use tagboat_manifest::{Container, Workload, WorkloadId};

/// What is known beside the manifests, asked for one image at a time.
pub trait Knowledge {
    /// The policies that count for a workload.
    fn policies(&self, workload: &Workload) -> Effective;
    /// The tags of a repository, as the workload may see them.
    fn tags(&self, workload: &Workload, repository: &Repository) -> Cow<'_, Tags>;
    /// What history says of an image's line; `None` where there is no history.
    fn history(&self, workload: &Workload, container: &Container) -> Option<LineHistory>;
}

/// Decides on every image of every workload, in the order of the files.
#[must_use]
pub fn decide_all(workloads: &[Workload], knowledge: &dyn Knowledge) -> Vec<Decision> {
    let mut places: BTreeMap<&WorkloadId, Vec<&Workload>> = BTreeMap::new();
    for workload in workloads {
        places.entry(&workload.id).or_default().push(workload);
    }
    let mut decisions = Vec::new();
    for workload in workloads {
        let policies = knowledge.policies(workload);
        let twins: Vec<String> = places
            .get(&workload.id)
            .into_iter()
            .flatten()
            .filter(|other| (&other.file, other.line) != (&workload.file, workload.line))
            .map(|other| format!("{}:{}", other.file, other.line))
            .collect();
        for container in &workload.containers {
            let tags = match &container.current {
                Ok(current) => knowledge.tags(workload, current.repository()),
                Err(_) => Cow::Owned(Tags::Unknown(String::new())),
            };
            let history = knowledge.history(workload, container);
            let image = Image { workload, container, policies: &policies, tags: &tags, history: history.as_ref() };
            let mut decision = decide(&image);
            if !twins.is_empty() && !matches!(decision.reason, Reason::NotAutomated) {
                decision.target = None;
                decision.candidate = None;
                decision.reason = Reason::UnsupportedImage {
                    text: format!("{} is defined twice, also at {}; neither is edited", workload.id, twins.join(", ")),
                };
            }
            decisions.push(decision);
        }
    }
    decisions
}
