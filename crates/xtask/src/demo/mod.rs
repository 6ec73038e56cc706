//! `cargo xtask demo`: the whole way of an image, before one's eyes, on real servers.
//!
//! Every part of it that shows something is a module of its own, in the order of the story: [`deploy`], [`pause`],
//! [`closing`]. They tell it on standard output; what is built before goes to standard error.

mod closing;
mod deploy;
mod own_cluster;
mod pause;
mod tell;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tagboat_testkit::{Cluster, Controller};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::installation::{Pace, Servers};
use crate::progress::{Step, say};
use crate::{cargo, components, example, packages, status};
use own_cluster::OwnCluster;
use tell::tell;

/// How long any step may take. They take seconds; a busy machine may need more.
const LIMIT: Duration = Duration::from_secs(120);
/// Fast, so that nobody waits for a poll; the defaults are slower.
const PACE: Pace = Pace { git: "2s", images: "1s" };

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// End as soon as everything has been shown, instead of staying up until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Use this cluster instead of a local API server; what the demo makes there is removed at the end
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Run the release build, which takes longer to make
    #[arg(long)]
    release: bool,
}

/// Runs `cargo xtask demo`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    packages::ensure()?;
    components::ensure(false, &[])?;
    let binary = cargo::build_tagboat(arguments.release)?;
    let runtime = tokio::runtime::Runtime::new().context("starting the async runtime")?;
    runtime.block_on(play(arguments, &binary))
}

async fn play(arguments: &Arguments, binary: &Path) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::listen()?;
    // The tests' variable counts here, too: whoever set it means that cluster.
    let named = std::env::var_os("TAGBOAT_TEST_KUBECONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    let result = match arguments.kubeconfig.clone().or(named) {
        None => on_a_local_cluster(arguments, binary, &mut interrupt).await,
        Some(kubeconfig) => {
            let mut cluster = OwnCluster::take(&kubeconfig).await?;
            let told = on_the_users_cluster(arguments, binary, &kubeconfig, &cluster, &mut interrupt).await;
            // It is cleaned up however the story ended; the story's own error comes first.
            let cleaned = cluster.clean_up().await;
            told.and(cleaned)
        }
    };
    if result.is_ok() {
        tell("Everything is stopped and removed.");
    }
    result
}

async fn on_a_local_cluster(arguments: &Arguments, binary: &Path, interrupt: &mut Interrupt) -> anyhow::Result<()> {
    let step = Step::start(1, 3, "etcd, API server, controllers and a node");
    let cluster = Cluster::start().await.context("starting the cluster")?;
    step.end("up");
    cluster.kubectl(&["create", "namespace", "tagboat"]).await?;
    show(arguments, binary, cluster, "tagboat", true, interrupt).await
}

async fn on_the_users_cluster(
    arguments: &Arguments,
    binary: &Path,
    kubeconfig: &Path,
    own: &OwnCluster,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    tell(&format!("Using the cluster of {}.", kubeconfig.display()));
    tell(
        "The example's images do not exist, so its pods will not start there: the demo waits for releases, not health.",
    );
    show(arguments, binary, Cluster::existing(kubeconfig)?, own.namespace(), false, interrupt).await
}

/// Starts what is missing beside the cluster, tells the story and takes everything down again.
async fn show(
    arguments: &Arguments,
    binary: &Path,
    cluster: Cluster,
    namespace: &str,
    pods_run: bool,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let step = Step::start(2, 3, "registry, chart repository, git server, Slack's stand-in");
    let servers = Servers::start(cluster).await?;
    step.end("up");
    let step = Step::start(3, 3, "tagboat");
    let controller = servers.controller(binary, namespace, PACE).await?;
    step.end("ready");
    let stage = Stage { servers, controller, binary: binary.to_path_buf(), pods_run };
    let told = tokio::select! {
        told = story(&stage) => told,
        () = interrupt.wait() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Err(error) = told {
        say(&format!("\nthe end of tagboat's log:\n{}", stage.controller.log_tail().trim_end()));
        return Err(error);
    }
    if !arguments.exit {
        closing::addresses(&stage);
        interrupt.wait().await;
    }
    let status = stage.controller.stop().await?;
    anyhow::ensure!(status.success(), "tagboat ended with {status} when it was told to stop");
    Ok(())
}

/// What the story is played on.
struct Stage {
    servers: Servers,
    controller: Controller,
    binary: PathBuf,
    /// Whether pods become ready: on a cluster that pulls images they cannot.
    pods_run: bool,
}

impl Stage {
    /// The last step of a change that can be waited for.
    fn last_step(&self) -> &'static str {
        if self.pods_run { "healthy" } else { "released" }
    }
}

async fn story(stage: &Stage) -> anyhow::Result<()> {
    first_installation(stage).await?;
    tell::heading("A merge to main is built and pushed: dev follows");
    deploy::push_and_follow(stage, "dev", &example::main_tag()).await?;
    tell::heading("A release candidate is pushed: stage follows, dev does not");
    let before = stage.servers.live_image("dev").await?;
    deploy::push_and_follow(stage, "stage", "stage-v1.0.0").await?;
    let after = stage.servers.live_image("dev").await?;
    anyhow::ensure!(before == after, "dev was to stay at {before}, and runs {after}");
    pause::pause_and_resume(stage).await?;
    closing::what_helm_says(stage).await?;
    closing::what_slack_got(stage).await?;
    closing::what_status_says(stage).await
}

/// Waits until the four environments are there.
async fn first_installation(stage: &Stage) -> anyhow::Result<()> {
    tell::heading("Tagboat makes the cluster match the infrastructure repository");
    let ready = |found: &serde_json::Value, environment: &str| {
        status::item(found, &example::workload(environment)).is_some_and(|item| {
            let released = status::text(item, "/release/phase") == "Succeeded";
            released && (!stage.pods_run || status::text(item, "/health/state") == "healthy")
        })
    };
    let all = |found: &serde_json::Value| example::ENVIRONMENTS.iter().all(|environment| ready(found, environment));
    let what = if stage.pods_run { "all four environments are healthy" } else { "all four environments are released" };
    status::until(&stage.controller, what, LIMIT, |found| all(found).then_some(())).await?;
    for environment in example::ENVIRONMENTS {
        tell(&format!("  bookshop-{environment:8} runs {}", stage.servers.live_image(environment).await?));
    }
    tell(&format!("  {what}"));
    Ok(())
}

/// Ctrl-C, or SIGTERM.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
