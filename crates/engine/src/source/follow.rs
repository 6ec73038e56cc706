//! Follows the workloads that the mirror applies itself until they run, as the release loop does for charts' objects.

use crate::health;
use crate::ports::{Clock, Cluster, ObjectRef};
use crate::report::Reporter;
use futures::channel::mpsc::UnboundedReceiver;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tagboat_manifest::WorkloadId;
use tracing::debug;

/// How soon an API server that gave no answer is asked again.
const AGAIN: Duration = Duration::from_secs(10);

/// All workloads that a pass of the mirror left in the cluster. HelmReleases are not among them.
#[derive(Debug, Default)]
pub(super) struct InPlace {
    /// The workloads and their objects.
    pub(super) objects: Vec<(WorkloadId, ObjectRef)>,
    /// Those that the pass has changed.
    pub(super) changed: Vec<ObjectRef>,
}

/// Looks at workloads beside the source's turns: a slow registry does not hold up news of a rollout.
pub(super) struct Follower {
    cluster: Arc<dyn Cluster>,
    clock: Arc<dyn Clock>,
    reporter: Arc<Reporter>,
    followed: BTreeMap<WorkloadId, Followed>,
    timers: FuturesUnordered<BoxFuture<'static, (WorkloadId, u64)>>,
    number: u64,
}

struct Followed {
    object: ObjectRef,
    began: Timestamp,
    /// A timer with another number means nothing any more.
    number: u64,
}

impl Follower {
    pub(super) fn new(cluster: Arc<dyn Cluster>, clock: Arc<dyn Clock>, reporter: Arc<Reporter>) -> Self {
        Self { cluster, clock, reporter, followed: BTreeMap::new(), timers: FuturesUnordered::new(), number: 0 }
    }

    /// Runs until nobody can send any more.
    pub(super) async fn run(mut self, passes: UnboundedReceiver<InPlace>) {
        let mut passes = passes.fuse();
        loop {
            futures::select_biased! {
                pass = passes.next() => match pass {
                    Some(pass) => self.take(pass),
                    None => return,
                },
                (workload, number) = self.timers.select_next_some() => self.look(workload, number).await,
            }
        }
    }

    fn take(&mut self, pass: InPlace) {
        let now = self.clock.now();
        let mut before = std::mem::take(&mut self.followed);
        for (workload, object) in pass.objects {
            let known = before.remove(&workload).filter(|_| !pass.changed.contains(&object));
            let followed = known.unwrap_or_else(|| {
                self.number += 1;
                self.timers.push(futures::future::ready((workload.clone(), self.number)).boxed());
                Followed { object, began: now, number: self.number }
            });
            self.followed.insert(workload, followed);
        }
    }

    async fn look(&mut self, workload: WorkloadId, number: u64) {
        let Some(followed) = self.followed.get(&workload).filter(|followed| followed.number == number) else { return };
        let objects = std::slice::from_ref(&followed.object);
        let now = self.clock.now();
        let looked = health::look(&workload, objects, followed.began, now, &*self.cluster, &self.reporter).await;
        let wait = looked.unwrap_or_else(|fault| {
            debug!(workload = %workload, error = %fault, "its health is not known: {fault}");
            AGAIN
        });
        let clock = Arc::clone(&self.clock);
        self.timers.push(
            async move {
                clock.sleep(wait).await;
                (workload, number)
            }
            .boxed(),
        );
    }
}
