//! The loop over HelmReleases: each that changed is reconciled at once, each that failed again after its wait, and what
//! was released is followed until it runs.
//!
//! Different releases are worked on side by side, one release by one look at a time: what changes meanwhile is looked at
//! right after.

use crate::health;
use crate::ports::{Fault, ObjectRef};
use crate::release::{Deployed, ReleaseOutcome, ReleasePorts, ReleaseReconciler, ReleaseResult, Stage};
use crate::report::{Heartbeat, ReleaseView, Reporter, Step};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tagboat_manifest::WorkloadId;
use tracing::debug;

/// How many releases are worked on side by side.
const PARALLEL: usize = 4;
/// How often everything is looked at, whatever changed: what is unchanged costs one reading of its records.
const FULL_ROUND: Duration = Duration::from_secs(180);
/// How often the loop goes round when nothing happens.
const IDLE: Duration = Duration::from_secs(10);

/// The loop.
pub struct Releases {
    ports: ReleasePorts,
    reconciler: Arc<ReleaseReconciler>,
    reporter: Arc<Reporter>,
    heartbeat: Heartbeat,
    states: BTreeMap<ObjectRef, State>,
    queue: VecDeque<ObjectRef>,
    running: FuturesUnordered<BoxFuture<'static, Looked>>,
    /// Looks at health: they wait for the API server and must not hold up the loop.
    looking: FuturesUnordered<BoxFuture<'static, (ObjectRef, u64, Duration)>>,
    timers: FuturesUnordered<BoxFuture<'static, (ObjectRef, Timer, u64)>>,
}

#[derive(Default)]
struct State {
    running: bool,
    /// It changed while it was worked on.
    again: bool,
    /// Counts looks: a timer of an earlier one means nothing any more.
    look: u64,
    /// Counts releases that are followed: a timer of an earlier one means nothing any more.
    followed: u64,
    objects: Vec<ObjectRef>,
    began: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Timer {
    Look,
    Health,
}

enum Looked {
    Gone(ObjectRef),
    Failed(ObjectRef, Fault),
    /// With the time when the look began.
    Outcome(Box<ReleaseOutcome>, Timestamp),
}

impl Releases {
    /// A loop that has seen nothing yet.
    #[must_use]
    pub fn new(ports: ReleasePorts, reporter: Arc<Reporter>, heartbeat: Heartbeat) -> Self {
        let reconciler = Arc::new(ReleaseReconciler::new(ports.clone()));
        Self {
            ports,
            reconciler,
            reporter,
            heartbeat,
            states: BTreeMap::new(),
            queue: VecDeque::new(),
            running: FuturesUnordered::new(),
            looking: FuturesUnordered::new(),
            timers: FuturesUnordered::new(),
        }
    }

    /// Runs until `shutdown` is ready; then what has begun is brought to an end.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        let objects = Arc::clone(&self.ports.objects);
        let policies = Arc::clone(&self.ports.policies);
        let clock = Arc::clone(&self.ports.clock);
        let mut shutdown = Box::pin(shutdown.fuse());
        let mut changed = objects.changed().fuse();
        let mut freed = policies.changed().fuse();
        let mut full = clock.sleep(Duration::ZERO).fuse();
        let mut idle = clock.sleep(IDLE).fuse();
        loop {
            self.start_next();
            futures::select_biased! {
                () = shutdown => break,
                ids = changed => {
                    changed = objects.changed().fuse();
                    ids.into_iter().for_each(|id| self.enqueue(id));
                }
                () = freed => {
                    freed = policies.changed().fuse();
                    self.enqueue_all();
                }
                looked = self.running.select_next_some() => self.finish(looked).await,
                (id, number, wait) = self.looking.select_next_some() => self.after(wait, id, Timer::Health, number),
                (id, timer, number) = self.timers.select_next_some() => self.wake(id, timer, number),
                () = full => {
                    full = clock.sleep(if objects.all().is_some() { FULL_ROUND } else { IDLE }).fuse();
                    self.enqueue_all();
                }
                () = idle => idle = clock.sleep(IDLE).fuse(),
            }
            self.heartbeat.tick();
        }
        while let Some(looked) = self.running.next().await {
            self.finish(looked).await;
        }
    }

    fn enqueue_all(&mut self) {
        for object in self.ports.objects.all().unwrap_or_default() {
            self.enqueue(object.id);
        }
    }

    fn enqueue(&mut self, id: ObjectRef) {
        let state = self.states.entry(id.clone()).or_default();
        if state.running {
            state.again = true;
        } else if !self.queue.contains(&id) {
            self.queue.push_back(id);
        }
    }

    fn start_next(&mut self) {
        while self.running.len() < PARALLEL {
            let Some(id) = self.queue.pop_front() else { return };
            let state = self.states.entry(id.clone()).or_default();
            (state.running, state.again) = (true, false);
            state.look += 1;
            let (objects, reconciler) = (Arc::clone(&self.ports.objects), Arc::clone(&self.reconciler));
            let began = self.ports.clock.now();
            self.running.push(
                async move {
                    let namespace = id.namespace.clone().unwrap_or_default();
                    match objects.read(&namespace, &id.name).await {
                        Ok(None) => Looked::Gone(id),
                        Err(fault) => Looked::Failed(id, fault),
                        Ok(Some(object)) => {
                            let outcome = reconciler.reconcile(&object).await;
                            Looked::Outcome(Box::new(outcome), began)
                        }
                    }
                }
                .boxed(),
            );
        }
    }

    async fn finish(&mut self, looked: Looked) {
        let (id, next) = match looked {
            Looked::Gone(id) => {
                self.states.remove(&id);
                return;
            }
            Looked::Failed(id, fault) => {
                debug!(workload = %workload(&id), error = %fault, "could not be read");
                (id, Some(fault.retry_after.unwrap_or(IDLE)))
            }
            Looked::Outcome(outcome, began) => {
                let next = outcome.next;
                let id = outcome.id.clone();
                self.report(*outcome, began).await;
                (id, next)
            }
        };
        let Some(state) = self.states.get_mut(&id) else { return };
        state.running = false;
        let look = state.look;
        if std::mem::take(&mut state.again) {
            self.enqueue(id);
        } else if let Some(wait) = next {
            self.after(wait, id, Timer::Look, look);
        }
    }

    fn wake(&mut self, id: ObjectRef, timer: Timer, number: u64) {
        let Some(state) = self.states.get(&id) else { return };
        match timer {
            Timer::Look if state.look == number => self.enqueue(id),
            Timer::Health if state.followed == number => {
                let now = self.ports.clock.now();
                let (objects, began) = (state.objects.clone(), state.began.unwrap_or(now));
                let (cluster, reporter) = (Arc::clone(&self.ports.cluster), Arc::clone(&self.reporter));
                self.looking.push(
                    async move {
                        let looked = health::look(&workload(&id), &objects, began, now, &*cluster, &reporter).await;
                        (id, number, looked.unwrap_or(IDLE))
                    }
                    .boxed(),
                );
            }
            Timer::Look | Timer::Health => {}
        }
    }

    fn after(&mut self, wait: Duration, id: ObjectRef, timer: Timer, number: u64) {
        let clock = Arc::clone(&self.ports.clock);
        self.timers.push(
            async move {
                clock.sleep(wait).await;
                (id, timer, number)
            }
            .boxed(),
        );
    }

    fn follow(&mut self, id: &ObjectRef, objects: Vec<ObjectRef>) {
        let now = self.ports.clock.now();
        let state = self.states.entry(id.clone()).or_default();
        state.followed += 1;
        state.objects = objects;
        state.began = Some(now);
        let number = state.followed;
        self.after(Duration::ZERO, id.clone(), Timer::Health, number);
    }

    async fn report(&mut self, outcome: ReleaseOutcome, began: Timestamp) {
        let workload = workload(&outcome.id);
        let now = self.ports.clock.now();
        let helm_ops = |operation: &str, result: &str| self.reporter.meters.helm_ops.count(&[operation, result]);
        match outcome.result {
            ReleaseResult::Unchanged(deployed) => {
                self.reporter.board.released(&workload, view(&deployed, now));
                // A commit that leaves the release as it is has reached its end here as well, if it was in the cluster
                // when this look began.
                if self.reporter.was_applied_by(&workload, began) {
                    self.reporter.step(&workload, Step::Released).await;
                }
                if self.states.get(&outcome.id).is_none_or(|state| state.followed == 0) {
                    match self.reconciler.deployed_objects(&deployed.namespace, &deployed.release).await {
                        Ok(objects) => self.follow(&outcome.id, objects),
                        Err(fault) => debug!(workload = %workload, error = %fault, "its objects are not known"),
                    }
                }
            }
            ReleaseResult::Released(released) => {
                let operation = if released.upgrade { "upgrade" } else { "install" };
                helm_ops(operation, "ok");
                let deployed = &released.deployed;
                self.reporter.board.released(&workload, view(deployed, now));
                self.reporter.step(&workload, Step::Released).await;
                self.follow(&outcome.id, released.objects);
            }
            ReleaseResult::Skipped { reason } => debug!(workload = %workload, "left alone: {reason}"),
            ReleaseResult::Waiting { reason, until } => debug!(workload = %workload, %until, "waiting: {reason}"),
            ReleaseResult::Failed(failure) if failure.stage == Stage::Cluster => {
                debug!(workload = %workload, error = %failure.fault, "not released: {}", failure.fault);
            }
            ReleaseResult::Failed(failure) => {
                let phase = match failure.stage {
                    Stage::Chart => "ChartFetchFailed",
                    Stage::Deploy => "DeployFailed",
                    Stage::Spec | Stage::Cluster => "Failed",
                };
                helm_ops("release", "failed");
                let view = ReleaseView {
                    name: outcome.id.name.clone(),
                    namespace: outcome.id.namespace.clone().unwrap_or_default(),
                    phase: phase.to_owned(),
                    revision: failure.revision,
                    chart: None,
                    message: failure.fault.text.clone(),
                    since: now,
                };
                self.reporter.board.released(&workload, view);
                self.reporter.step(&workload, Step::Failed(failure.fault.text)).await;
            }
        }
    }
}

fn workload(id: &ObjectRef) -> WorkloadId {
    WorkloadId::new(id.namespace.as_deref(), &id.kind, &id.name)
}

fn view(deployed: &Deployed, now: Timestamp) -> ReleaseView {
    ReleaseView {
        name: deployed.release.clone(),
        namespace: deployed.namespace.clone(),
        phase: "Succeeded".to_owned(),
        revision: Some(deployed.revision),
        chart: Some(deployed.chart_version.clone()),
        message: String::new(),
        since: now,
    }
}
