//! The object as it is sent: what is left out of it, and how it is normalised until server-side apply can read it.

use std::collections::BTreeSet;

use serde_json::Value;
use tagboat_engine::mirror::without_bookkeeping;
use tagboat_engine::ports::{Apply, FieldManager, ObjectRef};

use crate::error::{Refusal, SchemaFault};
use crate::fields;
use crate::ownership::{Holder, scaled};

/// How many warnings of one apply are kept.
const MAX_WARNINGS: usize = 50;

/// Fields that only the API server writes. An exported manifest may carry them; sent along they would fail the apply.
const SERVER_OWNED: &[&str] =
    &["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];

/// Lists in which the API server's own validation refuses two entries with one key: dropping one would hide a mistake.
const MUST_BE_UNIQUE: &[&str] =
    &["containers", "initContainers", "ephemeralContainers", "volumes", "volumeMounts", "volumeDevices"];

/// An object on its way to the API server.
pub(crate) struct Desired {
    pub(crate) object: Value,
    warnings: Vec<String>,
    more_warnings: usize,
}

impl Desired {
    /// The object of an apply, without what is left out from the start.
    pub(crate) fn new(apply: &Apply) -> Self {
        let mut desired = Self { object: apply.object.clone(), warnings: Vec::new(), more_warnings: 0 };
        desired.drop_server_owned();
        desired.leave_annotations(&apply.leave_annotations);
        desired
    }

    fn drop_server_owned(&mut self) {
        let Some(metadata) = self.object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        let mut dropped = Vec::new();
        for key in SERVER_OWNED {
            // `creationTimestamp: null` stands in everything that Go programs print; it is not worth a word.
            if metadata.remove(*key).is_some_and(|value| !value.is_null()) {
                dropped.push(*key);
            }
        }
        for key in dropped {
            self.warn(format!("metadata.{key} belongs to the API server and was left out"));
        }
    }

    fn leave_annotations(&mut self, keys: &BTreeSet<String>) {
        let Some(metadata) = self.object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
        annotations.retain(|key, _| !keys.contains(key));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }

    /// Leaves out what was written through the `scale` subresource of the live object.
    pub(crate) fn leave_scaled(&mut self, live: &Value) {
        for (path, manager) in scaled(live) {
            if fields::remove(&mut self.object, &path) {
                self.warn(format!("{path} was left out: {manager:?} owns it through the scale subresource"));
            }
        }
    }

    /// Makes the object such that the next try gets past what server-side apply refused; `false` where that cannot be.
    ///
    /// Any other way of writing drops undeclared fields, and takes two entries with one key, of which the last counts.
    pub(crate) fn normalise(&mut self, fault: &SchemaFault) -> bool {
        match fault {
            SchemaFault::Undeclared { path } => {
                let removed = fields::remove(&mut self.object, path);
                if removed {
                    self.warn(format!("{path} is not a field of this kind and was left out"));
                }
                removed
            }
            SchemaFault::Duplicate { path, key } => {
                let list = fields::last_key(path);
                // A Service's ports must differ; a container's need not.
                let service_ports = path == ".spec.ports";
                if MUST_BE_UNIQUE.contains(&list) || service_ports {
                    return false;
                }
                let dropped = fields::keep_last(&mut self.object, path, key);
                if dropped > 0 {
                    self.warn(format!("{path} has {} entries with key {key}: the last one counts", dropped + 1));
                }
                dropped > 0
            }
            SchemaFault::Other => false,
        }
    }

    /// After conflicts: leaves to others what they may keep. Says whether what remains is to be taken by force; `None`
    /// where the conflicts cannot be understood.
    pub(crate) fn settle(&mut self, refusal: &Refusal) -> Option<bool> {
        let conflicts: Vec<_> = refusal.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict").collect();
        if conflicts.is_empty() {
            return None;
        }
        let mut force = false;
        for conflict in conflicts {
            let holder = Holder::read(&conflict.message)?;
            if !holder.keeps() {
                force = true;
                continue;
            }
            if !fields::remove(&mut self.object, &conflict.field) {
                return None;
            }
            let through =
                holder.subresource.map_or_else(String::new, |name| format!(" through the {name} subresource"));
            self.warn(format!("{} was left out: {:?} applies it{through}", conflict.field, holder.manager));
        }
        Some(force)
    }

    /// Adds a warning, unless it is there already.
    pub(crate) fn warn(&mut self, text: String) {
        if self.warnings.contains(&text) {
            return;
        }
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(text);
        } else {
            self.more_warnings += 1;
        }
    }

    /// All warnings, ending with the number of those that were not kept.
    pub(crate) fn into_warnings(self) -> Vec<String> {
        let mut warnings = self.warnings;
        if self.more_warnings > 0 {
            warnings.push(format!("… and {} more warnings", self.more_warnings));
        }
        warnings
    }
}

/// Whether an apply by `manager` changed anything but bookkeeping and status, by what was there before and after it.
///
/// Controllers may write between the two readings (a Deployment's revision, say). So where the kind counts generations,
/// a difference is ours only if with it the generation or our own entry of `managedFields` (which has a time) changed.
pub(crate) fn changed(before: &Value, after: &Value, manager: FieldManager) -> bool {
    if without_bookkeeping(before) == without_bookkeeping(after) {
        return false;
    }
    let generation = |object: &Value| object.pointer("/metadata/generation").and_then(Value::as_i64);
    let ours = |object: &Value| {
        let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array)?;
        let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_ours = |entry: &&Value| text(entry, "manager") == manager.name() && text(entry, "operation") == "Apply";
        entries.iter().find(is_ours).cloned()
    };
    generation(after).is_none() || generation(before) != generation(after) || ours(before) != ours(after)
}

/// How an object is named in texts; also one that lacks half of its name.
pub(crate) fn name_of(object: &Value) -> String {
    match ObjectRef::of(object) {
        Some(id) => crate::error::plain(&id.to_string()),
        None => "an object without apiVersion, kind or name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn desired(object: Value) -> Desired {
        Desired::new(&Apply {
            object,
            manager: FieldManager::Mirror,
            run_as: None,
            leave_annotations: BTreeSet::from(["a/b".to_owned()]),
            dry_run: false,
        })
    }

    #[test]
    fn server_owned_fields_and_left_annotations_are_not_sent() {
        let desired = desired(
            json!({"metadata": {"name": "x", "uid": "1", "creationTimestamp": null, "annotations": {"a/b": "1"}}}),
        );
        assert_eq!(desired.object, json!({"metadata": {"name": "x"}}));
        assert_eq!(desired.into_warnings(), ["metadata.uid belongs to the API server and was left out"]);
    }

    #[test]
    fn duplicates_that_validation_refuses_are_not_hidden() {
        let mut pod = desired(
            json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}], "imagePullSecrets": [{"name": "a"}, {"name": "a"}]}}),
        );
        let fault = |path: &str| SchemaFault::Duplicate { path: path.into(), key: "[name=\"a\"]".into() };
        assert!(!pod.normalise(&fault(".spec.containers")));
        assert!(pod.normalise(&fault(".spec.imagePullSecrets")));
        assert_eq!(pod.object["spec"]["imagePullSecrets"], json!([{"name": "a"}]));
    }

    #[test]
    fn warnings_are_bounded() {
        let mut desired = desired(json!({}));
        for number in 0..60 {
            desired.warn(format!("w{number}"));
        }
        let warnings = desired.into_warnings();
        assert_eq!((warnings.len(), warnings.last().unwrap().as_str()), (51, "… and 10 more warnings"));
    }

    #[test]
    fn status_bookkeeping_and_others_writes_are_no_change() {
        let mirror = FieldManager::Mirror;
        let before =
            json!({"metadata": {"resourceVersion": "1", "managedFields": []}, "spec": {"a": 1}, "status": {"b": 1}});
        let after = json!({"metadata": {"resourceVersion": "2"}, "spec": {"a": 1}, "status": {"b": 2}});
        assert!(!changed(&before, &after, mirror));
        assert!(changed(&before, &json!({"metadata": {}, "spec": {"a": 2}}), mirror));

        let counted = |revision: &str, generation: i64, time: &str| {
            let entry = json!({"manager": "tagboat", "operation": "Apply", "time": time});
            json!({"metadata": {"generation": generation, "annotations": {"revision": revision}, "managedFields": [entry]}})
        };
        assert!(!changed(&counted("1", 1, "t1"), &counted("2", 1, "t1"), mirror));
        assert!(changed(&counted("1", 1, "t1"), &counted("2", 1, "t2"), mirror));
        assert!(changed(&counted("1", 1, "t1"), &counted("2", 2, "t1"), mirror));
    }
}
