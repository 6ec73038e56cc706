//! The controller's status, as the demo and the bench read it: plain JSON, from outside.

use std::time::{Duration, Instant};

use anyhow::bail;
use jiff::Timestamp;
use serde_json::Value;
use tagboat_testkit::Controller;

/// The steps of a change, in their order, as the status names them.
pub(crate) const STEPS: [&str; 6] = ["pushed", "seen", "committed", "applied", "released", "healthy"];

const POLL: Duration = Duration::from_millis(20);

/// One workload.
pub(crate) fn item<'a>(status: &'a Value, workload: &str) -> Option<&'a Value> {
    status["items"].as_array()?.iter().find(|item| item["workload"] == workload)
}

/// A text in it; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// When a step of a workload's newest change was done.
pub(crate) fn step(item: &Value, step: &str) -> Option<Timestamp> {
    text(item, &format!("/change/timeline/{step}")).parse().ok()
}

/// Whether a workload's newest change is to an image with this tag.
pub(crate) fn changes_to(item: &Value, tag: &str) -> bool {
    text(item, "/change/to").rsplit_once(':').is_some_and(|(_, found)| found == tag)
}

/// Asks until `look` finds what it looks for.
pub(crate) async fn until<T>(
    controller: &Controller,
    what: &str,
    limit: Duration,
    look: impl Fn(&Value) -> Option<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        let seen = match controller.status().await {
            Ok(status) => match look(&status) {
                Some(found) => return Ok(found),
                None => summary(&status),
            },
            Err(error) => error.to_string(),
        };
        if started.elapsed() > limit {
            bail!("{what}: this did not happen within {} s; the status was last:\n{seen}", limit.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A line for each source that has an error and for each workload.
fn summary(status: &Value) -> String {
    let mut lines = Vec::new();
    for source in status["sources"].as_array().into_iter().flatten() {
        if let Some(error) = source["error"].as_str() {
            lines.push(format!("  source {}: {error}", text(source, "/name")));
        }
    }
    for item in status["items"].as_array().into_iter().flatten() {
        let release = item.get("release").map_or_else(String::new, |release| {
            format!(" (release {}: {})", text(release, "/phase"), text(release, "/message"))
        });
        lines.push(format!(
            "  {} is {}: {}{release}",
            text(item, "/workload"),
            text(item, "/state"),
            text(item, "/because")
        ));
    }
    if lines.is_empty() { "  no workload is known".to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_read_by_workload_and_summed_up_for_an_error() {
        let status = json!({
            "sources": [{ "name": "infrastructure", "error": "could not fetch" }],
            "items": [{
                "workload": "dev:helmrelease/shop", "state": "releasing", "because": "applied",
                "release": { "phase": "Deploying", "message": "waiting" },
                "change": { "to": "r.example.com/shop:main-1", "timeline": { "seen": "2026-03-09T14:05:12.250Z" } },
            }],
        });
        let found = item(&status, "dev:helmrelease/shop").unwrap();
        assert!(changes_to(found, "main-1") && !changes_to(found, "main-2") && !changes_to(found, "1"));
        assert_eq!(step(found, "seen").unwrap().subsec_millisecond(), 250);
        assert_eq!(step(found, "committed"), None);
        let lines = summary(&status);
        assert!(lines.contains("source infrastructure: could not fetch"), "{lines}");
        assert!(lines.contains("dev:helmrelease/shop is releasing: applied (release Deploying: waiting)"), "{lines}");
    }
}
