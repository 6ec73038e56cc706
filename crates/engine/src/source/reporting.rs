//! What a source says of itself.

use super::Source;
use crate::commit::Bump;
use crate::decide::{Action, Decision, Knowledge, decide_all};
use crate::mirror::Desired;
use crate::ports::{ChangeId, CommitMeta, Head};
use crate::report::{Change, ContainerView, DecidedWorkload, HoldView, Step};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tagboat_manifest::Workload;

impl Source {
    /// Decides on what is known now, for the board alone.
    pub(super) fn decide_and_report(&self) {
        self.report_decisions(&decide_all(&self.desired.workloads, self));
    }

    /// Puts every decision on the board.
    pub(super) fn report_decisions(&self, decisions: &[Decision]) {
        let mut workloads: BTreeMap<_, DecidedWorkload> = BTreeMap::new();
        for workload in &self.desired.workloads {
            let hold = match self.policies(workload).held() {
                Err(reason) if reason.action() == Action::Hold => {
                    Some(HoldView { code: reason.code().to_owned(), text: reason.to_string() })
                }
                _ => None,
            };
            workloads.entry(workload.id.clone()).or_insert_with(|| DecidedWorkload {
                workload: workload.id.clone(),
                file: workload.file.clone(),
                line: workload.line,
                automated: workload.policies.is_automated(),
                hold,
                containers: Vec::new(),
            });
        }
        let declared: BTreeMap<_, &Workload> =
            self.desired.workloads.iter().rev().map(|workload| (&workload.id, workload)).collect();
        for decision in decisions {
            let Some(view) = workloads.get_mut(&decision.workload) else { continue };
            let filter = declared
                .get(&decision.workload)
                .and_then(|workload| workload.policies.filter_for(&decision.container).ok());
            if decision.action() == Action::Hold && view.hold.is_none() {
                view.hold =
                    Some(HoldView { code: decision.reason.code().to_owned(), text: decision.reason.to_string() });
            }
            let filter = filter.map(|filter| filter.to_string());
            view.containers.push(ContainerView { filter, ..ContainerView::from(decision) });
        }
        self.ports.reporter.board.decided(&self.settings.source, workloads.into_values().collect());
    }

    /// Our own commit has landed: a change begins for each workload in it.
    pub(super) async fn begin_changes(&self, id: &ChangeId, landed: &CommitMeta, bumps: &[Bump], seen: Timestamp) {
        let reporter = &self.ports.reporter;
        for bump in bumps {
            let decision = &bump.decision;
            let pushed = decision.candidate.as_ref().and_then(tagboat_image::Candidate::time);
            let change = Change { id: id.clone(), from: decision.current.clone(), to: decision.target.clone(), pushed };
            reporter.begin(&decision.workload, change);
            reporter.step_at(&decision.workload, Step::Seen, seen).await;
            reporter.step(&decision.workload, Step::Committed(landed.revision.clone())).await;
            self.measure_commit(pushed, landed.committed);
        }
    }

    /// A revision came in: a change begins for each workload whose image it sets, unless it is our own commit.
    pub(super) fn begin_changes_of(&self, next: &Desired, head: &Head) {
        if head.commit.message.contains(crate::commit::CHANGE_ID_TRAILER) && self.settings.automation.made(&head.commit)
        {
            return;
        }
        let before: BTreeMap<_, &Workload> =
            self.desired.workloads.iter().map(|workload| (&workload.id, workload)).collect();
        for workload in &next.workloads {
            let Some(known) = before.get(&workload.id) else { continue };
            for container in &workload.containers {
                let from = known.container(&container.name).and_then(|known| known.current.as_ref().ok());
                let to = container.current.as_ref().ok();
                if to.is_some() && from != to {
                    let id = ChangeId(format!("{} {}", head.commit.revision.short(), workload.id));
                    let change = Change { id, from: from.cloned(), to: to.cloned(), pushed: None };
                    self.ports.reporter.begin(&workload.id, change);
                    break;
                }
            }
        }
    }
}
