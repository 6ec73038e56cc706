//! Deciding and committing.

use super::Source;
use crate::commit::{self, Bump};
use crate::decide::{Action, Decision, decide_all};
use crate::policy::Effective;
use crate::ports::{Fault, FaultKind, ImageAccess, PushOutcome};
use jiff::Timestamp;
use std::time::Duration;
use tagboat_image::Digest;
use tracing::{debug, info, warn};

/// How often a push that was overtaken is planned again within one turn.
const ATTEMPTS: u32 = 5;

impl Source {
    /// Decides on every image, and commits what is to move. A push that was overtaken is planned again on the new head.
    pub(super) async fn automate(&mut self) {
        for attempt in 0..ATTEMPTS {
            if self.head.is_none() {
                return;
            }
            if let Err(fault) = self.read_lines().await {
                warn!(source = %self.settings.source, error = %fault, "the history could not be read; nothing is committed");
                return;
            }
            let seen = self.ports.clock.now();
            let decisions = decide_all(&self.desired.workloads, self);
            self.report_decisions();
            let updates: Vec<Decision> =
                decisions.into_iter().filter(|decision| decision.action() == Action::Update).collect();
            if updates.is_empty() || self.settings.observe {
                return;
            }
            match self.commit(updates, seen).await {
                Ok(Settled::Done) => return,
                Ok(Settled::Overtaken) => {
                    let wait = Duration::from_millis(100 << attempt) + jitter();
                    self.ports.clock.sleep(wait).await;
                }
                Err(fault) if fault.kind == FaultKind::Fenced => {
                    debug!(source = %self.settings.source, "not committing: {fault}");
                    return;
                }
                Err(fault) => {
                    warn!(source = %self.settings.source, error = %fault, "the commit could not be made: {fault}");
                    return;
                }
            }
        }
    }

    async fn commit(&mut self, updates: Vec<Decision>, seen: Timestamp) -> Result<Settled, Fault> {
        let Some(head) = self.head.clone() else { return Ok(Settled::Done) };
        let mut bumps = Vec::new();
        for decision in updates {
            if let Some(bump) = self.confirm(decision).await? {
                bumps.push(bump);
            }
        }
        let planned = commit::plan(&self.settings.source, &head.commit.revision, &self.files, bumps);
        for (bump, text) in &planned.refused {
            let workload = &bump.decision.workload;
            if self.reported.insert(format!("{workload} {text}")) {
                warn!(workload = %workload, container = bump.decision.container, "{workload} keeps its image: {text}");
            }
        }
        let Some(plan) = planned.commit else { return Ok(Settled::Done) };
        self.ports.fence.check().await?;
        let outcome = self.ports.git.push(&plan).await;
        self.ports.reporter.meters.pushed(&self.settings.source, outcome.as_ref().ok());
        match outcome? {
            PushOutcome::Landed(landed) => {
                info!(
                    source = %self.settings.source,
                    git.revision = %landed.revision,
                    change.id = %plan.change_id,
                    "committed {}: {}",
                    landed.revision.short(),
                    plan.message.lines().next().unwrap_or_default()
                );
                self.begin_changes(&plan.change_id, &landed, &planned.bumps, seen).await;
                let fetched = self.ports.clock.now();
                self.moved_to(crate::ports::Head { commit: landed, fetched }).await;
                Ok(Settled::Done)
            }
            PushOutcome::Moved(head) => {
                info!(
                    source = %self.settings.source,
                    git.revision = %head.commit.revision,
                    "the branch has moved to {}; planning again",
                    head.commit.revision.short()
                );
                self.moved_to(head).await;
                Ok(Settled::Overtaken)
            }
            PushOutcome::Refused(text) => {
                if self.reported.insert(format!("refused {text}")) {
                    warn!(source = %self.settings.source, "the remote refused the commit: {text}");
                }
                Ok(Settled::Done)
            }
        }
    }

    /// Looks once more, right before the commit: does the tag exist, and does nobody hold the workload (D6, D7)?
    async fn confirm(&self, decision: Decision) -> Result<Option<Bump>, Fault> {
        let Some((candidate, target)) = decision.candidate.as_ref().zip(decision.target.as_ref()) else {
            return Ok(None);
        };
        let Some(workload) = self.desired.workloads.iter().find(|workload| workload.id == decision.workload) else {
            return Ok(None);
        };
        if let Some(live) = self.ports.live.read(&decision.workload).await? {
            if let Err(reason) = Effective::with_live(workload, &live).held() {
                info!(workload = %decision.workload, "not committing {target}: {reason}");
                return Ok(None);
            }
        }
        let access = ImageAccess { repository: target.repository().clone(), workload: Some(decision.workload.clone()) };
        let digest: Option<Digest> = match self.ports.registry.digest(&access, &candidate.tag).await {
            Ok(digest) => digest,
            Err(fault) => {
                warn!(workload = %decision.workload, error = %fault, "{target} could not be confirmed; it waits");
                return Ok(None);
            }
        };
        let Some(digest) = digest else {
            info!(workload = %decision.workload, "not committing {target}: the tag is gone from the registry");
            return Ok(None);
        };
        if candidate.digest.as_ref().is_some_and(|known| *known != digest) {
            info!(workload = %decision.workload, "{target} was pushed again since it was scanned; it is {digest} now");
        }
        Ok(Some(Bump { decision, digest: Some(digest) }))
    }
}

enum Settled {
    Done,
    Overtaken,
}

fn jitter() -> Duration {
    Duration::from_millis(u64::from(rand::random::<u8>()))
}
