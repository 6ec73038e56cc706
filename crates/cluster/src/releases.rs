//! HelmReleases in the cluster, watched, and their status.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::Method;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tagboat_api::{HelmRelease, HelmReleaseStatus};
use tagboat_engine::ports::{Fault, FieldManager, ObjectRef, ReleaseObject, ReleaseObjects, ReleaseStatus};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::api_server::ApiServer;
use crate::error::{Error, plain};
use crate::transport::{Call, Format};

const API_VERSION: &str = "helm.fluxcd.io/v1";
const KIND: &str = "HelmRelease";

/// What makes a change worth telling: everything but status and bookkeeping.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    uid: String,
    generation: Option<i64>,
    annotations: Option<BTreeMap<String, String>>,
    deleted: bool,
}

#[derive(Debug, Clone)]
struct Kept {
    object: ReleaseObject,
    print: Print,
    /// The status as the API server has it.
    status: Option<Value>,
}

#[derive(Default)]
struct State {
    objects: HashMap<ObjectRef, Kept>,
    unlisted: HashSet<ObjectRef>,
    whole: bool,
    changed: BTreeSet<ObjectRef>,
}

struct Shared {
    api: Arc<ApiServer>,
    state: Mutex<State>,
    told: Notify,
}

/// All HelmReleases, watched. One that does not decode hurts only itself. For one consumer: a change is told once.
pub struct ReleaseWatch {
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

impl ReleaseWatch {
    /// Begins to watch. Where the CustomResourceDefinition is not there yet, it is waited for.
    pub fn start(api: Arc<ApiServer>) -> Self {
        let shared = Arc::new(Shared { api: api.clone(), state: Mutex::default(), told: Notify::new() });
        let mut task = JoinSet::new();
        let learner = shared.clone();
        task.spawn(crate::watch::follow(api, API_VERSION, KIND, move |event| learner.learn(event)));
        Self { shared, _task: task }
    }
}

impl Shared {
    fn learn(&self, event: Event<DynamicObject>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => state.unlisted = state.objects.keys().cloned().collect(),
            Event::InitApply(object) => {
                let kept = decode(object);
                state.unlisted.remove(&kept.object.id);
                state.put(kept);
            }
            Event::InitDone => {
                state.whole = true;
                for id in std::mem::take(&mut state.unlisted) {
                    state.remove(id);
                }
            }
            Event::Apply(object) => state.put(decode(object)),
            Event::Delete(object) => state.remove(reference(&object)),
        }
        let tell = state.whole && !state.changed.is_empty();
        drop(state);
        if tell {
            self.told.notify_one();
        }
    }

    async fn read_kept(&self, id: &ObjectRef) -> Result<Option<Kept>, Error> {
        let Some(value) = self.api.get_object(id).await? else { return Ok(None) };
        decode_value(id, value).map(Some)
    }
}

impl State {
    fn put(&mut self, kept: Kept) {
        let id = kept.object.id.clone();
        if self.objects.get(&id).is_none_or(|before| before.print != kept.print) {
            self.changed.insert(id.clone());
        }
        self.objects.insert(id, kept);
    }

    fn remove(&mut self, id: ObjectRef) {
        if self.objects.remove(&id).is_some() {
            self.changed.insert(id);
        }
    }
}

fn reference(object: &DynamicObject) -> ObjectRef {
    release_ref(
        object.metadata.namespace.as_deref().unwrap_or_default(),
        object.metadata.name.as_deref().unwrap_or_default(),
    )
}

fn release_ref(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
    }
}

fn decode(mut object: DynamicObject) -> Kept {
    let id = reference(&object);
    // Bookkeeping of field managers is the largest part of many objects, and nobody reads it here.
    object.metadata.managed_fields = None;
    let print = Print {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        generation: object.metadata.generation,
        annotations: object.metadata.annotations.clone(),
        deleted: object.metadata.deletion_timestamp.is_some(),
    };
    let status = object.data.get("status").cloned();
    // A status that somebody else garbled must not make the spec unreadable.
    let whole = with_types(&object);
    let decoded = serde_json::from_value::<HelmRelease>(whole.clone()).or_else(|error| {
        let mut bare = whole;
        match bare.as_object_mut().and_then(|map| map.remove("status")) {
            Some(_) => serde_json::from_value(bare).map_err(|_| error),
            None => Err(error),
        }
    });
    let object = decoded.map(Box::new).map_err(|error| plain(&format!("{id} cannot be read: {error}")));
    Kept { object: ReleaseObject { object, id, uid: print.uid.clone() }, print, status }
}

fn with_types(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or(Value::Null);
    // Items of lists come without these.
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(API_VERSION));
        map.insert("kind".to_owned(), json!(KIND));
    }
    value
}

fn decode_value(id: &ObjectRef, value: Value) -> Result<Kept, Error> {
    serde_json::from_value::<DynamicObject>(value)
        .map(decode)
        .map_err(|error| Error::Unreadable { what: format!("reading {id}"), reason: error.to_string() })
}

/// Whether the status that is there says the same.
fn says_the_same(there: Option<&Value>, wanted: &HelmReleaseStatus) -> bool {
    there.is_some_and(|there| {
        serde_json::from_value::<HelmReleaseStatus>(there.clone()).is_ok_and(|there| there == *wanted)
    })
}

/// A merge patch that makes the status what is wanted: what is no longer in it is removed by name.
fn status_patch(there: Option<&Value>, wanted: &Value, uid: &str) -> Value {
    let mut status = wanted.clone();
    if let (Some(status), Some(there)) = (status.as_object_mut(), there.and_then(Value::as_object)) {
        for key in there.keys() {
            status.entry(key.clone()).or_insert(Value::Null);
        }
    }
    // Of another object with the same name the status is not ours to write: its UID makes the API server refuse.
    json!({"metadata": {"uid": uid}, "status": status})
}

/// Whether a patch was refused because the object's UID is another one: custom resources answer so, and not with 409.
fn is_another(error: &Error) -> bool {
    error.refusal().is_some_and(|answer| {
        answer.status == 422 && answer.causes.first().is_some_and(|cause| cause.field == "metadata.uid")
    })
}

#[async_trait]
impl ReleaseObjects for ReleaseWatch {
    fn all(&self) -> Option<Vec<ReleaseObject>> {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<ReleaseObject> =
            state.whole.then(|| state.objects.values().map(|kept| kept.object.clone()).collect())?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Some(all)
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<ReleaseObject>, Fault> {
        match self.shared.read_kept(&release_ref(namespace, name)).await {
            Ok(kept) => Ok(kept.map(|kept| kept.object)),
            Err(Error::UnknownKind { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn changed(&self) -> Vec<ObjectRef> {
        loop {
            let told = self.shared.told.notified();
            {
                let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.whole && !state.changed.is_empty() {
                    return std::mem::take(&mut state.changed).into_iter().collect();
                }
            }
            told.await;
        }
    }

    async fn write_status(&self, id: &ObjectRef, status: &ReleaseStatus) -> Result<bool, Fault> {
        let known = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).objects.get(id).cloned();
        let kept = match known {
            Some(kept) => Some(kept),
            None => self.shared.read_kept(id).await?,
        };
        let what = format!("writing the status of {id}");
        let Some(kept) = kept else {
            return Err(Fault::new(tagboat_engine::ports::FaultKind::NotFound, format!("{what}: it is not there")));
        };
        if says_the_same(kept.status.as_ref(), &status.status) {
            return Ok(false);
        }
        let invalid = |reason: String| Error::Invalid { what: what.clone(), reason };
        let wanted = serde_json::to_value(&status.status).map_err(|error| invalid(error.to_string()))?;
        let patch = status_patch(kept.status.as_ref(), &wanted, &kept.object.uid);
        let kind = self.shared.api.kind(API_VERSION, KIND).await?;
        let path = format!("{}/status", kind.path(id).map_err(invalid)?);
        let call = Call::new(what.clone(), Method::PATCH, path)
            .query("fieldManager", FieldManager::Mirror.name())
            .body(Format::MergePatch, &patch);
        let answer = match self.shared.api.transport.send(call).await {
            Ok(answer) => answer,
            Err(error) if is_another(&error) => {
                let reason = "it was removed, and another object has its name now".to_owned();
                return Err(Error::Conflict { what, reason }.into());
            }
            Err(error) => return Err(error.into()),
        };
        // The next comparison must not be made with the status from before, should the watch be late.
        let written = decode_value(id, answer.value)?;
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = state.objects.get_mut(id) {
            kept.status = written.status;
        }
        Ok(true)
    }
}

impl std::fmt::Debug for ReleaseWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReleaseWatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_cannot_be_read_says_why_and_keeps_its_name() {
        let object = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"namespace": "dev", "name": "web", "uid": "1"}, "spec": {"chart": 7}});
        let kept = decode_value(&release_ref("dev", "web"), object).unwrap();
        assert_eq!(kept.object.id, release_ref("dev", "web"));
        assert!(kept.object.object.unwrap_err().contains("HelmRelease dev/web cannot be read"));
    }

    #[test]
    fn a_garbled_status_does_not_hide_the_spec() {
        let object = json!({"metadata": {"namespace": "dev", "name": "web"}, "spec": {"chart": {}}, "status": {"phase": "Nonsense"}});
        assert!(decode_value(&release_ref("dev", "web"), object).unwrap().object.object.is_ok());
    }

    #[test]
    fn what_left_the_status_is_removed() {
        let there = json!({"revision": "1", "phase": "Succeeded"});
        let patch = status_patch(Some(&there), &json!({"phase": "Failed"}), "u");
        assert_eq!(patch, json!({"metadata": {"uid": "u"}, "status": {"phase": "Failed", "revision": null}}));
    }
}
