//! A tag is pushed, and followed until it runs: by the timeline, the commit and the live object.

use anyhow::{Context, ensure};
use jiff::Timestamp;
use serde_json::Value;

use super::tell::{output, tell};
use super::{LIMIT, Stage};
use crate::example;
use crate::status::{self, STEPS};

/// Pushes a tag, waits until the environment runs it and shows how it came there.
pub(super) async fn push_and_follow(stage: &Stage, environment: &str, tag: &str) -> anyhow::Result<()> {
    tell(&format!("  pushing {}/{}:{tag}", example::REGISTRY, example::IMAGE));
    stage.servers.push(tag).await?;
    follow(stage, environment, tag).await
}

/// Waits until the environment runs a tag that was pushed and shows how it came there.
pub(super) async fn follow(stage: &Stage, environment: &str, tag: &str) -> anyhow::Result<()> {
    let workload = example::workload(environment);
    let last = stage.last_step();
    let item = status::until(&stage.controller, &format!("{workload} runs {tag}"), LIMIT, |found| {
        let item = status::item(found, &workload)?;
        // A release may be done before the pass of the mirror that began it says that it has ended.
        let complete = steps_to(last).all(|step| status::step(item, step).is_some());
        (status::changes_to(item, tag) && complete).then(|| item.clone())
    })
    .await?;
    output(&timeline(&item, last)?);
    show_commit(stage, status::text(&item, "/change/revision"))?;
    let live = stage.servers.live_image(environment).await?;
    ensure!(live.ends_with(&format!(":{tag}")), "the Deployment of {environment} was to run {tag}, and has {live}");
    tell(&format!("  the Deployment in bookshop-{environment} has {live}"));
    Ok(())
}

/// The steps as a table: when, and how long after the push. A step that is missing is an error: the way has no gaps.
fn timeline(item: &Value, last: &str) -> anyhow::Result<String> {
    let pushed = status::step(item, STEPS[0]).context("the timeline has no time of the push")?;
    let mut lines = Vec::new();
    for step in steps_to(last) {
        let time = status::step(item, step).with_context(|| format!("the timeline has no {step:?}"))?;
        lines.push(line(step, pushed, time));
    }
    Ok(lines.join("\n"))
}

/// The steps up to this one.
fn steps_to(last: &str) -> impl Iterator<Item = &'static str> {
    let count = STEPS.iter().position(|step| *step == last).map_or(STEPS.len(), |place| place + 1);
    STEPS.into_iter().take(count)
}

fn line(step: &str, pushed: Timestamp, time: Timestamp) -> String {
    let after = time.duration_since(pushed).as_millis();
    format!("{step:10} {}  {:>9}", time.strftime("%H:%M:%S%.3f"), format!("+{after} ms"))
}

/// The commit's subject and what it changed, which must be one line.
fn show_commit(stage: &Stage, revision: &str) -> anyhow::Result<()> {
    let repository = &stage.servers.repository;
    let commits = repository.commits("main")?;
    let commit = commits
        .iter()
        .find(|commit| commit.id == revision)
        .with_context(|| format!("the change's commit {revision} is not on the branch"))?;
    let subject = commit.message.lines().next().unwrap_or_default();
    tell(&format!("  commit {} by {}: {subject}", short(&commit.id), commit.author));
    let diff = repository.diff(&format!("{revision}^"), revision)?;
    let changed: Vec<_> = diff.lines().filter(|line| is_change(line)).collect();
    output(&changed.join("\n"));
    ensure!(changed.len() == 2, "the commit was to change one line, and its diff is:\n{diff}");
    Ok(())
}

/// A line of a diff that was removed or added; `---` and `+++` name the files.
fn is_change(line: &str) -> bool {
    (line.starts_with('-') && !line.starts_with("---")) || (line.starts_with('+') && !line.starts_with("+++"))
}

/// A commit's id as people write it.
pub(super) fn short(id: &str) -> &str {
    id.get(..7).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_timeline_has_every_step_with_milliseconds_since_the_push() {
        let mut item = json!({ "change": { "timeline": {
            "pushed": "2026-03-09T14:05:12.100Z", "seen": "2026-03-09T14:05:12.350Z",
            "committed": "2026-03-09T14:05:12.400Z", "applied": "2026-03-09T14:05:12.500Z",
            "released": "2026-03-09T14:05:13.100Z", "healthy": "2026-03-09T14:05:14.100Z",
        } } });
        let text = timeline(&item, "healthy").unwrap();
        assert_eq!(text.lines().count(), STEPS.len());
        assert_eq!(text.lines().nth(1).unwrap(), "seen       14:05:12.350    +250 ms");
        item["change"]["timeline"].as_object_mut().unwrap().remove("healthy");
        assert_eq!(timeline(&item, "released").unwrap().lines().count(), STEPS.len() - 1);
        assert!(timeline(&item, "healthy").unwrap_err().to_string().contains("healthy"));
    }

    #[test]
    fn a_diffs_file_names_are_no_changes() {
        let diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-image: a:1\n+image: a:2";
        assert_eq!(diff.lines().filter(|line| is_change(line)).count(), 2);
    }
}
