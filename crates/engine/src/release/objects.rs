//! The objects of a release: read, resolved, marked as the release's own, and told apart from others'.

use crate::ports::{Cluster, Fault, FaultKind, ObjectRef, RenderedObject, Scope};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tagboat_api::annotations::{
    HELM_RELEASE_NAME, HELM_RELEASE_NAMESPACE, HELM_RESOURCE_POLICY, MANAGED_BY_HELM, MANAGED_BY_LABEL,
};

/// One object of a release, ready to be applied.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prepared {
    /// Which one.
    pub(super) id: ObjectRef,
    /// The template that it came from.
    pub(super) source: String,
    /// The object, with its namespace.
    pub(super) object: Value,
}

impl Prepared {
    /// What stays the same when an object moves to another version of its API.
    pub(super) fn key(&self) -> ObjectKey {
        key(&self.id)
    }

    /// The object with the marks of a release's own, which are Helm's.
    pub(super) fn owned_by(&self, namespace: &str, release: &str) -> Value {
        let mut object = self.object.clone();
        set(&mut object, "labels", &[(MANAGED_BY_LABEL, MANAGED_BY_HELM)]);
        set(&mut object, "annotations", &[(HELM_RELEASE_NAME, release), (HELM_RELEASE_NAMESPACE, namespace)]);
        object
    }
}

/// Group, kind, namespace and name.
pub(super) type ObjectKey = (String, String, Option<String>, String);

/// The key of an object.
pub(super) fn key(id: &ObjectRef) -> ObjectKey {
    (id.group().to_owned(), id.kind.clone(), id.namespace.clone(), id.name.clone())
}

/// Reads rendered documents into objects. Lists are unwrapped, what has no kind in the cluster is an error that names
/// all such objects, and a namespaced object without a namespace gets the release's.
///
/// # Errors
/// An object is not one, or its kind is not served; the API server cannot be asked.
pub(super) async fn prepare(
    cluster: &dyn Cluster,
    rendered: &[RenderedObject],
    namespace: &str,
) -> Result<Vec<Prepared>, Fault> {
    let (prepared, unknown) = resolve(cluster, rendered, namespace).await?;
    if unknown.is_empty() {
        return Ok(prepared);
    }
    let lines: Vec<String> = unknown
        .iter()
        .map(|(id, source)| {
            format!("no matches for kind \"{}\" in version \"{}\" ({} from {source})", id.kind, id.api_version, id.name)
        })
        .collect();
    Err(Fault::new(
        FaultKind::Invalid,
        format!("unable to build kubernetes objects from release manifest: {}", lines.join("; ")),
    ))
}

/// Reads the documents of an older manifest. Kinds that are not served any more are passed over: nothing of them is left.
///
/// # Errors
/// The API server cannot be asked.
pub(super) async fn prepare_old(
    cluster: &dyn Cluster,
    rendered: &[RenderedObject],
    namespace: &str,
) -> Result<Vec<Prepared>, Fault> {
    Ok(resolve(cluster, rendered, namespace).await?.0)
}

async fn resolve(
    cluster: &dyn Cluster,
    rendered: &[RenderedObject],
    namespace: &str,
) -> Result<(Vec<Prepared>, Vec<(ObjectRef, String)>), Fault> {
    let mut found = Vec::new();
    for document in rendered {
        unwrap(&document.object, &document.source, &mut found)?;
    }
    let defined = defined_kinds(&found);
    let mut scopes: BTreeMap<(String, String), Option<Scope>> = BTreeMap::new();
    let mut prepared = Vec::new();
    let mut unknown = Vec::new();
    for (mut id, source, mut object) in found {
        let kind = (id.api_version.clone(), id.kind.clone());
        let scope = match scopes.get(&kind) {
            Some(scope) => *scope,
            None => {
                let served = cluster.scope(&kind.0, &kind.1).await?;
                let scope = served.or_else(|| defined.get(&(id.group().to_owned(), id.kind.clone())).copied());
                scopes.insert(kind, scope);
                scope
            }
        };
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        match scope {
            None => {
                unknown.push((id, source));
                continue;
            }
            Some(Scope::Cluster) => {
                id.namespace = None;
                metadata.map(|metadata| metadata.remove("namespace"));
            }
            Some(Scope::Namespaced) => {
                let own = id.namespace.take().filter(|own| !own.is_empty()).unwrap_or_else(|| namespace.to_owned());
                metadata.map(|metadata| metadata.insert("namespace".to_owned(), json!(own)));
                id.namespace = Some(own);
            }
        }
        prepared.push(Prepared { id, source, object });
    }
    Ok((prepared, unknown))
}

/// Kinds that the manifest itself defines: they are served by the time their objects are applied.
fn defined_kinds(found: &[(ObjectRef, String, Value)]) -> BTreeMap<(String, String), Scope> {
    found
        .iter()
        .filter(|(id, _, _)| id.kind == "CustomResourceDefinition")
        .filter_map(|(_, _, object)| {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            let scope = if text("/spec/scope") == Some("Cluster") { Scope::Cluster } else { Scope::Namespaced };
            Some(((text("/spec/group")?.to_owned(), text("/spec/names/kind")?.to_owned()), scope))
        })
        .collect()
}

fn unwrap(object: &Value, source: &str, found: &mut Vec<(ObjectRef, String, Value)>) -> Result<(), Fault> {
    // Only comments, or nothing.
    if object.is_null() || object.as_object().is_some_and(Map::is_empty) {
        return Ok(());
    }
    let bad = |reason: String| Err(Fault::new(FaultKind::Invalid, format!("an object from {source} {reason}")));
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(api_version), Some(kind)) = (text("/apiVersion"), text("/kind")) else {
        return bad("is not an object of Kubernetes: apiVersion or kind is missing".to_owned());
    };
    if let Some(items) = object.get("items").and_then(Value::as_array).filter(|_| kind.ends_with("List")) {
        return items.iter().try_for_each(|item| unwrap(item, source, found));
    }
    let Some(name) = text("/metadata/name") else {
        let generated = text("/metadata/generateName").is_some();
        let why = if generated { "has metadata.generateName, which cannot be applied" } else { "has no name" };
        return bad(format!("({kind}) {why}"));
    };
    let id = ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: text("/metadata/namespace").map(str::to_owned),
        name: name.to_owned(),
    };
    found.push((id, source.to_owned(), object.clone()));
    Ok(())
}

fn set(object: &mut Value, field: &str, pairs: &[(&str, &str)]) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let map = metadata.entry(field).or_insert_with(|| json!({}));
    if !map.is_object() {
        *map = json!({});
    }
    if let Some(map) = map.as_object_mut() {
        map.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
    }
}

/// Whether a live object is the release's own; else what speaks against it, in Helm's words.
pub(super) fn check_ownership(live: &Value, namespace: &str, release: &str) -> Result<(), String> {
    let required = [
        ("label", "labels", MANAGED_BY_LABEL, MANAGED_BY_HELM),
        ("annotation", "annotations", HELM_RELEASE_NAME, release),
        ("annotation", "annotations", HELM_RELEASE_NAMESPACE, namespace),
    ];
    let problems: Vec<String> = required
        .iter()
        .filter_map(|(what, field, key, wanted)| {
            let found = live.get("metadata").and_then(|metadata| metadata.get(field)).and_then(|map| map.get(key));
            match found.and_then(Value::as_str) {
                Some(found) if found == *wanted => None,
                Some(found) => Some(format!(
                    "{what} validation error: key \"{key}\" must equal \"{wanted}\": current value is \"{found}\""
                )),
                None => Some(format!("{what} validation error: missing key \"{key}\": must be set to \"{wanted}\"")),
            }
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(format!("invalid ownership metadata; {}", problems.join("; "))) }
}

/// Refuses to take over what is there already and is not the release's own. `known` are objects of the revisions before.
///
/// # Errors
/// All conflicts at once; or an object cannot be read.
pub(super) async fn check_conflicts(
    cluster: &dyn Cluster,
    objects: &[Prepared],
    known: &BTreeSet<ObjectKey>,
    namespace: &str,
    release: &str,
) -> Result<(), Fault> {
    let mut conflicts = Vec::new();
    for prepared in objects.iter().filter(|prepared| !known.contains(&prepared.key())) {
        // A kind that the release itself brings has no objects yet.
        if cluster.scope(&prepared.id.api_version, &prepared.id.kind).await?.is_none() {
            continue;
        }
        let Some(live) = cluster.get(&prepared.id).await? else { continue };
        if let Err(why) = check_ownership(&live, namespace, release) {
            let at = prepared.id.namespace.as_deref().unwrap_or_default();
            conflicts.push(format!(
                "{} \"{}\" in namespace \"{at}\" exists and cannot be imported into the current release: {why}",
                prepared.id.kind, prepared.id.name
            ));
        }
    }
    if conflicts.is_empty() {
        return Ok(());
    }
    Err(Fault::new(FaultKind::Invalid, format!("unable to continue: {}", conflicts.join("; "))))
}

/// Whether an object, in the cluster or in a manifest, asks to stay when its release drops it.
pub(super) fn is_kept(object: &Value) -> bool {
    let annotations = object.pointer("/metadata/annotations");
    let policy = annotations.and_then(|map| map.get(HELM_RESOURCE_POLICY)).and_then(Value::as_str);
    policy.is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(object: Value) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        unwrap(&object, "voice/templates/a.yaml", &mut found).map_err(|fault| fault.text)?;
        Ok(found.iter().map(|(id, _, _)| id.to_string()).collect())
    }

    #[test]
    fn lists_are_unwrapped_and_comments_passed_over() {
        let one = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [one("a"), {"apiVersion": "v1", "kind": "ConfigMapList", "items": [one("b")]}]});
        assert_eq!(unwrapped(list).unwrap(), ["ConfigMap a", "ConfigMap b"]);
        assert_eq!(unwrapped(Value::Null).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_object_says_where_it_is_from() {
        let text = unwrapped(json!({"kind": "ConfigMap"})).unwrap_err();
        assert!(text.contains("voice/templates/a.yaml") && text.contains("apiVersion"), "{text}");
        let generated = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}});
        assert!(unwrapped(generated).unwrap_err().contains("generateName"));
    }

    #[test]
    fn ownership_is_helms_three_marks() {
        let id = ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), namespace: None, name: "a".into() };
        let plain = json!({"metadata": {"name": "a", "labels": null}});
        let prepared = Prepared { id, source: String::new(), object: plain.clone() };
        let owned = prepared.owned_by("voice-dev", "voice");
        assert_eq!(check_ownership(&owned, "voice-dev", "voice"), Ok(()));
        let why = check_ownership(&owned, "voice-dev", "other").unwrap_err();
        assert!(why.contains("must equal \"other\": current value is \"voice\""), "{why}");
        assert!(check_ownership(&plain, "voice-dev", "voice").unwrap_err().contains("missing key"));
    }

    #[test]
    fn keep_is_read_as_helm_reads_it() {
        let with = |policy: &str| json!({"metadata": {"annotations": {"helm.sh/resource-policy": policy}}});
        assert!(is_kept(&with(" Keep ")) && !is_kept(&with("delete")) && !is_kept(&json!({})));
    }
}
