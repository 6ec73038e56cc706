//! Which Kubernetes objects a document holds.

use crate::file::DEFAULT_NAMESPACE;
use crate::id::WorkloadId;
use crate::workload::WorkloadKind;
use crate::yaml::{Document, Fault, Obstacle, Place, Scalar};

/// Deepest nesting of Lists in Lists.
const MAX_LISTS: usize = 4;

/// An object's identity and where it stands.
pub(crate) struct Found<'d, 'a> {
    pub(crate) place: Place<'d, 'a>,
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    /// A key that stands twice among those that make up the identity.
    pub(crate) duplicate: Option<Obstacle>,
}

impl Found<'_, '_> {
    pub(crate) fn id(&self) -> WorkloadId {
        let namespace = self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        WorkloadId::new(Some(namespace), &self.kind, &self.name)
    }

    pub(crate) fn workload_kind(&self) -> Option<WorkloadKind> {
        WorkloadKind::of(&self.api_version, &self.kind)
    }
}

/// The objects of a document, Lists unwrapped; for what is no object, why. `number` counts documents from 1.
pub(crate) fn objects<'d, 'a>(document: &'d Document<'a>, number: usize) -> Vec<Result<Found<'d, 'a>, Fault>> {
    let mut out = Vec::new();
    unwrap(Place::root(document), &format!("document {number}"), None, 0, &mut out);
    out
}

/// `inherited` is what the items of a typed List (`DeploymentList`) are where they do not say so themselves.
fn unwrap<'d, 'a>(
    place: Place<'d, 'a>,
    label: &str,
    inherited: Option<(&str, &str)>,
    depth: usize,
    out: &mut Vec<Result<Found<'d, 'a>, Fault>>,
) {
    let fault = |at: &Place<'_, '_>, text: String| Fault::of(at.document.node(at.id), text);
    if !place.is_mapping() {
        out.push(Err(fault(&place, format!("{label} is {}, not a Kubernetes object", place.describe()))));
        return;
    }
    let read = |path: &[&str], default: Option<&str>| {
        let name = path.join(".");
        match place.at(path) {
            Some(value) => match value.scalar() {
                Some(Scalar::Str(text)) if !text.is_empty() => Ok((text.to_owned(), value.duplicate)),
                Some(Scalar::Null | Scalar::Str(_)) => Err(fault(&value, format!("{label} has no {name}"))),
                _ => Err(fault(&value, format!("{label}: {name} must be a string, got {}", value.describe()))),
            },
            None => match default {
                Some(default) => Ok((default.to_owned(), None)),
                None => Err(fault(&place, format!("{label} has no {name}"))),
            },
        }
    };
    let kind = read(&["kind"], inherited.map(|(_, kind)| kind));
    let api_version = read(&["apiVersion"], inherited.map(|(version, _)| version));
    if let (Ok((kind, _)), Ok((version, _))) = (&kind, &api_version)
        && let Some(item_kind) = kind.strip_suffix("List")
        && let Some(items) = place.get("items").filter(Place::is_sequence)
    {
        if depth >= MAX_LISTS {
            out.push(Err(fault(&place, format!("{label}: Lists are nested more than {MAX_LISTS} deep"))));
            return;
        }
        let inherited = (!item_kind.is_empty()).then_some((version.as_str(), item_kind));
        for (index, item) in items.items().into_iter().enumerate() {
            unwrap(item, &format!("{label}, items[{index}]"), inherited, depth + 1, out);
        }
        return;
    }
    let namespace = match place.at(&["metadata", "namespace"]) {
        None => Ok((None, None)),
        Some(value) => match value.scalar() {
            Some(Scalar::Null) => Ok((None, None)),
            Some(Scalar::Str(text)) => {
                Ok((Some(text).filter(|text| !text.is_empty()).map(str::to_owned), value.duplicate))
            }
            _ => Err(fault(&value, format!("{label}: metadata.namespace must be a string, got {}", value.describe()))),
        },
    };
    let name = read(&["metadata", "name"], None);
    out.push((|| {
        let (kind, d1) = kind?;
        let (api_version, d2) = api_version?;
        let (name, d3) = name?;
        let (namespace, d4) = namespace?;
        Ok(Found { place: place.clone(), api_version, kind, namespace, name, duplicate: d1.or(d2).or(d3).or(d4) })
    })());
}
