//! What others say of it in the end: helm, Slack, `tagboat status`; and where everything is while it stays up.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::tell::{command, heading, output, tell};
use super::{LIMIT, Stage};
use crate::{example, workspace};

/// How long `tagboat status` may take.
const STATUS: Duration = Duration::from_secs(20);

/// The real helm's view of the releases.
pub(super) async fn what_helm_says(stage: &Stage) -> anyhow::Result<()> {
    heading("The real helm knows the releases");
    let cluster = &stage.servers.cluster;
    command("helm list -A");
    let list = cluster.helm(&["list", "-A"]).await?;
    output(&list);
    for environment in example::ENVIRONMENTS {
        let release = example::release(environment);
        ensure!(list.lines().any(|line| line.starts_with(&release)), "helm does not know the release {release}");
    }
    command("helm history bookshop-dev -n bookshop-dev");
    output(&cluster.helm(&["history", "bookshop-dev", "-n", "bookshop-dev"]).await?);
    Ok(())
}

/// The messages that Slack's stand-in took.
pub(super) async fn what_slack_got(stage: &Stage) -> anyhow::Result<()> {
    heading("Slack was told");
    // Dev, stage, and dev again; where pods do not run, nothing is ever done and nothing is told.
    let expected = if stage.pods_run { 3 } else { 0 };
    for message in stage.servers.slack.wait_messages(expected, LIMIT).await? {
        output(&words(&message));
    }
    Ok(())
}

/// What a person reads: the message's own text, or that of its blocks.
fn words(message: &Value) -> String {
    if let Some(text) = message["text"].as_str() {
        return text.to_owned();
    }
    let blocks = message["blocks"].as_array().into_iter().flatten();
    blocks.filter_map(|block| block["text"]["text"].as_str()).collect::<Vec<_>>().join("\n")
}

/// The command line's view.
pub(super) async fn what_status_says(stage: &Stage) -> anyhow::Result<()> {
    heading("And tagboat itself says");
    let address = stage.controller.api_url();
    command(&format!("tagboat status --address {address}"));
    let mut status = tokio::process::Command::new(&stage.binary);
    status.args(["status", "--address", &address]).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let result = tokio::time::timeout(STATUS, status.output()).await.context("tagboat status does not end")??;
    ensure!(result.status.success(), "tagboat status failed: {}", String::from_utf8_lossy(&result.stderr).trim_end());
    output(&String::from_utf8_lossy(&result.stdout));
    Ok(())
}

/// Where everything is, for whoever wants to go on.
pub(super) fn addresses(stage: &Stage) {
    heading("It stays up until Ctrl-C");
    let servers = &stage.servers;
    tell(&format!("  export KUBECONFIG={}", servers.cluster.kubeconfig_path().display()));
    tell(&format!("  export PATH=\"{}:$PATH\"   # kubectl and helm", workspace::components().display()));
    tell(&format!("  git clone {}", servers.git.url(&servers.repository)));
    tell(&format!("  {} status --address {}", stage.binary.display(), stage.controller.api_url()));
    tell(&format!("  registry   {}  (the example calls it {})", servers.registry.url(), example::REGISTRY));
    tell(&format!("  charts     {}  (the example calls it {})", servers.charts.url(), example::CHARTS));
    tell(&format!("  metrics    {}/metrics", stage.controller.probes_url()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_is_its_text_or_that_of_its_blocks() {
        assert_eq!(words(&json!({ "text": "deployed", "blocks": [] })), "deployed");
        let blocks = json!({ "blocks": [{ "type": "divider" }, { "text": { "type": "mrkdwn", "text": "done" } }] });
        assert_eq!(words(&blocks), "done");
    }
}
