//! What the API server serves: group, version, kind, plural, scope. Kept, and read anew when a kind is unknown.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use kube::client::{APIGroupDiscoveryList, APIResourceDiscovery};
use kube::core::ApiResource;
use tagboat_engine::ports::{ObjectRef, Scope};
use tokio::sync::Notify;

use crate::error::Error;
use crate::transport::{Call, Transport, segment};

/// An unknown kind has the catalog read anew, but not more often than this.
const RETRY: Duration = Duration::from_secs(2);
/// What templates see of the cluster is at most this old.
const FRESH: Duration = Duration::from_secs(60);

/// Aggregated discovery: one document for all groups, also where one of them is broken.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// One kind that the API server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) scope: Scope,
}

impl Kind {
    /// The path of the kind's objects, in a namespace or (of all namespaces, or cluster-scoped) without one.
    pub(crate) fn collection(&self, namespace: Option<&str>) -> Result<String, String> {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        let plural = &self.plural;
        let version = &self.api_version;
        match (self.scope, namespace) {
            (Scope::Namespaced, Some(namespace)) => {
                Ok(format!("{root}/{version}/namespaces/{}/{plural}", segment(namespace)?))
            }
            _ => Ok(format!("{root}/{version}/{plural}")),
        }
    }

    /// The path of one object.
    pub(crate) fn path(&self, object: &ObjectRef) -> Result<String, String> {
        let namespace = object.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        if self.scope == Scope::Namespaced && namespace.is_none() {
            return Err(format!("{} is a namespaced kind, and no namespace is given", self.kind));
        }
        Ok(format!("{}/{}", self.collection(namespace)?, segment(&object.name)?))
    }

    /// The same as kube's watches want it.
    pub(crate) fn api_resource(&self) -> ApiResource {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
        }
    }
}

/// Everything that is served.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    kinds: HashMap<(String, String), Arc<Kind>>,
    /// `group/version`s whose API service does not answer.
    stale: BTreeSet<String>,
    /// Every `group/version` and `group/version/Kind`, subresources' kinds included.
    pub(crate) names: BTreeSet<String>,
}

impl Catalog {
    fn find(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        self.kinds.get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }

    fn add(&mut self, list: APIGroupDiscoveryList) {
        for group in list.items {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            for version in group.versions {
                let number = version.version.unwrap_or_default();
                let api_version = if name.is_empty() { number } else { format!("{name}/{number}") };
                if version.freshness.as_deref() == Some("Stale") {
                    self.stale.insert(api_version.clone());
                }
                for resource in version.resources {
                    self.add_resource(&api_version, resource);
                }
                self.names.insert(api_version);
            }
        }
    }

    fn add_resource(&mut self, api_version: &str, resource: APIResourceDiscovery) {
        for subresource in resource.subresources {
            if let Some(kind) = subresource.response_kind.and_then(|kind| kind.kind).filter(|kind| !kind.is_empty()) {
                self.names.insert(format!("{api_version}/{kind}"));
            }
        }
        let kind = resource.response_kind.and_then(|kind| kind.kind).filter(|kind| !kind.is_empty());
        let (Some(plural), Some(kind)) = (resource.resource, kind) else { return };
        let scope = if resource.scope.as_deref() == Some("Cluster") { Scope::Cluster } else { Scope::Namespaced };
        self.names.insert(format!("{api_version}/{kind}"));
        let served = Kind { api_version: api_version.to_owned(), kind: kind.clone(), plural, scope };
        // Two resources of one kind: the first is the main one.
        self.kinds.entry((api_version.to_owned(), kind)).or_insert_with(|| Arc::new(served));
    }
}

/// The kept catalog.
#[derive(Default)]
pub(crate) struct Discovery {
    kept: Mutex<Kept>,
    /// Only one reads at a time; the others wait for what it finds.
    reading: tokio::sync::Mutex<()>,
    /// Told after each reading.
    renewed: Notify,
}

#[derive(Default)]
struct Kept {
    catalog: Arc<Catalog>,
    /// `None`: to be read anew before anybody hears that a kind is unknown.
    read: Option<Instant>,
}

impl Discovery {
    /// A kind, or `None` where the API server does not serve it.
    pub(crate) async fn find(
        &self,
        transport: &Transport,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Arc<Kind>>, Error> {
        if let Some(found) = self.kept().catalog.find(api_version, kind) {
            return Ok(Some(found));
        }
        let catalog = self.catalog(transport, RETRY).await?;
        if let Some(found) = catalog.find(api_version, kind) {
            return Ok(Some(found));
        }
        if catalog.stale.contains(api_version) {
            return Err(Error::StaleGroup { api_version: plain_name(api_version), kind: plain_name(kind) });
        }
        Ok(None)
    }

    /// The catalog, at most a minute old.
    pub(crate) async fn fresh(&self, transport: &Transport) -> Result<Arc<Catalog>, Error> {
        self.catalog(transport, FRESH).await
    }

    /// Something may have been added: the next question that the catalog cannot answer reads it anew.
    pub(crate) fn expire(&self) {
        self.kept().read = None;
    }

    /// Something went away: nothing that is kept may be used any more.
    pub(crate) fn forget(&self) {
        *self.kept() = Kept::default();
    }

    /// Returns after the next reading.
    pub(crate) async fn renewed(&self) {
        self.renewed.notified().await;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<Catalog>> {
        let kept = self.kept();
        kept.read.is_some_and(|read| read.elapsed() < age).then(|| kept.catalog.clone())
    }

    async fn catalog(&self, transport: &Transport, age: Duration) -> Result<Arc<Catalog>, Error> {
        if let Some(catalog) = self.younger_than(age) {
            return Ok(catalog);
        }
        let _alone = self.reading.lock().await;
        if let Some(catalog) = self.younger_than(age) {
            return Ok(catalog);
        }
        let began = Instant::now();
        let mut catalog = Catalog::default();
        for path in ["/api", "/apis"] {
            let mut call = Call::new("reading what the API server serves", Method::GET, path);
            call.accept = Some(AGGREGATED);
            let what = call.what.clone();
            let answer = transport.send(call).await?;
            if answer.value.get("kind").and_then(|kind| kind.as_str()) != Some("APIGroupDiscoveryList") {
                let reason = format!("{path} is not aggregated discovery; Kubernetes 1.27 or newer is needed");
                return Err(Error::Unreadable { what, reason });
            }
            let list = serde_json::from_value(answer.value)
                .map_err(|error| Error::Unreadable { what, reason: error.to_string() })?;
            catalog.add(list);
        }
        let catalog = Arc::new(catalog);
        tracing::debug!(kinds = catalog.kinds.len(), "read what the API server serves");
        *self.kept() = Kept { catalog: catalog.clone(), read: Some(began) };
        self.renewed.notify_waiters();
        Ok(catalog)
    }
}

/// A group, version or kind from a manifest, for an error's text.
pub(crate) fn plain_name(name: &str) -> String {
    crate::error::plain(&name.chars().take(253).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.add(
            serde_json::from_value(json!({"items": [
                {"metadata": {}, "versions": [{"version": "v1", "resources": [
                    {"resource": "namespaces", "responseKind": {"group": "", "version": "", "kind": "Namespace"}, "scope": "Cluster"},
                    {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced",
                     "subresources": [{"subresource": "eviction", "responseKind": {"group": "policy", "version": "v1", "kind": "Eviction"}}]}]}]},
                {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]}]}))
            .unwrap(),
        );
        catalog
    }

    #[test]
    fn names_are_those_that_helm_gives_to_templates() {
        let names: Vec<String> = catalog().names.into_iter().collect();
        assert_eq!(names, ["metrics.k8s.io/v1beta1", "v1", "v1/Eviction", "v1/Namespace", "v1/Pod"]);
    }

    #[test]
    fn paths_follow_the_scope() {
        let catalog = catalog();
        let mut id =
            ObjectRef { api_version: "v1".into(), kind: "Pod".into(), namespace: Some("dev".into()), name: "a".into() };
        let pod = catalog.find("v1", "Pod").unwrap();
        assert_eq!(pod.path(&id).unwrap(), "/api/v1/namespaces/dev/pods/a");
        assert_eq!(pod.collection(None).unwrap(), "/api/v1/pods");
        // A namespace on a cluster-scoped object changes nothing.
        assert_eq!(catalog.find("v1", "Namespace").unwrap().path(&id).unwrap(), "/api/v1/namespaces/a");
        id.namespace = None;
        assert!(pod.path(&id).unwrap_err().contains("no namespace"));
    }

    #[test]
    fn a_group_that_does_not_answer_is_remembered_as_such() {
        assert!(catalog().stale.contains("metrics.k8s.io/v1beta1"));
    }
}
