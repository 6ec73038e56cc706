//! One source's loop: fetch, mirror, scan, decide, commit, and mirror again at once.
//!
//! ```text
//!        git poll ─▶ fetch ─▶ mirror ◀──────────────┐
//!      image poll ─▶ scan ──▶ decide ─▶ commit ─────┘   a pushed commit is mirrored without waiting for a poll
//!  live policies ─▶ mirror what they hold or free, decide again
//! ```
//!
//! Each turn is one pass over what its trigger concerns; a fault ends the pass, is reported, and the next trigger tries
//! again. Faults of one image or object never end a pass.

mod automate;
mod follow;
mod knowledge;
mod reporting;
mod standing;
mod sync;

use crate::decide::{Automation, LineHistory};
use crate::mirror::{Desired, Mirror};
use crate::ports::{
    Clock, Cluster, GitRepository, Head, ImageRegistry, LivePolicies, RepoFile, Revision, SourceId, TagStore,
    WriteFence,
};
use crate::report::{Heartbeat, Reporter};
use crate::scan::Scanned;
use follow::{Follower, InPlace};
use futures::FutureExt;
use futures::channel::mpsc;
use standing::Standing;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tagboat_image::Repository;
use tagboat_manifest::{ManifestFile, WorkloadId};

/// What one source is told by the configuration.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Its name.
    pub source: SourceId,
    /// The paths of the repository that are mirrored; empty for all of it.
    pub paths: Vec<String>,
    /// The namespace of namespaced objects that name none.
    pub default_namespace: String,
    /// How long after a fetch the next one begins.
    pub git_interval: Duration,
    /// How long after a scan the next one begins.
    pub image_interval: Duration,
    /// Whose commits are not a person's.
    pub automation: Automation,
    /// `mode: observe`: everything is decided and reported, nothing is written.
    pub observe: bool,
}

/// The neighbours of one source.
#[derive(Clone)]
pub struct SourcePorts {
    /// Its repository.
    pub git: Arc<dyn GitRepository>,
    /// The registries.
    pub registry: Arc<dyn ImageRegistry>,
    /// What earlier scans found.
    pub store: Arc<dyn TagStore>,
    /// The API server.
    pub cluster: Arc<dyn Cluster>,
    /// Policies on live objects.
    pub live: Arc<dyn LivePolicies>,
    /// The right to write.
    pub fence: Arc<dyn WriteFence>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where it says what it does.
    pub reporter: Arc<Reporter>,
}

/// One source and what its loop remembers. All of it can be had again from git, the cluster and the registry (D10).
pub struct Source {
    settings: SourceSettings,
    ports: SourcePorts,
    mirror: Mirror,
    heartbeat: Heartbeat,
    head: Option<Head>,
    /// The revision's files, as last read.
    files: Vec<RepoFile>,
    desired: Desired,
    parsed: BTreeMap<String, ManifestFile>,
    /// How often the branch was looked at.
    fetches: u32,
    mirrored: Option<Revision>,
    /// With `observe`, what was compared last.
    compared: Option<Revision>,
    /// Whether the last pass of the mirror left something that may succeed by trying again.
    retry: bool,
    scans: BTreeMap<Repository, Result<Scanned, String>>,
    lines: BTreeMap<(WorkloadId, String), KnownLine>,
    /// Problems that were logged and stand: each is logged once.
    reported: BTreeSet<String>,
    standing: Standing,
    refusal: Option<Refusal>,
    /// What is in place is followed beside the turns.
    passes: mpsc::UnboundedSender<InPlace>,
    followed: Option<mpsc::UnboundedReceiver<InPlace>>,
}

/// A line's history, and the newest commit that it was read from.
struct KnownLine {
    newest: Option<Revision>,
    head: Revision,
    current: tagboat_image::Reference,
    history: LineHistory,
}

/// A commit that the remote would not have.
struct Refusal {
    /// What was to be committed, and on what.
    plan: String,
    times: u32,
    /// Not to be tried again before then.
    until: jiff::Timestamp,
}

/// Why a turn began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Git,
    Images,
    Live,
    Asked,
    Shutdown,
}

/// Asks a source to look at once: what a webhook or an operator does.
pub type Kick = Arc<dyn Fn() -> futures::future::BoxFuture<'static, ()> + Send + Sync>;

impl Source {
    /// A source that has seen nothing yet.
    #[must_use]
    pub fn new(settings: SourceSettings, ports: SourcePorts, heartbeat: Heartbeat) -> Self {
        let mirror = Mirror::new(
            settings.source.clone(),
            Arc::clone(&ports.cluster),
            Arc::clone(&ports.live),
            Arc::clone(&ports.fence),
        );
        let (passes, receiver) = mpsc::unbounded();
        Self {
            settings,
            ports,
            mirror,
            heartbeat,
            head: None,
            files: Vec::new(),
            desired: Desired::default(),
            parsed: BTreeMap::new(),
            fetches: 0,
            mirrored: None,
            compared: None,
            retry: false,
            scans: BTreeMap::new(),
            lines: BTreeMap::new(),
            reported: BTreeSet::new(),
            standing: Standing::default(),
            refusal: None,
            passes,
            followed: Some(receiver),
        }
    }

    /// Runs until `shutdown` is ready. `kick` becomes ready when somebody asks for a turn now.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send, kick: Kick) {
        let ports = self.ports.clone();
        let passes = self.followed.take();
        let follow = async move {
            if let Some(passes) = passes {
                Follower::new(ports.cluster, ports.clock, ports.reporter).run(passes).await;
            }
        };
        futures::pin_mut!(follow);
        let turns = self.take_turns(shutdown, kick);
        futures::pin_mut!(turns);
        match futures::future::select(turns, follow).await {
            futures::future::Either::Left(((), _)) => {}
            futures::future::Either::Right(((), turns)) => turns.await,
        }
    }

    async fn take_turns(mut self, shutdown: impl Future<Output = ()> + Send, kick: Kick) {
        let clock = Arc::clone(&self.ports.clock);
        let live = Arc::clone(&self.ports.live);
        let mut shutdown = Box::pin(shutdown.fuse());
        let mut git_timer = clock.sleep(Duration::ZERO).fuse();
        let mut image_timer = clock.sleep(Duration::ZERO).fuse();
        let mut changed = Box::pin(live.changed().fuse());
        let mut asked = kick().fuse();
        loop {
            let trigger = futures::select_biased! {
                () = shutdown => Trigger::Shutdown,
                () = changed => Trigger::Live,
                () = asked => Trigger::Asked,
                () = git_timer => Trigger::Git,
                () = image_timer => Trigger::Images,
            };
            match trigger {
                Trigger::Shutdown => return,
                Trigger::Git => {
                    self.sync().await;
                    git_timer = clock.sleep(self.settings.git_interval).fuse();
                }
                Trigger::Images => {
                    self.scan_all().await;
                    self.automate().await;
                    image_timer = clock.sleep(self.settings.image_interval).fuse();
                }
                Trigger::Live => {
                    changed = Box::pin(live.changed().fuse());
                    self.remirror().await;
                    self.automate().await;
                }
                Trigger::Asked => {
                    asked = kick().fuse();
                    self.sync().await;
                    self.scan_all().await;
                    self.automate().await;
                }
            }
            self.heartbeat.tick();
        }
    }
}
