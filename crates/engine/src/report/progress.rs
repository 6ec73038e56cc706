use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether the loops still go round, and whether the process is ready to be used.
///
/// Liveness is progress and nothing else: a git server or registry that is down must not get the process restarted. A
/// loop only says *that* it went round ([`Heartbeat::tick`]); when it last did is what the one who asks observes, on the
/// monotonic clock. So a stopped loop is noticed after three of its intervals of being asked, which a kubelet does
/// every few seconds, and a clock that jumps means nothing.
#[derive(Debug, Default)]
pub struct Progress {
    loops: Mutex<BTreeMap<String, Watched>>,
    conditions: Mutex<BTreeMap<String, Arc<AtomicBool>>>,
}

#[derive(Debug)]
struct Watched {
    interval: Duration,
    count: Arc<AtomicU64>,
    /// The count when last asked, and when it was first seen to be that.
    observed: Option<(u64, Instant)>,
}

/// A loop that has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stalled {
    /// The loop's name.
    pub name: String,
    /// For how long it has not gone round.
    pub silent: Duration,
    /// How long it may take.
    pub allowed: Duration,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, silent, allowed } = self;
        write!(f, "loop {name} has not gone round for {} s, allowed are {} s", silent.as_secs(), allowed.as_secs())
    }
}

/// How many intervals a loop may miss before it counts as stopped.
const MISSED: u32 = 3;

impl Progress {
    /// Nothing to watch yet: alive, and ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches a loop from now on. `interval` is the longest time that one healthy round may take: its wait and the
    /// deadlines of what it does. A loop ends its watch by dropping the handle.
    #[must_use]
    pub fn watch(self: &Arc<Self>, name: &str, interval: Duration) -> Heartbeat {
        let count = Arc::new(AtomicU64::new(0));
        let watched = Watched { interval, count: Arc::clone(&count), observed: None };
        self.lock_loops().insert(name.to_owned(), watched);
        Heartbeat { name: name.to_owned(), count, progress: Arc::clone(self) }
    }

    /// A condition for readiness, false until it is set: `configuration`, `definitions-served`, `releases-listed`.
    #[must_use]
    pub fn condition(&self, name: &str) -> Readiness {
        let flag = Arc::new(AtomicBool::new(false));
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(&flag));
        Readiness(flag)
    }

    /// The loops that have stopped; empty while all go round.
    #[must_use]
    pub fn stalled(&self, now: Instant) -> Vec<Stalled> {
        let mut stalled = Vec::new();
        for (name, watched) in self.lock_loops().iter_mut() {
            let count = watched.count.load(Ordering::Relaxed);
            let since = match watched.observed {
                Some((seen, since)) if seen == count => since,
                _ => {
                    watched.observed = Some((count, now));
                    now
                }
            };
            let (silent, allowed) = (now.saturating_duration_since(since), watched.interval.saturating_mul(MISSED));
            if silent > allowed {
                stalled.push(Stalled { name: name.clone(), silent, allowed });
            }
        }
        stalled
    }

    /// Whether every loop goes round.
    #[must_use]
    pub fn alive(&self, now: Instant) -> bool {
        self.stalled(now).is_empty()
    }

    /// The conditions that are not met; empty when ready.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.iter().filter(|(_, met)| !met.load(Ordering::Relaxed)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether every condition is met.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.unready().is_empty()
    }

    fn lock_loops(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Watched>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A loop's handle.
#[derive(Debug)]
pub struct Heartbeat {
    name: String,
    count: Arc<AtomicU64>,
    progress: Arc<Progress>,
}

impl Heartbeat {
    /// Says that the loop went round, or that a long step of it went on.
    pub fn tick(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Heartbeat {
    /// A loop that has ended on purpose is no longer watched. One that panics drops this as well, so whoever starts loops
    /// watches their ends, too.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut loops = self.progress.lock_loops();
        if loops.get(&self.name).is_some_and(|watched| Arc::ptr_eq(&watched.count, &self.count)) {
            loops.remove(&self.name);
        }
    }
}

/// One condition for readiness.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says whether it is met.
    pub fn set(&self, met: bool) {
        self.0.store(met, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_loop_that_stops_is_named_after_three_intervals() {
        let progress = Arc::new(Progress::new());
        let scan = progress.watch("scan", SECOND * 10);
        let _git = progress.watch("git", SECOND * 100);
        let start = Instant::now();
        assert!(progress.alive(start));
        scan.tick();
        assert!(progress.alive(start + SECOND * 29));
        assert!(progress.alive(start + SECOND * 59), "30 s after the tick was seen are allowed");
        let stalled = progress.stalled(start + SECOND * 60);
        assert_eq!(stalled.len(), 1);
        assert_eq!(stalled[0].to_string(), "loop scan has not gone round for 31 s, allowed are 30 s");
        scan.tick();
        assert!(progress.alive(start + SECOND * 61));
    }

    #[test]
    fn a_loop_that_ended_is_not_watched_and_its_successor_is() {
        let progress = Arc::new(Progress::new());
        let start = Instant::now();
        let first = progress.watch("scan", SECOND);
        let second = progress.watch("scan", SECOND);
        drop(first);
        assert!(progress.alive(start));
        assert!(!progress.alive(start + SECOND * 4), "the second is watched under the same name");
        drop(second);
        assert!(progress.alive(start + SECOND * 9));
    }

    #[test]
    fn a_loop_that_panics_stays_watched_and_so_stalls() {
        let progress = Arc::new(Progress::new());
        let heartbeat = progress.watch("scan", SECOND);
        let start = Instant::now();
        assert!(progress.alive(start));
        std::thread::spawn(move || {
            let _heartbeat = heartbeat;
            panic!("on purpose");
        })
        .join()
        .unwrap_err();
        assert!(!progress.alive(start + SECOND * 4));
    }

    #[test]
    fn readiness_needs_every_condition() {
        let progress = Progress::new();
        assert!(progress.ready());
        let (config, lists) = (progress.condition("configuration"), progress.condition("releases-listed"));
        config.set(true);
        assert_eq!(progress.unready(), ["releases-listed"]);
        lists.set(true);
        assert!(progress.ready());
        config.set(false);
        assert_eq!(progress.unready(), ["configuration"]);
    }
}
