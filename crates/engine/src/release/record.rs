//! The record that a release leaves: Helm's JSON, made and changed.

use crate::ports::{ReleaseRecord, Rendered, RenderedHook};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The revision that Tagboat wrote. Helm copies labels to the next revision, so it counts only where it names its own.
const WRITER: &str = "tagboat.dev/writer";
/// The digest of what a revision was made from, its number included, for the same reason.
const INPUTS: &str = "tagboat.dev/inputs";
/// How much of the digest fits into a label and is enough to tell inputs apart.
const INPUTS_LENGTH: usize = 40;

/// What a revision is made from; two revisions with equal inputs are the same release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    digest: String,
}

impl Inputs {
    /// The inputs of a chart archive, by its digest, and the user's values.
    pub fn new(chart: &str, values: &Value, namespace: &str, release: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [chart, &canonical(values), namespace, release] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self { digest: hex(&hash.finalize()) }
    }

    /// Whether a record was made by Tagboat from these inputs.
    pub fn made(&self, record: &ReleaseRecord) -> bool {
        record.labels.get(INPUTS).is_some_and(|found| *found == self.at(record.version))
    }

    /// The labels of a revision that is made from these inputs.
    pub fn labels(&self, revision: u64) -> BTreeMap<String, String> {
        BTreeMap::from([(WRITER.to_owned(), revision.to_string()), (INPUTS.to_owned(), self.at(revision))])
    }

    fn at(&self, revision: u64) -> String {
        let mut hash = Sha256::new();
        hash.update(revision.to_be_bytes());
        hash.update(&self.digest);
        hex(&hash.finalize()).chars().take(INPUTS_LENGTH).collect()
    }
}

/// Whether Tagboat wrote a record.
pub fn is_ours(record: &ReleaseRecord) -> bool {
    record.labels.get(WRITER).is_some_and(|found| *found == record.version.to_string())
}

/// JSON with the keys of all maps in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let parts: Vec<String> = sorted
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a new record is made from.
#[derive(Debug, Clone)]
pub(super) struct Draft<'a> {
    /// The release's name.
    pub(super) release: &'a str,
    /// Its namespace.
    pub(super) namespace: &'a str,
    /// The revision.
    pub(super) revision: u64,
    /// Whether it is an upgrade.
    pub(super) upgrade: bool,
    /// The user's values.
    pub(super) values: &'a Value,
    /// What was rendered.
    pub(super) rendered: &'a Rendered,
    /// When the release was first deployed; `None` means now.
    pub(super) first_deployed: Option<Value>,
    /// Labels of the revision before, which Helm hands on.
    pub(super) labels: &'a BTreeMap<String, String>,
    /// The inputs.
    pub(super) inputs: &'a Inputs,
    /// The time of the attempt.
    pub(super) now: Timestamp,
}

impl Draft<'_> {
    /// The record, pending.
    pub(super) fn record(&self) -> ReleaseRecord {
        let status = if self.upgrade { "pending-upgrade" } else { "pending-install" };
        let description = if self.upgrade { "Preparing upgrade" } else { "Initial install underway" };
        let now = json!(self.now.to_string());
        let mut info = json!({
            "first_deployed": self.first_deployed.clone().unwrap_or_else(|| now.clone()),
            "last_deployed": now,
            "description": description,
            "status": status,
        });
        if !self.rendered.notes.is_empty() {
            info["notes"] = json!(self.rendered.notes);
        }
        let mut body = json!({
            "name": self.release,
            "info": info,
            "chart": self.rendered.chart,
            "version": self.revision,
            "namespace": self.namespace,
            "apply_method": "ssa",
        });
        // Helm leaves out what is empty.
        if self.values.as_object().is_some_and(|values| !values.is_empty()) {
            body["config"] = self.values.clone();
        }
        if !self.rendered.manifest.is_empty() {
            body["manifest"] = json!(self.rendered.manifest);
        }
        if !self.rendered.hooks.is_empty() {
            body["hooks"] = self.rendered.hooks.iter().map(hook).collect();
        }
        let mut labels = self.labels.clone();
        labels.extend(self.inputs.labels(self.revision));
        ReleaseRecord {
            name: self.release.to_owned(),
            namespace: self.namespace.to_owned(),
            version: self.revision,
            status: status.to_owned(),
            labels,
            modified: Some(self.now),
            body,
        }
    }
}

fn hook(hook: &RenderedHook) -> Value {
    let mut body = Map::new();
    for (key, text) in [("name", &hook.name), ("kind", &hook.kind), ("path", &hook.path), ("manifest", &hook.manifest)]
    {
        if !text.is_empty() {
            body.insert(key.to_owned(), json!(text));
        }
    }
    let lists = [
        ("events", &hook.events),
        ("delete_policies", &hook.delete_policies),
        ("output_log_policies", &hook.output_log_policies),
    ];
    for (key, list) in lists {
        if !list.is_empty() {
            body.insert(key.to_owned(), json!(list));
        }
    }
    if hook.weight != 0 {
        body.insert("weight".to_owned(), json!(hook.weight));
    }
    body.insert("last_run".to_owned(), json!({"phase": ""}));
    Value::Object(body)
}

/// Sets a record's status in both places, its description, and the time of its change.
pub(super) fn set_status(record: &mut ReleaseRecord, status: &str, description: Option<&str>, now: Timestamp) {
    record.status = status.to_owned();
    record.modified = Some(now);
    if let Some(info) = record.body.get_mut("info").and_then(Value::as_object_mut) {
        info.insert("status".to_owned(), json!(status));
        if let Some(description) = description {
            info.insert("description".to_owned(), json!(description));
        }
    }
}

/// How a hook's run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookPhase {
    /// Begun.
    Running,
    /// Done.
    Succeeded,
    /// Failed.
    Failed,
}

/// Notes in a record how the run of a hook stands; hooks are told apart by template and name.
pub(super) fn set_hook_run(record: &mut ReleaseRecord, path: &str, name: &str, phase: HookPhase, now: Timestamp) {
    let hooks = record.body.get_mut("hooks").and_then(Value::as_array_mut);
    let found = hooks.into_iter().flatten().filter(|hook| {
        hook.get("path").and_then(Value::as_str) == Some(path) && hook.get("name").and_then(Value::as_str) == Some(name)
    });
    for hook in found {
        let time = json!(now.to_string());
        match phase {
            HookPhase::Running => {
                hook["last_run"] = json!({"started_at": time, "phase": "Running"});
                // Helm notes its default where a hook that it runs says nothing.
                if hook.get("delete_policies").is_none() {
                    hook["delete_policies"] = json!(["before-hook-creation"]);
                }
            }
            HookPhase::Succeeded | HookPhase::Failed => {
                hook["last_run"]["completed_at"] = time;
                hook["last_run"]["phase"] = json!(if phase == HookPhase::Failed { "Failed" } else { "Succeeded" });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered() -> Rendered {
        Rendered {
            manifest: "---\n# Source: a\n".to_owned(),
            objects: Vec::new(),
            hooks: vec![RenderedHook {
                name: "migrate".to_owned(),
                kind: "Job".to_owned(),
                path: "a/hooks.yaml".to_owned(),
                manifest: "kind: Job".to_owned(),
                object: json!({}),
                events: vec!["pre-install".to_owned()],
                weight: 0,
                delete_policies: Vec::new(),
                output_log_policies: Vec::new(),
            }],
            crds: Vec::new(),
            notes: String::new(),
            chart: json!({"metadata": {"name": "a"}}),
        }
    }

    fn draft(values: &Value) -> ReleaseRecord {
        let inputs = Inputs::new("sha256:c", values, "ns", "voice");
        Draft {
            release: "voice",
            namespace: "ns",
            revision: 2,
            upgrade: true,
            values,
            rendered: &rendered(),
            first_deployed: Some(json!("2020-01-01T00:00:00Z")),
            labels: &BTreeMap::from([("team".to_owned(), "web".to_owned()), (WRITER.to_owned(), "1".to_owned())]),
            inputs: &inputs,
            now: "2026-06-01T12:00:00Z".parse().unwrap(),
        }
        .record()
    }

    #[test]
    fn a_record_is_made_as_helm_makes_it() {
        let record = draft(&json!({}));
        assert!(record.body.get("config").is_none(), "empty values are left out");
        assert_eq!(record.body["info"]["first_deployed"], "2020-01-01T00:00:00Z");
        assert_eq!(record.body["hooks"][0]["last_run"], json!({"phase": ""}));
        assert_eq!((record.labels["team"].as_str(), record.labels[WRITER].as_str()), ("web", "2"));
        assert!(is_ours(&record));
    }

    #[test]
    fn labels_that_helm_copied_do_not_count() {
        let values = json!({"b": 1, "a": {"y": 1, "x": 2}});
        let mut record = draft(&values);
        let inputs = Inputs::new("sha256:c", &json!({"a": {"x": 2, "y": 1}, "b": 1}), "ns", "voice");
        assert!(inputs.made(&record), "the order of keys does not matter");
        assert!(!Inputs::new("sha256:d", &values, "ns", "voice").made(&record));
        record.version = 3;
        assert!(!inputs.made(&record) && !is_ours(&record));
    }

    #[test]
    fn a_hooks_run_is_noted() {
        let mut record = draft(&json!({}));
        let now: Timestamp = "2026-06-01T12:00:01Z".parse().unwrap();
        set_hook_run(&mut record, "a/hooks.yaml", "migrate", HookPhase::Running, now);
        set_hook_run(&mut record, "a/hooks.yaml", "migrate", HookPhase::Succeeded, now);
        let run = &record.body["hooks"][0]["last_run"];
        assert_eq!((&run["phase"], run["started_at"].is_string()), (&json!("Succeeded"), true));
        set_status(&mut record, "deployed", Some("Upgrade complete"), now);
        assert_eq!((record.status.as_str(), &record.body["info"]["status"]), ("deployed", &json!("deployed")));
    }
}
