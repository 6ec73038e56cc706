//! Policy annotations on live objects: watched, and read anew when it matters (D6).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use kube::core::{DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::Event;
use serde_json::{Map, Value};
use tagboat_api::annotations::{FILTER_PREFIX, FLUX_LEGACY_PREFIX, FLUX_PREFIX, TAGBOAT_PREFIX};
use tagboat_engine::ports::{Fault, LiveAnnotations, LivePolicies, ObjectRef};
use tagboat_manifest::WorkloadId;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api_server::ApiServer;
use crate::error::Error;
use crate::ownership::set_by_person;
use crate::transport::Call;

/// The kinds that can carry policies, by the name that a [`WorkloadId`] has for them.
const KINDS: [(&str, &str, &str); 5] = [
    ("deployment", "apps/v1", "Deployment"),
    ("daemonset", "apps/v1", "DaemonSet"),
    ("statefulset", "apps/v1", "StatefulSet"),
    ("cronjob", "batch/v1", "CronJob"),
    ("helmrelease", "helm.fluxcd.io/v1", "HelmRelease"),
];
const NAMESPACE: &str = "namespace";
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// How often [`PolicyWatch::synced`] looks.
const POLL: Duration = Duration::from_millis(50);

/// What is kept of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kept {
    annotations: BTreeMap<String, String>,
    set_by_person: BTreeSet<String>,
}

/// One kind's objects, by namespace and name.
#[derive(Default)]
struct KindState {
    objects: HashMap<(String, String), Kept>,
    /// During a list: what was known before it and has not come up in it.
    unlisted: HashSet<(String, String)>,
    whole: bool,
}

struct Shared {
    api: Arc<ApiServer>,
    kinds: RwLock<HashMap<&'static str, KindState>>,
    version: watch::Sender<u64>,
    /// The watches; they end with the last handle.
    tasks: Mutex<JoinSet<()>>,
}

/// Policy annotations of all workloads and namespaces, watched. Only metadata is asked for, and of it only annotations
/// in the namespaces `fluxcd.io/`, `flux.weave.works/`, `filter.fluxcd.io/` and `tagboat.dev/` are kept.
pub struct PolicyWatch {
    shared: Arc<Shared>,
    seen: tokio::sync::Mutex<watch::Receiver<u64>>,
}

impl PolicyWatch {
    /// Begins to watch.
    pub fn start(api: Arc<ApiServer>) -> Self {
        let shared = Arc::new(Shared {
            api: api.clone(),
            kinds: RwLock::default(),
            version: watch::channel(0).0,
            tasks: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for (name, api_version, kind) in KINDS.into_iter().chain([(NAMESPACE, "v1", "Namespace")]) {
            // The tasks hold it weakly, or it would never end.
            let weak = Arc::downgrade(&shared);
            tasks.spawn(crate::watch::follow(api.clone(), api_version, kind, move |event| {
                if let Some(shared) = weak.upgrade() {
                    shared.learn(name, event);
                }
            }));
        }
        *shared.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        let seen = tokio::sync::Mutex::new(shared.version.subscribe());
        Self { shared, seen }
    }

    /// Another handle on the same watch, whose [`changed`](LivePolicies::changed) tells everything once more: one for
    /// each source.
    pub fn subscribe(&self) -> Self {
        Self { shared: self.shared.clone(), seen: tokio::sync::Mutex::new(self.shared.version.subscribe()) }
    }

    /// Waits until every kind has been listed in whole; `false` where that took longer.
    pub async fn synced(&self, deadline: Duration) -> bool {
        let wait = async {
            while !self.is_synced() {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(deadline, wait).await.is_ok()
    }

    /// Whether every kind has been listed in whole. Before that, [`known`](LivePolicies::known) may miss objects.
    pub fn is_synced(&self) -> bool {
        let kinds = self.shared.kinds.read().unwrap_or_else(PoisonError::into_inner);
        KINDS
            .iter()
            .map(|(name, ..)| name)
            .chain([&NAMESPACE])
            .all(|name| kinds.get(name).is_some_and(|kind| kind.whole))
    }
}

impl Shared {
    fn learn(&self, kind: &'static str, event: Event<PartialObjectMeta<DynamicObject>>) {
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        let state = kinds.entry(kind).or_default();
        let changed = match event {
            Event::Init => {
                state.unlisted = state.objects.keys().cloned().collect();
                false
            }
            Event::InitApply(object) => {
                let key = key(&object.metadata);
                state.unlisted.remove(&key);
                state.put(key, keep(&object.metadata))
            }
            Event::InitDone => {
                state.whole = true;
                let gone = std::mem::take(&mut state.unlisted);
                let mut changed = false;
                for key in gone {
                    changed |= state.remove(&key);
                }
                changed
            }
            Event::Apply(object) => state.put(key(&object.metadata), keep(&object.metadata)),
            Event::Delete(object) => state.remove(&key(&object.metadata)),
        };
        drop(kinds);
        if changed {
            self.version.send_modify(|version| *version += 1);
        }
    }

    async fn read_metadata(&self, id: &ObjectRef) -> Result<Option<Kept>, Error> {
        let kind = match self.api.kind(&id.api_version, &id.kind).await {
            Ok(kind) => kind,
            Err(Error::UnknownKind { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let what = format!("reading the policies of {id}");
        let path = kind.path(id).map_err(|reason| Error::Invalid { what: what.clone(), reason })?;
        let mut call = Call::new(what.clone(), Method::GET, path);
        call.accept = Some(METADATA_ONLY);
        let answer = match self.api.transport.send(call).await {
            Ok(answer) => answer.value,
            Err(error) if error.is_status(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let object: PartialObjectMeta<DynamicObject> =
            serde_json::from_value(answer).map_err(|error| Error::Unreadable { what, reason: error.to_string() })?;
        Ok(Some(keep(&object.metadata)))
    }
}

impl KindState {
    /// Puts an object and says whether its policies changed. That an object without any came or went is no change.
    fn put(&mut self, key: (String, String), kept: Kept) -> bool {
        let before = self.objects.get(&key);
        let changed = before.map_or(!kept.annotations.is_empty(), |before| *before != kept);
        self.objects.insert(key, kept);
        changed
    }

    fn remove(&mut self, key: &(String, String)) -> bool {
        self.objects.remove(key).is_some_and(|before| !before.annotations.is_empty())
    }
}

fn key(metadata: &ObjectMeta) -> (String, String) {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn is_policy(key: &str) -> bool {
    [FLUX_PREFIX, FLUX_LEGACY_PREFIX, FILTER_PREFIX, TAGBOAT_PREFIX].iter().any(|prefix| key.starts_with(prefix))
}

fn keep(metadata: &ObjectMeta) -> Kept {
    let all = metadata.annotations.as_ref();
    let annotations: BTreeMap<String, String> = all
        .into_iter()
        .flatten()
        .filter(|(key, _)| is_policy(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if annotations.is_empty() {
        return Kept::default();
    }
    let fields = serde_json::to_value(&metadata.managed_fields).unwrap_or(Value::Null);
    // What `kubectl apply` wrote down on the object takes part in telling whose a key is, so all annotations go in.
    let values: Map<String, Value> =
        all.into_iter().flatten().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    let set_by_person = set_by_person(&fields, &values, is_policy);
    Kept { annotations, set_by_person }
}

fn object_of(workload: &WorkloadId) -> Result<ObjectRef, Error> {
    let what = || format!("reading the policies of {workload}");
    let (_, api_version, kind) = KINDS.into_iter().find(|(name, ..)| *name == workload.kind()).ok_or_else(|| {
        let allowed: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
        Error::Invalid { what: what(), reason: format!("its kind is not one of {}", allowed.join(", ")) }
    })?;
    let namespace = workload
        .namespace()
        .ok_or_else(|| Error::Invalid { what: what(), reason: "it has no namespace".to_owned() })?;
    Ok(ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: Some(namespace.to_owned()),
        name: workload.name().to_owned(),
    })
}

#[async_trait]
impl LivePolicies for PolicyWatch {
    fn known(&self, workload: &WorkloadId) -> Option<LiveAnnotations> {
        let namespace = workload.namespace()?;
        let kinds = self.shared.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let kept = kinds.get(workload.kind())?.objects.get(&(namespace.to_owned(), workload.name().to_owned()))?;
        let around = kinds.get(NAMESPACE).and_then(|kind| kind.objects.get(&(String::new(), namespace.to_owned())));
        Some(LiveAnnotations {
            annotations: kept.annotations.clone(),
            set_by_person: kept.set_by_person.clone(),
            namespace: around.map(|around| around.annotations.clone()).unwrap_or_default(),
        })
    }

    async fn read(&self, workload: &WorkloadId) -> Result<Option<LiveAnnotations>, Fault> {
        let object = object_of(workload)?;
        let namespace = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            namespace: None,
            name: object.namespace.clone().unwrap_or_default(),
        };
        let (kept, around) =
            futures::try_join!(self.shared.read_metadata(&object), self.shared.read_metadata(&namespace))?;
        Ok(kept.map(|kept| LiveAnnotations {
            annotations: kept.annotations,
            set_by_person: kept.set_by_person,
            namespace: around.unwrap_or_default().annotations,
        }))
    }

    async fn changed(&self) {
        // The sender lives as long as this handle does.
        if self.seen.lock().await.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl std::fmt::Debug for PolicyWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyWatch").field("synced", &self.is_synced()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(annotations: Value, status_of: &str) -> ObjectMeta {
        serde_json::from_value(json!({"namespace": "dev", "name": "web", "annotations": annotations,
            "resourceVersion": status_of, "generation": 3}))
        .unwrap()
    }

    #[test]
    fn only_policies_make_a_change() {
        let mut state = KindState::default();
        let mut put = |object: &ObjectMeta| state.put(key(object), keep(object));
        assert!(!put(&object(json!({"note": "1"}), "1")), "one without policies came");
        assert!(!put(&object(json!({"note": "2"}), "2")), "another annotation, or a status");
        assert!(put(&object(json!({"tagboat.dev/paused": "true"}), "3")));
        assert!(!put(&object(json!({"tagboat.dev/paused": "true", "note": "3"}), "4")));
        assert!(put(&object(json!({"tagboat.dev/paused": "false"}), "5")));
        assert!(put(&object(json!({}), "6")));
        assert!(!state.remove(&("dev".into(), "web".into())), "one without policies went");
    }
}
