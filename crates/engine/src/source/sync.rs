//! Fetching and mirroring.

use super::Source;
use super::follow::InPlace;
use crate::mirror::{Desired, Mirrored, load};
use crate::ports::{Fault, FaultKind, Head};
use crate::report::{ImageLag, ProblemView, Step, SyncResult};
use std::collections::BTreeSet;
use tagboat_manifest::{Problem, Severity, WorkloadId};
use tracing::{info, warn};

/// Every so many fetches it is looked at what others did to the objects, and to what the API server serves.
const REVIEW: u32 = 10;

impl Source {
    /// Fetches, and mirrors what is new or was left over.
    pub(super) async fn sync(&mut self) {
        match self.ports.git.fetch().await {
            Ok(head) => {
                self.standing.ends("fetch");
                self.moved_to(head).await;
            }
            Err(fault) => self.sync_failed("fetch", &fault),
        }
    }

    /// The branch stands here now.
    pub(super) async fn moved_to(&mut self, head: Head) {
        self.ports.reporter.board.fetched(&self.settings.source, &head);
        let new = self.head.as_ref().map(|known| &known.commit.revision) != Some(&head.commit.revision);
        if new {
            if let Err(fault) = self.read(&head).await {
                self.sync_failed("read the manifests", &fault);
                return;
            }
            self.standing.ends("read the manifests");
            info!(
                source = %self.settings.source,
                git.revision = %head.commit.revision,
                "new revision {}: {}",
                head.commit.revision.short(),
                head.commit.message.lines().next().unwrap_or_default()
            );
        }
        self.head = Some(head);
        self.fetches = self.fetches.wrapping_add(1);
        let review = !self.settings.observe && self.fetches.is_multiple_of(REVIEW);
        if review {
            self.mirror.review().await;
        }
        let seen = if self.settings.observe { &self.compared } else { &self.mirrored };
        if new || review || self.retry || seen.is_none() {
            self.remirror().await;
        }
    }

    /// Reads the manifests of a revision, and begins a change for each image that a person set.
    async fn read(&mut self, head: &Head) -> Result<(), Fault> {
        let files = self.ports.git.files(&head.commit.revision, &self.settings.paths).await?;
        let mut desired = Desired::read(&files, &mut self.parsed);
        desired.place(&self.settings.default_namespace);
        for skipped in self.ports.git.skipped(&head.commit.revision, &self.settings.paths).await? {
            desired.problems.push(Problem {
                file: skipped.path,
                line: 1,
                column: 1,
                severity: Severity::Error,
                text: format!("the file was left out: {}", skipped.reason),
            });
        }
        if self.head.is_some() {
            self.begin_changes_of(&desired, head);
        }
        self.files = files;
        self.desired = desired;
        Ok(())
    }

    /// Mirrors the revision at hand: objects that did not change cost nothing.
    pub(super) async fn remirror(&mut self) {
        let Some(head) = self.head.clone() else { return };
        let began = self.ports.clock.now();
        let loaded = load(self.desired.clone(), &*self.ports.cluster, &self.settings.default_namespace).await;
        let mirrored = match loaded {
            Ok(loaded) if self.settings.observe => {
                self.compare(&head, loaded).await;
                return;
            }
            Ok(loaded) => self.mirror.mirror(&head.commit.revision, loaded).await,
            Err(fault) => Err(fault),
        };
        match mirrored {
            Ok(mirrored) => {
                self.standing.ends("mirror");
                self.mirrored(&head, mirrored, began).await;
            }
            Err(fault) => self.sync_failed("mirror", &fault),
        }
    }

    /// `mode: observe`: what would be mirrored is reported.
    async fn compare(&mut self, head: &Head, loaded: Desired) {
        if self.compared.as_ref() == Some(&head.commit.revision) && !self.retry {
            return;
        }
        match self.mirror.compare(&head.commit.revision, loaded).await {
            Ok(compared) => {
                self.standing.ends("compare");
                self.retry = compared.retry;
                self.report_problems(&compared.problems);
                let problems = compared.problems.iter().map(view).collect();
                self.ports.reporter.board.compared(&self.settings.source, compared.in_place.len(), problems);
                self.compared = Some(head.commit.revision.clone());
                self.follow(&compared);
                self.decide_and_report();
            }
            Err(fault) => self.sync_failed("compare", &fault),
        }
    }

    async fn mirrored(&mut self, head: &Head, mirrored: Mirrored, began: jiff::Timestamp) {
        let now = self.ports.clock.now();
        let source = self.settings.source.clone();
        let errors = mirrored.problems.iter().filter(|problem| problem.is_error()).count();
        let first = self.mirrored.as_ref() != Some(&head.commit.revision);
        let took = now.duration_since(began).try_into().unwrap_or_default();
        self.retry = mirrored.retry;
        self.report_problems(&mirrored.problems);
        if first || !mirrored.changed.is_empty() {
            let result = if errors == 0 { SyncResult::Ok } else { SyncResult::Partial };
            let reporter = &self.ports.reporter;
            reporter.meters.synced(&source, result, took, errors, now);
            info!(
                source = %source,
                git.revision = %head.commit.revision,
                objects = mirrored.in_place.len(),
                changed = mirrored.changed.len(),
                problems = errors,
                duration_ms = took.as_millis() as u64,
                "mirrored {}: {} objects in place, {} changed, {errors} problems",
                head.commit.revision.short(),
                mirrored.in_place.len(),
                mirrored.changed.len(),
            );
        }
        self.mirrored = Some(head.commit.revision.clone());
        let problems = mirrored.problems.iter().map(view).collect();
        let reporter = &self.ports.reporter;
        reporter.board.mirrored(&source, &head.commit.revision, now, mirrored.in_place.len(), problems);
        for object in &mirrored.changed {
            let kind = object.kind.to_lowercase();
            let workload = tagboat_manifest::WorkloadId::new(object.namespace.as_deref(), &kind, &object.name);
            if self.desired.workloads.iter().any(|known| known.id == workload) {
                reporter.step(&workload, Step::Applied).await;
            }
        }
        self.follow(&mirrored);
        self.decide_and_report();
    }

    /// What runs and was applied by the mirror itself is followed until it is healthy.
    fn follow(&self, mirrored: &Mirrored) {
        let own: BTreeSet<&WorkloadId> = self.desired.workloads.iter().map(|workload| &workload.id).collect();
        let objects = mirrored.in_place.iter().filter_map(|object| {
            let id = WorkloadId::new(object.namespace.as_deref(), &object.kind, &object.name);
            (id.kind() != "helmrelease" && own.contains(&id)).then(|| (id, object.clone()))
        });
        let pass = InPlace { objects: objects.collect(), changed: mirrored.changed.clone() };
        // Nobody listens only while the source ends.
        let _ = self.passes.unbounded_send(pass);
    }

    fn sync_failed(&mut self, doing: &str, fault: &Fault) {
        let source = &self.settings.source;
        self.retry = true;
        let reporter = &self.ports.reporter;
        if fault.kind == FaultKind::Fenced {
            return;
        }
        let text = format!("could not {doing}: {fault}");
        reporter.board.failed(source, &text);
        let now = self.ports.clock.now();
        reporter.meters.synced(source, SyncResult::Failed, std::time::Duration::ZERO, 0, now);
        if self.standing.begins(doing, fault) {
            warn!(source = %source, error = %fault, "{text}");
        }
    }

    /// Logs each problem once, when it appears.
    fn report_problems(&mut self, problems: &[Problem]) {
        let now: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
        for problem in problems {
            let text = problem.to_string();
            if self.reported.contains(&text) {
                continue;
            }
            match problem.severity {
                Severity::Error => warn!(source = %self.settings.source, file = problem.file, "{text}"),
                Severity::Warning => info!(source = %self.settings.source, file = problem.file, "warning: {text}"),
            }
        }
        self.reported = now;
    }

    /// How long an image took from its push to its commit.
    pub(super) fn measure_commit(&self, pushed: Option<jiff::Timestamp>, committed: jiff::Timestamp) {
        if let Some(pushed) = pushed {
            self.ports.reporter.meters.lag(ImageLag::PushToCommit, pushed, committed);
        }
    }
}

fn view(problem: &Problem) -> ProblemView {
    ProblemView {
        file: problem.file.clone(),
        line: problem.line,
        object: None,
        text: problem.text.clone(),
        error: problem.is_error(),
    }
}
