use super::metric::{Counters, Family, Gauges, Histogram};
use crate::ports::{PushOutcome, SourceId};
use jiff::Timestamp;
use std::time::Duration;

/// Everything that Tagboat measures of itself.
///
/// Names are given without the prefix `tagboat_`, which `/metrics` puts before each, and without a counter's `_total`.
/// No label holds a secret or a value from outside without bound.
#[derive(Debug)]
pub struct Meters {
    /// `build_info{version}`: always 1.
    pub build_info: Gauges,
    /// `leader`: 1 where this process holds the lease.
    pub leader: Gauges,
    /// `sync{source,result}`: rounds of the mirror.
    pub sync: Counters,
    /// `sync_duration_seconds{source}`: how long those took.
    pub sync_duration: Histogram,
    /// `sync_last_success_timestamp_seconds{source}`: when the last of them succeeded.
    pub sync_last_success: Gauges,
    /// `objects_failed{source}`: objects and documents of the current revision that could not be applied.
    pub objects_failed: Gauges,
    /// `images{source,action}`: images by what was last decided on them.
    pub images: Gauges,
    /// `commits{source,result}`: pushes of commits of ours: `landed`, `moved`, `refused`, `failed`.
    pub commits: Counters,
    /// `push_conflicts{source}`: pushes that found the branch moved.
    pub push_conflicts: Counters,
    /// `image_lag_seconds{stage}`: from push to commit, and from commit to healthy.
    pub image_lag: Histogram,
    /// `registry_requests{host,code}`: requests to registries.
    pub registry_requests: Counters,
    /// `apiserver_requests{verb}`: requests to the API server: `get`, `list`, `watch`, `patch`, …
    pub apiserver_requests: Counters,
    /// `helm_ops{op,result}`: installs, upgrades, renderings.
    pub helm_ops: Counters,
    /// `notify{result}`: messages to people: `sent`, `failed`.
    pub notify: Counters,
    /// `notify_dropped`: messages that were given up on.
    pub notify_dropped: Counters,
    /// `panics`: tasks that panicked and were started again.
    pub panics: Counters,
}

/// How a round of the mirror ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncResult {
    /// All of it was applied.
    Ok,
    /// Some objects could not be applied.
    Partial,
    /// Nothing could be done.
    Failed,
}

/// A stretch of an image's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageLag {
    /// From the push of the image to the commit that names it.
    PushToCommit,
    /// From that commit until its pods run.
    CommitToHealthy,
}

/// Bounds for what takes seconds to minutes.
const SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

impl Meters {
    /// All at zero.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let meters = Self {
            build_info: Gauges::new("build_info", &["version"], "The version that runs"),
            leader: Gauges::new("leader", &[], "1 where this process holds the lease and so writes"),
            sync: Counters::new("sync", &["source", "result"], "Rounds of the mirror by result"),
            sync_duration: Histogram::new(
                "sync_duration_seconds",
                &["source"],
                SECONDS,
                "How long a round of the mirror took",
            ),
            sync_last_success: Gauges::new(
                "sync_last_success_timestamp_seconds",
                &["source"],
                "When the mirror last succeeded",
            ),
            objects_failed: Gauges::new(
                "objects_failed",
                &["source"],
                "Objects and documents of the current revision that could not be applied",
            ),
            images: Gauges::new("images", &["source", "action"], "Images by what was last decided on them"),
            commits: Counters::new("commits", &["source", "result"], "Pushes of our commits by result"),
            push_conflicts: Counters::new("push_conflicts", &["source"], "Pushes that found the branch moved"),
            image_lag: Histogram::new(
                "image_lag_seconds",
                &["stage"],
                SECONDS,
                "How long an image took from push to commit and from commit to healthy",
            ),
            registry_requests: Counters::new(
                "registry_requests",
                &["host", "code"],
                "Requests to registries by HTTP status, or `error` where none came",
            ),
            apiserver_requests: Counters::new("apiserver_requests", &["verb"], "Requests to the API server by verb"),
            helm_ops: Counters::new("helm_ops", &["op", "result"], "Operations on Helm releases by result"),
            notify: Counters::new("notify", &["result"], "Messages to people by result"),
            notify_dropped: Counters::new("notify_dropped", &[], "Messages to people that were given up on"),
            panics: Counters::new("panics", &[], "Tasks that panicked"),
        };
        meters.build_info.set(&[version], 1.0);
        meters.leader.set(&[], 0.0);
        // Alerts on these compare with zero, so they have to be there from the start.
        meters.notify_dropped.add(&[], 0);
        meters.panics.add(&[], 0);
        meters
    }

    /// A round of the mirror has ended.
    pub fn synced(&self, source: &SourceId, result: SyncResult, took: Duration, failed_objects: usize, at: Timestamp) {
        let word = match result {
            SyncResult::Ok => "ok",
            SyncResult::Partial => "partial",
            SyncResult::Failed => "failed",
        };
        self.sync.count(&[&source.0, word]);
        self.sync_duration.observe(&[&source.0], took.as_secs_f64());
        if result != SyncResult::Failed {
            self.objects_failed.set(&[&source.0], failed_objects as f64);
        }
        if result == SyncResult::Ok {
            self.sync_last_success.set(&[&source.0], at.as_second() as f64);
        }
    }

    /// A push has come to an end; `None` where even its outcome could not be learnt.
    pub fn pushed(&self, source: &SourceId, outcome: Option<&PushOutcome>) {
        let word = match outcome {
            Some(PushOutcome::Landed(_)) => "landed",
            Some(PushOutcome::Moved(_)) => "moved",
            Some(PushOutcome::Refused(_)) => "refused",
            None => "failed",
        };
        self.commits.count(&[&source.0, word]);
        if word == "moved" {
            self.push_conflicts.count(&[&source.0]);
        }
    }

    /// An image has come this far. A time that lies before the start (clocks differ) counts as nothing.
    pub fn lag(&self, stage: ImageLag, from: Timestamp, to: Timestamp) {
        let word = match stage {
            ImageLag::PushToCommit => "push-to-commit",
            ImageLag::CommitToHealthy => "commit-to-healthy",
        };
        self.image_lag.observe(&[word], to.duration_since(from).as_secs_f64().max(0.0));
    }

    /// Whether this process holds the lease.
    pub fn leads(&self, leads: bool) {
        self.leader.set(&[], if leads { 1.0 } else { 0.0 });
    }

    /// Drops the gauges of a source that is configured no more.
    pub fn forget_source(&self, source: &SourceId) {
        for gauges in [&self.sync_last_success, &self.objects_failed, &self.images] {
            gauges.forget(&source.0);
        }
    }

    /// All families, in a fixed order.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        vec![
            self.build_info.family(),
            self.leader.family(),
            self.sync.family(),
            self.sync_duration.family(),
            self.sync_last_success.family(),
            self.objects_failed.family(),
            self.images.family(),
            self.commits.family(),
            self.push_conflicts.family(),
            self.image_lag.family(),
            self.registry_requests.family(),
            self.apiserver_requests.family(),
            self.helm_ops.family(),
            self.notify.family(),
            self.notify_dropped.family(),
            self.panics.family(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_round_leaves_the_last_success_and_the_failed_objects_alone() {
        let (meters, source) = (Meters::new("0.1.0"), SourceId("infra".to_owned()));
        let at = Timestamp::from_second(1_000).unwrap();
        meters.synced(&source, SyncResult::Ok, Duration::from_secs(1), 0, at);
        meters.synced(&source, SyncResult::Partial, Duration::from_secs(1), 2, Timestamp::from_second(2_000).unwrap());
        meters.synced(&source, SyncResult::Failed, Duration::from_secs(9), 0, Timestamp::from_second(3_000).unwrap());
        assert_eq!(meters.sync_last_success.get(&["infra"]), Some(1_000.0));
        assert_eq!(meters.objects_failed.get(&["infra"]), Some(2.0));
        assert_eq!(meters.sync.get(&["infra", "failed"]), 1);
        meters.forget_source(&source);
        assert_eq!(meters.objects_failed.get(&["infra"]), None);
    }

    #[test]
    fn an_image_pushed_by_a_clock_that_is_ahead_counts_as_no_lag() {
        let meters = Meters::new("0.1.0");
        let (earlier, later) = (Timestamp::from_second(10).unwrap(), Timestamp::from_second(17).unwrap());
        meters.lag(ImageLag::PushToCommit, later, earlier);
        meters.lag(ImageLag::PushToCommit, earlier, later);
        let super::super::Value::Histogram { sum, count, .. } = meters.image_lag.family().samples[0].value else {
            panic!()
        };
        assert_eq!((sum, count), (7.0, 2));
    }
}
