//! Deciding and committing.

use super::{Refusal, Source};
use crate::commit::{self, Bump};
use crate::decide::{Action, Decision, decide_all};
use crate::policy::Effective;
use crate::ports::{Fault, FaultKind, ImageAccess, PushOutcome};
use jiff::Timestamp;
use std::fmt::Write as _;
use std::time::Duration;
use tagboat_image::Digest;
use tagboat_manifest::WorkloadId;
use tracing::{debug, info, warn};

/// How often a push that was overtaken is planned again within one turn.
const ATTEMPTS: u32 = 5;
/// How long a commit that the remote refuses waits at most until it is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

impl Source {
    /// Decides on every image, and commits what is to move. A push that was overtaken is planned again on the new head.
    pub(super) async fn automate(&mut self) {
        for attempt in 0..ATTEMPTS {
            if self.head.is_none() {
                return;
            }
            if let Err(fault) = self.read_lines().await {
                if self.standing.begins("read the history", &fault) {
                    warn!(source = %self.settings.source, error = %fault, "the history could not be read; nothing is committed");
                }
                return;
            }
            self.standing.ends("read the history");
            let seen = self.ports.clock.now();
            let decisions = decide_all(&self.desired.workloads, self);
            self.report_decisions(&decisions);
            let updates: Vec<Decision> =
                decisions.into_iter().filter(|decision| decision.action() == Action::Update).collect();
            if updates.is_empty() {
                self.commit_succeeded();
            }
            if updates.is_empty() || self.settings.observe || self.is_refused(&updates) {
                return;
            }
            match self.commit(updates, seen).await {
                Ok(Settled::Done) => {
                    self.commit_succeeded();
                    return;
                }
                Ok(Settled::Refused(text)) => {
                    let source = &self.settings.source;
                    let text = format!("the remote refused the commit: {text}");
                    self.ports.reporter.board.commit_failed(source, Some(&text));
                    if self.standing.begins("commit", &Fault::new(FaultKind::Denied, "")) {
                        warn!(source = %source, "{text}");
                    }
                    return;
                }
                Ok(Settled::Overtaken) => {
                    let wait = Duration::from_millis(100 << attempt) + jitter();
                    self.ports.clock.sleep(wait).await;
                }
                Err(fault) if fault.kind == FaultKind::Fenced => {
                    debug!(source = %self.settings.source, "not committing: {fault}");
                    return;
                }
                Err(fault) => {
                    let source = &self.settings.source;
                    let text = format!("the commit could not be made: {fault}");
                    self.ports.reporter.board.commit_failed(source, Some(&text));
                    if self.standing.begins("commit", &fault) {
                        warn!(source = %source, error = %fault, "{text}");
                    }
                    return;
                }
            }
        }
    }

    fn commit_succeeded(&mut self) {
        self.refusal = None;
        self.standing.ends("commit");
        self.ports.reporter.board.commit_failed(&self.settings.source, None);
    }

    /// Whether the remote has just refused this very commit: it is asked again, each time later.
    fn is_refused(&self, updates: &[Decision]) -> bool {
        let now = self.ports.clock.now();
        self.refusal.as_ref().is_some_and(|refusal| now < refusal.until && refusal.plan == self.outline(updates))
    }

    fn refused(&mut self, plan: String) {
        let times = self.refusal.take().filter(|earlier| earlier.plan == plan).map_or(1, |earlier| earlier.times + 1);
        let wait = self.settings.image_interval.saturating_mul(1 << times.min(10)).min(LONGEST_WAIT);
        let now = self.ports.clock.now();
        let until = now.checked_add(jiff::SignedDuration::try_from(wait).unwrap_or_default()).unwrap_or(now);
        self.refusal = Some(Refusal { plan, times, until });
    }

    /// What is to be committed, and on what.
    fn outline(&self, updates: &[Decision]) -> String {
        let mut outline = self.head.as_ref().map(|head| head.commit.revision.0.clone()).unwrap_or_default();
        for update in updates {
            let target = update.target.as_ref().map(ToString::to_string).unwrap_or_default();
            let _ = write!(outline, " {} {} {target}", update.workload, update.container);
        }
        outline
    }

    async fn commit(&mut self, updates: Vec<Decision>, seen: Timestamp) -> Result<Settled, Fault> {
        let Some(head) = self.head.clone() else { return Ok(Settled::Done) };
        let outline = self.outline(&updates);
        let mut bumps = Vec::new();
        for decision in updates {
            if let Some(bump) = self.confirm(decision).await? {
                bumps.push(bump);
            }
        }
        let as_written = |workload: &WorkloadId| self.desired.as_written(workload);
        let planned = commit::plan_with(&self.settings.source, &head.commit.revision, &self.files, bumps, as_written);
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
                self.refused(outline);
                Ok(Settled::Refused(text))
            }
        }
    }

    /// Looks once more, right before the commit: does the tag exist, and does nobody hold the workload (D6, D7)?
    async fn confirm(&mut self, decision: Decision) -> Result<Option<Bump>, Fault> {
        let Some((candidate, target)) = decision.candidate.as_ref().zip(decision.target.as_ref()) else {
            return Ok(None);
        };
        let Some(workload) = self.desired.workloads.iter().find(|workload| workload.id == decision.workload) else {
            return Ok(None);
        };
        if let Some(live) = self.ports.live.read(&decision.workload).await?
            && let Err(reason) = Effective::with_live(workload, &live).held()
        {
            info!(workload = %decision.workload, "not committing {target}: {reason}");
            return Ok(None);
        }
        let confirming = format!("confirm an image of {}", decision.workload);
        let access = ImageAccess { repository: target.repository().clone(), workload: Some(decision.workload.clone()) };
        let digest: Option<Digest> = match self.ports.registry.digest(&access, &candidate.tag).await {
            Ok(digest) => digest,
            Err(fault) => {
                if self.standing.begins(&confirming, &fault) {
                    warn!(workload = %decision.workload, error = %fault, "{target} could not be confirmed; it waits");
                }
                return Ok(None);
            }
        };
        let Some(digest) = digest else {
            if self.standing.begins(&confirming, &Fault::new(FaultKind::NotFound, "")) {
                info!(workload = %decision.workload, "not committing {target}: the tag is gone from the registry");
            }
            return Ok(None);
        };
        self.standing.ends(&confirming);
        if candidate.digest.as_ref().is_some_and(|known| *known != digest) {
            info!(workload = %decision.workload, "{target} was pushed again since it was scanned; it is {digest} now");
        }
        Ok(Some(Bump { decision, digest: Some(digest) }))
    }
}

enum Settled {
    Done,
    Overtaken,
    Refused(String),
}

fn jitter() -> Duration {
    Duration::from_millis(u64::from(rand::random::<u8>()))
}
