//! Who owns which field of a live object, by its `managedFields`, and what that means for an apply (D6, D8).
//!
//! | manager | by apply | by update |
//! |---|---|---|
//! | ourselves (`tagboat`, `helm`) | ours | ours |
//! | predecessor (`kubectl apply`, Flux; for releases also Helm 3, helm-operator) | moved to us | moved to us |
//! | through the `scale` subresource | – | left to them |
//! | any other | left to them, with a warning | taken over where it conflicts |

use serde_json::{Map, Value, json};
use tagboat_engine::ports::FieldManager;

use crate::fields::{plain_paths, union};

/// What `kubectl apply` writes down on the object; only such objects were applied by an old `kubectl`.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Writers by `kubectl apply` in its various ages, and Flux, whose fields are moved to whoever applies.
const APPLIED: &[&str] = &["kubectl-client-side-apply", "kubectl-last-applied", "flux", "fluxd"];
/// Those whose releases Tagboat continues.
const RELEASED: &[&str] = &["helm", "helm-operator"];

/// One entry of `managedFields`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) manager: &'a str,
    pub(crate) applies: bool,
    pub(crate) subresource: &'a str,
    pub(crate) fields: &'a Value,
}

/// The owners of a live object.
pub(crate) fn owners(live: &Value) -> impl Iterator<Item = Owner<'_>> {
    live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten().map(owner)
}

fn owner(entry: &Value) -> Owner<'_> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    Owner {
        manager: text("manager"),
        applies: text("operation") == "Apply",
        subresource: text("subresource"),
        fields: entry.get("fieldsV1").unwrap_or(&Value::Null),
    }
}

/// Whether somebody's fields are moved to `to` when it takes an object over.
fn is_predecessor(owner: &Owner<'_>, to: FieldManager, was_applied: bool) -> bool {
    if !owner.subresource.is_empty() {
        return false;
    }
    APPLIED.contains(&owner.manager)
        // `kubectl apply --server-side`; and before Kubernetes 1.19 plain `kubectl apply` had this name, too.
        || (owner.manager == "kubectl" && (owner.applies || was_applied))
        || (to == FieldManager::Release && !owner.applies && RELEASED.contains(&owner.manager))
}

/// The `managedFields` after a take-over; `None` where there is nothing to take over.
///
/// All fields of predecessors go into our own entry, so that the next apply removes those that are no longer desired.
pub(crate) fn taken_over(live: &Value, to: FieldManager) -> Option<Value> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let was_applied = live.pointer("/metadata/annotations").and_then(|all| all.get(LAST_APPLIED)).is_some();
    let (theirs, mut kept): (Vec<&Value>, Vec<&Value>) =
        entries.iter().partition(|entry| is_predecessor(&owner(entry), to, was_applied));
    let newest = theirs.last()?;
    let ours = kept.iter().position(|entry| {
        let owner = owner(entry);
        owner.manager == to.name() && owner.applies && owner.subresource.is_empty()
    });
    let mut entry = match ours {
        Some(index) => kept.remove(index).clone(),
        None => json!({
            "manager": to.name(),
            "operation": "Apply",
            "apiVersion": newest.get("apiVersion"),
            "time": newest.get("time"),
            "fieldsType": "FieldsV1",
        }),
    };
    let mut fields = entry.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default();
    for their in &theirs {
        if let Some(more) = their.get("fieldsV1").and_then(Value::as_object) {
            union(&mut fields, more);
        }
    }
    entry["fieldsV1"] = Value::Object(fields);
    Some(kept.into_iter().cloned().chain([entry]).collect())
}

/// Fields that were written through the `scale` subresource (autoscalers, `kubectl scale`), and by whom.
pub(crate) fn scaled(live: &Value) -> Vec<(String, String)> {
    owners(live)
        .filter(|owner| owner.subresource == "scale")
        .flat_map(|owner| plain_paths(owner.fields).into_iter().map(|path| (path, owner.manager.to_owned())))
        .collect()
}

/// Whose a conflicting field is, from a conflict's message:
/// `conflict with "kubectl" with subresource "scale" using apps/v1`. Without `using` it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) manager: String,
    pub(crate) applies: bool,
    pub(crate) subresource: Option<String>,
}

impl Holder {
    pub(crate) fn read(message: &str) -> Option<Self> {
        let (manager, rest) = quoted(message.strip_prefix("conflict with ")?)?;
        let (subresource, rest) = match rest.strip_prefix(" with subresource ").and_then(quoted) {
            Some((subresource, rest)) => (Some(subresource), rest),
            None => (None, rest),
        };
        Some(Self { manager, applies: !rest.starts_with(" using "), subresource })
    }

    /// Whether a field of theirs is left to them.
    pub(crate) fn keeps(&self) -> bool {
        self.subresource.is_some()
            || (self.applies && !APPLIED.contains(&self.manager.as_str()) && self.manager != "kubectl")
    }
}

/// Reads a Go-quoted string at the beginning of a text.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = stream.next()?.ok()?;
    Some((value, text.get(stream.byte_offset()..)?))
}

/// Which annotations of a live object a person set (D6), among those that `wanted` names.
pub(crate) fn set_by_person(
    managed_fields: &Value,
    annotations: &Map<String, Value>,
    wanted: impl Fn(&str) -> bool,
) -> std::collections::BTreeSet<String> {
    let mut keys = std::collections::BTreeSet::new();
    for owner in managed_fields.as_array().into_iter().flatten().map(owner) {
        if !owner.subresource.is_empty() || is_ours_or_predecessors(&owner) {
            continue;
        }
        let owned = owner.fields.pointer("/f:metadata/f:annotations").and_then(Value::as_object);
        for key in owned.into_iter().flatten().filter_map(|(field, _)| field.strip_prefix("f:")) {
            // An old `kubectl` has one name for `apply` and `annotate`; what it applied, it also wrote down.
            let applied = owner.manager == "kubectl" && was_applied_so(annotations, key);
            if wanted(key) && annotations.contains_key(key) && !applied {
                keys.insert(key.to_owned());
            }
        }
    }
    keys
}

fn is_ours_or_predecessors(owner: &Owner<'_>) -> bool {
    APPLIED.contains(&owner.manager)
        || RELEASED.contains(&owner.manager)
        || [FieldManager::Mirror.name(), FieldManager::Release.name()].contains(&owner.manager)
        || matches!(owner.manager, "before-first-apply" | "helm-controller" | "kustomize-controller")
        || (owner.manager == "kubectl" && owner.applies)
}

fn was_applied_so(annotations: &Map<String, Value>, key: &str) -> bool {
    let last =
        annotations.get(LAST_APPLIED).and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let last = last.as_ref().and_then(|last| last.pointer("/metadata/annotations")?.get(key));
    last.is_some() && last == annotations.get(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn entry(manager: &str, operation: &str, subresource: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "subresource": subresource, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn live(entries: Vec<Value>, annotations: Value) -> Value {
        json!({"metadata": {"annotations": annotations, "managedFields": entries}})
    }

    fn annotation(key: &str) -> Value {
        json!({"f:metadata": {"f:annotations": {format!("f:{key}"): {}}}})
    }

    #[rstest]
    #[case("conflict with \"other\"", "other", true, None)]
    #[case("conflict with \"kubectl-edit\" using apps/v1", "kubectl-edit", false, None)]
    #[case("conflict with \"kubectl\" with subresource \"scale\" using apps/v1", "kubectl", false, Some("scale"))]
    #[case("conflict with \"a\\\"b\" using apps/v1 at 2020-01-01T00:00:00Z", "a\"b", false, None)]
    fn holders_are_read_from_messages(
        #[case] message: &str,
        #[case] manager: &str,
        #[case] applies: bool,
        #[case] subresource: Option<&str>,
    ) {
        let holder = Holder::read(message).unwrap();
        assert_eq!(holder, Holder { manager: manager.into(), applies, subresource: subresource.map(str::to_owned) });
    }

    #[test]
    fn predecessors_fields_become_ours() {
        let live = live(
            vec![
                entry("kubectl-client-side-apply", "Update", "", json!({"f:data": {"f:a": {}}})),
                entry("controller", "Update", "", json!({"f:data": {"f:x": {}}})),
                entry("tagboat", "Apply", "", json!({"f:data": {"f:b": {}}})),
                entry("kubectl-client-side-apply", "Update", "status", json!({"f:status": {}})),
            ],
            json!({}),
        );
        let after = taken_over(&live, FieldManager::Mirror).unwrap();
        let names: Vec<&str> =
            after.as_array().unwrap().iter().map(|entry| entry["manager"].as_str().unwrap()).collect();
        assert_eq!(names, ["controller", "kubectl-client-side-apply", "tagboat"]);
        assert_eq!(after[2]["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}}}));
    }

    #[test]
    fn only_a_release_takes_over_from_helm() {
        let live = live(vec![entry("helm", "Update", "", json!({"f:data": {}}))], json!({}));
        assert_eq!(taken_over(&live, FieldManager::Mirror), None);
        let after = taken_over(&live, FieldManager::Release).unwrap();
        assert_eq!((&after[0]["manager"], &after[0]["operation"]), (&json!("helm"), &json!("Apply")));
    }

    #[rstest]
    #[case("kubectl-annotate", "Update", true)]
    #[case("kubectl-edit", "Update", true)]
    #[case("Mozilla", "Update", true)]
    #[case("kubectl-client-side-apply", "Update", false)]
    #[case("kubectl", "Apply", false)]
    #[case("tagboat", "Apply", false)]
    #[case("flux", "Update", false)]
    #[case("helm-operator", "Update", false)]
    fn persons_are_told_from_machines(#[case] manager: &str, #[case] operation: &str, #[case] person: bool) {
        let live = live(
            vec![entry(manager, operation, "", annotation("fluxcd.io/automated"))],
            json!({"fluxcd.io/automated": "false"}),
        );
        let annotations = live["metadata"]["annotations"].as_object().unwrap();
        let keys = set_by_person(&live["metadata"]["managedFields"], annotations, |_| true);
        assert_eq!(!keys.is_empty(), person);
    }

    #[rstest]
    #[case("true", false)]
    #[case("false", true)]
    fn an_old_kubectl_is_a_person_where_it_did_not_apply(#[case] live_value: &str, #[case] person: bool) {
        let key = "fluxcd.io/automated";
        let last = json!({"metadata": {"annotations": {key: "true"}}}).to_string();
        let object =
            live(vec![entry("kubectl", "Update", "", annotation(key))], json!({key: live_value, LAST_APPLIED: last}));
        let annotations = object["metadata"]["annotations"].as_object().unwrap();
        assert_eq!(set_by_person(&object["metadata"]["managedFields"], annotations, |_| true).contains(key), person);
    }
}
