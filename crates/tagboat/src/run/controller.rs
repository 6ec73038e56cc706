//! Wires the adapters to the engine's loops, and ends them in order.

use super::adapters;
use super::clock::SystemClock;
use super::fence::Observer;
use crate::config::{Config, Mode, Source as Configured};
use anyhow::{Context, Result};
use futures::FutureExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tagboat_cluster::{ApiServer, LeaseFence, LeaseOptions, Options, PolicyWatch, ReleaseWatch};
use tagboat_engine::ports::{Clock, Notifier, SourceId, WriteFence};
use tagboat_engine::release::ReleasePorts;
use tagboat_engine::releases::Releases;
use tagboat_engine::report::{Board, Meters, Progress, Readiness, Reporter};
use tagboat_engine::source::{Kick, Source, SourcePorts, SourceSettings};
use tagboat_helm::HelmRecords;
use tagboat_notify::{QueueOptions, QueuedNotifier};
use tagboat_web::{Access, Bound, Limits, TokenAccess};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The longest round that a healthy loop may need beside its interval: a first clone, or a revision of many objects.
const LONG_STEP: Duration = Duration::from_secs(300);
/// How long the first list of live policies may take before mirroring begins.
const FIRST_LIST: Duration = Duration::from_secs(30);
/// How long messages that wait may hold up the end.
const LAST_MESSAGES: Duration = Duration::from_secs(5);
/// How often counters that adapters keep are carried over.
const CARRY_OVER: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The configuration cannot be carried out, or a loop ended by itself.
pub async fn run(config: &Config, kubeconfig: Option<&Path>, identity: &str) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stop = CancellationToken::new();
    let (ask, asked) = tokio::sync::watch::channel(());
    listen_for_signals(stop.clone(), ask)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let version = env!("CARGO_PKG_VERSION");
    let (board, meters) = (Arc::new(Board::new(version)), Arc::new(Meters::new(version)));
    let progress = Arc::new(Progress::new());
    let ready = progress.condition("started");

    let registry = Arc::new(adapters::registries(config)?);
    let charts = Arc::new(adapters::charts(config)?);
    let renderer = Arc::new(adapters::renderer(config)?);
    let slack = adapters::slack(config)?;
    std::fs::create_dir_all(&config.cache)
        .with_context(|| format!("cannot make the cache folder {}", config.cache.display()))?;
    let store = Arc::new(adapters::tag_store(config)?);

    // Listening comes first: a port that is taken ends the process before anything is begun.
    let mut tasks: JoinSet<&'static str> = JoinSet::new();
    let probes = Bound::bind(config.listen.probes).await?;
    let local_api = Bound::bind_loopback(config.listen.local_api).await?;
    let api = match config.listen.api {
        Some(address) => Some(Bound::bind(address).await?),
        None => None,
    };
    info!(
        probes = %probes.address(),
        api.local = %local_api.address(),
        "listening on {} (probes, metrics) and {} (status)",
        probes.address(),
        local_api.address()
    );
    let options = Options { namespace: config.cluster.namespace.clone(), instance: identity.to_owned() };
    let cluster = Arc::new(ApiServer::connect(adapters::kubernetes(kubeconfig).await?, options)?);
    let serve = |bound: Bound, router, name: &'static str| {
        let stop = stop.clone();
        async move {
            bound.serve(router, Limits::default(), async move { stop.cancelled().await }).await;
            name
        }
    };
    tasks.spawn(serve(probes, tagboat_web::probes(Arc::clone(&progress), Arc::clone(&meters)), "probes"));
    tasks.spawn(serve(local_api, tagboat_web::status_api(Arc::clone(&board), Arc::new(Access::Loopback)), "local api"));
    if let Some(bound) = api {
        let access = Arc::new(Access::Token(TokenAccess::new(cluster.client())));
        tasks.spawn(serve(bound, tagboat_web::status_api(Arc::clone(&board), access), "api"));
    }

    let observe = config.mode == Mode::Observe;
    let lease =
        (!observe).then(|| Arc::new(LeaseFence::start(Arc::clone(&cluster), LeaseOptions::new("tagboat", identity))));
    let fence: Arc<dyn WriteFence> = match &lease {
        Some(lease) => Arc::clone(lease) as Arc<dyn WriteFence>,
        None => Arc::new(Observer),
    };
    board.controller(false, observe);
    let queue = slack
        .map(|slack| Arc::new(QueuedNotifier::start(Arc::new(slack), QueueOptions::default(), Arc::clone(&meters))));
    let notifiers: Vec<Arc<dyn Notifier>> = queue.iter().map(|queue| Arc::clone(queue) as Arc<dyn Notifier>).collect();
    let reporter = Arc::new(Reporter::new(Arc::clone(&board), Arc::clone(&meters), Arc::clone(&clock), notifiers));

    let carried = carry_over(
        Arc::clone(&meters),
        Arc::clone(&board),
        Arc::clone(&registry),
        Arc::clone(&cluster),
        observe,
        lease.clone(),
    );
    tasks.spawn(until_stopped(stop.clone(), carried, "meters"));

    let mut sources = Vec::new();
    for source in &config.sources {
        sources.push((source, adapters::git(config, source, Arc::clone(&clock)).await?));
    }
    let running = async {
        if let Some(lease) = &lease {
            wait_for_lease(lease, &board, &ready).await;
            install_crds(config, &cluster, &*clock).await;
        }
        ready.set(true);
        let live = PolicyWatch::start(Arc::clone(&cluster));
        if !live.synced(FIRST_LIST).await {
            warn!("live policies could not be listed within {} s; they are read one by one", FIRST_LIST.as_secs());
        }
        let releases = Arc::new(ReleaseWatch::start(Arc::clone(&cluster)));
        (live, releases)
    };
    let started = tokio::select! {
        started = running => Some(started),
        () = stop.cancelled() => None,
    };
    if let Some((live, releases)) = started {
        for (configured, (git, automation)) in sources {
            let settings = settings(config, configured, automation, observe);
            let heartbeat = progress.watch(&format!("source {}", configured.name), settings.image_interval + LONG_STEP);
            let ports = SourcePorts {
                git: Arc::new(git),
                registry: Arc::clone(&registry) as _,
                store: Arc::clone(&store) as _,
                cluster: Arc::clone(&cluster) as _,
                live: Arc::new(live.subscribe()),
                fence: Arc::clone(&fence),
                clock: Arc::clone(&clock),
                reporter: Arc::clone(&reporter),
            };
            let source = Source::new(settings, ports, heartbeat);
            let stopped = stop.clone();
            let kick = when_asked(asked.clone());
            tasks.spawn(async move {
                source.run(async move { stopped.cancelled().await }, kick).await;
                "source"
            });
        }
        if !observe {
            let ports = ReleasePorts {
                objects: releases as _,
                cluster: Arc::clone(&cluster) as _,
                policies: Arc::new(live.subscribe()),
                charts: charts as _,
                renderer: renderer as _,
                records: Arc::new(HelmRecords::new(cluster.client())),
                fence: Arc::clone(&fence),
                clock: Arc::clone(&clock),
            };
            let heartbeat = progress.watch("releases", LONG_STEP);
            let stopped = stop.clone();
            tasks.spawn(async move {
                Releases::new(ports, Arc::clone(&reporter), heartbeat)
                    .run(async move { stopped.cancelled().await })
                    .await;
                "releases"
            });
        }
    }
    let failed = wait_for_end(&mut tasks, &stop).await;
    if let Some(queue) = queue {
        queue.close(LAST_MESSAGES).await;
    }
    // Every task has ended, so this was the last other hand on the lease.
    drop(fence);
    if let Some(lease) = lease.and_then(Arc::into_inner)
        && let Err(error) = lease.release().await
    {
        warn!(error = %error, "the lease could not be given back; another replica takes it when it runs out");
    }
    info!("stopped");
    failed.map_or(Ok(()), Err)
}

fn settings(
    config: &Config,
    source: &Configured,
    automation: tagboat_engine::decide::Automation,
    observe: bool,
) -> SourceSettings {
    SourceSettings {
        source: SourceId(source.name.clone()),
        paths: source.paths.clone(),
        default_namespace: source.default_namespace.clone(),
        git_interval: source.git.interval,
        image_interval: config.registries.interval,
        automation,
        observe,
    }
}

/// A loop that ends before it was told to takes the process with it: whoever watches the process starts it anew.
async fn wait_for_end(tasks: &mut JoinSet<&'static str>, stop: &CancellationToken) -> Option<anyhow::Error> {
    let mut failed = None;
    while let Some(ended) = tasks.join_next().await {
        if stop.is_cancelled() && ended.is_ok() {
            continue;
        }
        let what = match ended {
            Ok(name) => format!("the task {name} ended by itself"),
            Err(error) => format!("a task broke down: {error}"),
        };
        error!("{what}; stopping");
        failed.get_or_insert(anyhow::anyhow!(what));
        stop.cancel();
    }
    failed
}

async fn until_stopped(stop: CancellationToken, work: impl Future<Output = ()>, name: &'static str) -> &'static str {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
    name
}

/// Waits until this replica leads. One that stands by is ready: it is all that it can be.
async fn wait_for_lease(lease: &LeaseFence, board: &Board, ready: &Readiness) {
    let mut state = lease.state();
    loop {
        let now = state.borrow_and_update().clone();
        if now.held {
            info!("this replica holds the lease");
            board.controller(true, false);
            return;
        }
        if let Some(holder) = &now.holder {
            info!(lease.holder = holder, "waiting: {holder} holds the lease");
            ready.set(true);
        }
        if state.changed().await.is_err() {
            futures::future::pending::<()>().await;
        }
    }
}

async fn install_crds(config: &Config, cluster: &ApiServer, clock: &dyn Clock) {
    if !config.cluster.install_crds {
        return;
    }
    let mut wait = Duration::from_secs(1);
    loop {
        match cluster.install_crds().await {
            Ok(0) => return,
            Ok(count) => {
                info!(count, "installed {count} CustomResourceDefinitions");
                return;
            }
            Err(error) => warn!(error = %error, "the CustomResourceDefinitions could not be installed: {error}"),
        }
        clock.sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(60));
    }
}

/// Carries the counters that adapters keep over to the meters, and the lease's state to the board.
async fn carry_over(
    meters: Arc<Meters>,
    board: Arc<Board>,
    registry: Arc<tagboat_registry::Registries>,
    cluster: Arc<ApiServer>,
    observe: bool,
    lease: Option<Arc<LeaseFence>>,
) {
    let mut known_registry = std::collections::BTreeMap::new();
    let mut known_cluster = std::collections::BTreeMap::new();
    loop {
        for ((host, code), count) in registry.requests() {
            let code = code.to_string();
            let before = known_registry.insert((host.clone(), code.clone()), count).unwrap_or(0);
            meters.registry_requests.add(&[&host, &code], count.saturating_sub(before));
        }
        for (verb, count) in cluster.requests().by_verb() {
            let before = known_cluster.insert(verb, count).unwrap_or(0);
            meters.apiserver_requests.add(&[verb], count.saturating_sub(before));
        }
        let held = lease.as_ref().is_some_and(|lease| lease.state().borrow().held);
        meters.leads(held);
        board.controller(held, observe);
        tokio::time::sleep(CARRY_OVER).await;
    }
}

/// Becomes ready whenever somebody asks; what was asked while a turn went on is not lost.
fn when_asked(asked: tokio::sync::watch::Receiver<()>) -> Kick {
    let asked = Arc::new(tokio::sync::Mutex::new(asked));
    Arc::new(move || {
        let asked = Arc::clone(&asked);
        async move {
            if asked.lock().await.changed().await.is_err() {
                // Nobody can ask any more.
                futures::future::pending::<()>().await;
            }
        }
        .boxed()
    })
}

/// SIGTERM and SIGINT end the process in order, a second one at once; SIGHUP makes every source look now.
fn listen_for_signals(stop: CancellationToken, ask: tokio::sync::watch::Sender<()>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            info!("asked to look now: fetching, scanning");
            ask.send_replace(());
        }
    });
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping: what has begun is brought to an end; a second signal ends the process at once");
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(())
}
