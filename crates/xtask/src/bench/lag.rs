//! From a pushed tag to the Deployment: each step by itself, polling aside.
//!
//! The controller says when it saw the tag and when its commit landed; the API server's audit log says when the
//! Deployment's update came in, whatever the controller thinks.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;
use tagboat_testkit::{Cluster, Controller};

use super::report::Figure;
use crate::installation::{Pace, Servers};
use crate::progress::say;
use crate::{example, status};

const LIMIT: Duration = Duration::from_secs(120);
/// Scans as fast as a registry on loopback allows; what a poll adds is told apart.
const PACE: Pace = Pace { git: "5s", images: "500ms" };
/// Between two rounds, so that one does not disturb the next.
const PAUSE: Duration = Duration::from_millis(700);

/// Milliseconds of one round.
#[derive(Debug, Default)]
struct Rounds {
    seen: Vec<i128>,
    committed: Vec<i128>,
    updated: Vec<i128>,
    healthy: Vec<i128>,
}

/// Pushes tags, one after the other.
pub(super) async fn measure(binary: &Path, rounds: u32) -> anyhow::Result<Vec<Figure>> {
    let cluster = Cluster::start().await.context("starting the cluster")?;
    cluster.kubectl(&["create", "namespace", "tagboat"]).await?;
    let servers = Servers::start(cluster).await?;
    let controller = servers.controller(binary, "tagboat", PACE).await?;
    let result = all_rounds(&servers, &controller, rounds).await;
    result.inspect_err(|_| say(&format!("\nthe end of tagboat's log:\n{}", controller.log_tail().trim_end())))
}

async fn all_rounds(servers: &Servers, controller: &Controller, rounds: u32) -> anyhow::Result<Vec<Figure>> {
    status::until(controller, "all four environments are healthy", LIMIT, |found| {
        let healthy = |environment: &str| {
            status::item(found, &example::workload(environment))
                .is_some_and(|item| status::text(item, "/health/state") == "healthy")
        };
        example::ENVIRONMENTS.iter().all(|environment| healthy(environment)).then_some(())
    })
    .await?;
    let mut measured = Rounds::default();
    for _ in 0..rounds {
        tokio::time::sleep(PAUSE).await;
        measured.round(servers, controller).await?;
    }
    Ok(measured.figures())
}

impl Rounds {
    async fn round(&mut self, servers: &Servers, controller: &Controller) -> anyhow::Result<()> {
        let tag = example::main_tag();
        let workload = example::workload("dev");
        servers.push(&tag).await?;
        let pushed = Timestamp::now();
        let item = status::until(controller, &format!("{workload} runs {tag}"), LIMIT, |found| {
            let item = status::item(found, &workload)?;
            (status::changes_to(item, &tag) && status::step(item, "healthy").is_some()).then(|| item.clone())
        })
        .await?;
        let time = |step: &str| status::step(&item, step).with_context(|| format!("the timeline has no {step:?}"));
        let (seen, committed, healthy) = (time("seen")?, time("committed")?, time("healthy")?);
        let updated = deployment_updated(servers, committed).await?;
        // A scan that runs while the push ends may see the tag before the push's answer is here.
        self.seen.push(milliseconds(pushed, seen).max(0));
        self.committed.push(milliseconds(seen, committed));
        self.updated.push(milliseconds(committed, updated));
        self.healthy.push(milliseconds(committed, healthy));
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        let figure = |name: &str, values: &[i128]| Figure { name: name.to_owned(), value: summary(values), aim: "" };
        vec![
            figure(&format!("pushed to seen: waiting for the poll every {}", PACE.images), &self.seen),
            figure("pushed to committed, polling aside (seen to committed)", &self.committed),
            figure("committed to Deployment updated (by the API server's audit log)", &self.updated),
            figure("committed to healthy (a simulated node; pods are ready at once)", &self.healthy),
        ]
    }
}

/// When the first write to dev's Deployment came in after a commit. The log is written a moment after the answer.
async fn deployment_updated(servers: &Servers, committed: Timestamp) -> anyhow::Result<Timestamp> {
    let started = Instant::now();
    let name = example::release("dev");
    loop {
        let entries = servers.cluster.audit_entries()?;
        let update = entries.iter().find(|entry| {
            let object = entry.object_ref.as_ref();
            let is_it = object.is_some_and(|object| object.resource == "deployments" && object.name == name);
            // A dry run changes nothing; the cluster's own controllers are not in the log.
            let real = entry.is_write() && !entry.uri.contains("dryRun=All");
            is_it && real && entry.request_received_timestamp >= committed
        });
        if let Some(update) = update {
            return Ok(update.request_received_timestamp);
        }
        if started.elapsed() > LIMIT {
            bail!("the audit log has no update of the Deployment {name} after {committed}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn milliseconds(from: Timestamp, to: Timestamp) -> i128 {
    to.duration_since(from).as_millis()
}

/// Median, smallest and largest.
fn summary(values: &[i128]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    let median = match sorted.as_slice() {
        [] => return "not measured".to_owned(),
        sorted if sorted.len() % 2 == 1 => sorted[middle],
        sorted => (sorted[middle - 1] + sorted[middle]) / 2,
    };
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("median {median} ms, {least} to {most} ms in {} rounds", sorted.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_median_and_both_ends() {
        assert_eq!(summary(&[30, 10, 20]), "median 20 ms, 10 to 30 ms in 3 rounds");
        assert_eq!(summary(&[10, 40, 20, 30]), "median 25 ms, 10 to 40 ms in 4 rounds");
        assert_eq!(summary(&[]), "not measured");
    }
}
