//! Somebody pauses dev on the live object, although git says that it is automated: that holds until it is taken away.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::tell::{command, heading, tell};
use super::{LIMIT, Stage, deploy};
use crate::{example, status};

const PAUSE: [&str; 6] = ["annotate", "hr", "bookshop", "-n", "bookshop-dev", "fluxcd.io/automated=false"];
const RESUME: [&str; 6] = ["annotate", "hr", "bookshop", "-n", "bookshop-dev", "fluxcd.io/automated-"];

/// So many fetches and scans that began after the push make a full turn of everything.
const TURNS: usize = 2;

/// Pauses, pushes, waits for a full turn, shows that nothing moved, and takes the pause away.
pub(super) async fn pause_and_resume(stage: &Stage) -> anyhow::Result<()> {
    heading("Somebody pauses dev, on the live object: git still says automated");
    let mut pause = PAUSE.to_vec();
    pause.push("--overwrite");
    kubectl(stage, &pause).await?;
    let tag = example::main_tag();
    let before = State::of(stage).await?;
    tell(&format!("  pushing {}/{}:{tag}", example::REGISTRY, example::IMAGE));
    stage.servers.push(&tag).await?;
    full_turn(stage).await?;
    let workload = example::workload("dev");
    let because = status::until(&stage.controller, "the status says why dev is held", LIMIT, |found| {
        let item = status::item(found, &workload)?;
        let container = item["containers"].as_array()?.iter().find(|container| container["action"] == "hold")?;
        Some(format!("{}: {}", status::text(item, "/state"), status::text(container, "/reason/text")))
    })
    .await?;
    let after = State::of(stage).await?;
    ensure!(before == after, "nothing was to change while dev is paused; before: {before:?}, after: {after:?}");
    tell(&format!("  {TURNS} fetches and {TURNS} scans later: HEAD is still {}", deploy::short(&after.head)));
    tell(&format!("  the Deployment still has {}", after.image));
    tell(&format!("  tagboat status says: {because}"));

    heading("The pause is taken away: the newest tag arrives");
    kubectl(stage, &RESUME).await?;
    deploy::follow(stage, "dev", &tag).await
}

/// What a pause keeps as it is.
#[derive(Debug, PartialEq, Eq)]
struct State {
    head: String,
    image: String,
}

impl State {
    async fn of(stage: &Stage) -> anyhow::Result<Self> {
        let head = stage.servers.repository.head("main")?.unwrap_or_default();
        Ok(Self { head, image: stage.servers.live_image("dev").await? })
    }
}

async fn kubectl(stage: &Stage, arguments: &[&str]) -> anyhow::Result<()> {
    command(&format!("kubectl {}", arguments.join(" ")));
    stage.servers.cluster.kubectl(arguments).await?;
    Ok(())
}

/// Waits until git was fetched and the image's tags were listed twice: the second of each began after the push.
async fn full_turn(stage: &Stage) -> anyhow::Result<()> {
    let fetches = || {
        let requests = stage.servers.git.requests();
        requests.iter().filter(|request| request.uri.contains("/info/refs")).count()
    };
    let scans = || -> anyhow::Result<usize> {
        let list = format!("/v2/{}/tags/list", example::IMAGE);
        Ok(stage.servers.registry.requests()?.iter().filter(|request| request.uri.starts_with(&list)).count())
    };
    let (started, first_fetches, first_scans) = (Instant::now(), fetches(), scans()?);
    loop {
        let (fetched, scanned) = (fetches() - first_fetches, scans()? - first_scans);
        if fetched >= TURNS && scanned >= TURNS {
            return Ok(());
        }
        if started.elapsed() > LIMIT {
            bail!("a full turn was not done within {} s: {fetched} fetches, {scanned} scans", LIMIT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
