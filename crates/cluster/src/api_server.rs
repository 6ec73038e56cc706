use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use http::Method;
use kube::{Client, Config};
use serde_json::{Value, json};
use tagboat_engine::ports::{
    Applied, Apply, Capabilities, Cluster, Fault, Health, HealthState, Inventory, ObjectRef, Scope, SourceId,
};
use tower::util::MapRequestLayer;

use crate::apply::is_secret;
use crate::discovery::{Discovery, Kind, plain_name};
use crate::error::Error;
use crate::event::Events;
use crate::health::{assess, pods};
use crate::inventory::Inventories;
use crate::requests::Requests;
use crate::transport::{Call, Format, Transport};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Objects of one page of a list.
const PAGE: usize = 500;
/// Objects of one list.
const MAX_LISTED: usize = 50_000;
/// How many objects' health is asked for at a time.
const HEALTH_AT_ONCE: usize = 8;
/// Pods that are looked at for the reason why a workload is not ready.
const PODS: &str = "100";

/// What the adapter is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tagboat's own namespace: inventories and the lease are there.
    pub namespace: String,
    /// This process's own name, for Events: the pod's name.
    pub instance: String,
}

/// The API server: [`Cluster`] over one client.
pub struct ApiServer {
    pub(crate) transport: Transport,
    pub(crate) discovery: Discovery,
    pub(crate) options: Options,
    pub(crate) inventories: Inventories,
    pub(crate) events: Events,
    requests: Arc<Requests>,
}

impl ApiServer {
    /// Makes a client from a configuration. Nothing is asked of the API server yet.
    pub fn connect(mut config: Config, options: Options) -> Result<Self, Error> {
        config.connect_timeout = Some(CONNECT);
        // A refusal with 429 or 503 is the engine's to wait for: kube would go on by itself for minutes.
        config.default_retry = false;
        let requests = Arc::new(Requests::default());
        let counted = requests.clone();
        let count = MapRequestLayer::new(move |request: http::Request<kube::client::Body>| {
            counted.count(request.method(), request.uri());
            request
        });
        let client = kube::client::ClientBuilder::try_from(config)
            .map_err(|error| Error::Client(Box::new(error)))?
            .with_layer(&count)
            .build();
        Ok(Self {
            transport: Transport { client },
            discovery: Discovery::default(),
            options,
            inventories: Inventories::default(),
            events: Events::default(),
            requests,
        })
    }

    /// The client, for what has no port: TokenReview, port-forward.
    pub fn client(&self) -> Client {
        self.transport.client.clone()
    }

    /// How many requests of each verb were sent, watches and retries included.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Tagboat's own namespace.
    pub fn namespace(&self) -> &str {
        &self.options.namespace
    }

    pub(crate) async fn find_kind(&self, api_version: &str, kind: &str) -> Result<Option<Arc<Kind>>, Error> {
        self.discovery.find(&self.transport, api_version, kind).await
    }

    pub(crate) async fn kind(&self, api_version: &str, kind: &str) -> Result<Arc<Kind>, Error> {
        self.find_kind(api_version, kind)
            .await?
            .ok_or_else(|| Error::UnknownKind { api_version: plain_name(api_version), kind: plain_name(kind) })
    }

    async fn path(&self, what: &str, object: &ObjectRef) -> Result<String, Error> {
        let kind = self.kind(&object.api_version, &object.kind).await?;
        kind.path(object).map_err(|reason| Error::Invalid { what: format!("{what} {object}"), reason })
    }

    /// Reads an object at its path; `None` where it is not there.
    pub(crate) async fn read(&self, id: &ObjectRef, path: &str, run_as: Option<&str>) -> Result<Option<Value>, Error> {
        let call = Call::new(format!("reading {id}"), Method::GET, path).run_as(run_as).secret(is_secret(id));
        match self.transport.send(call).await {
            Ok(answer) => Ok(Some(answer.value)),
            Err(error) if error.is_status(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn get_object(&self, id: &ObjectRef) -> Result<Option<Value>, Error> {
        let path = self.path("reading", id).await?;
        self.read(id, &path, None).await
    }

    async fn list_objects(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, Error> {
        let served = self.kind(api_version, kind).await?;
        let what =
            format!("listing {} in {}", plain_name(kind), namespace.map_or("all namespaces".to_owned(), plain_name));
        let path = served.collection(namespace).map_err(|reason| Error::Invalid { what: what.clone(), reason })?;
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let mut call = Call::new(&what, Method::GET, &path).query("limit", PAGE.to_string());
            call.secret = api_version == "v1" && kind == "Secret";
            if !next.is_empty() {
                call = call.query("continue", &next);
            }
            let mut page = self.transport.send(call).await?.value;
            let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
                return Err(Error::Unreadable { what, reason: "it has no items".to_owned() });
            };
            objects.extend(items.into_iter().map(|mut item| {
                // Lists of built-in kinds leave these out of their items.
                item["apiVersion"] = json!(api_version);
                item["kind"] = json!(kind);
                item
            }));
            if objects.len() > MAX_LISTED {
                return Err(Error::TooLong { what, limit: format!("{MAX_LISTED} objects") });
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => next = token.to_owned(),
                _ => return Ok(objects),
            }
        }
    }

    async fn delete_object(&self, id: &ObjectRef, uid: Option<&str>) -> Result<bool, Error> {
        let path = self.path("deleting", id).await?;
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        if let Some(uid) = uid {
            options["preconditions"] = json!({ "uid": uid });
        }
        let call = Call::new(format!("deleting {id}"), Method::DELETE, path)
            .body(Format::Json, &options)
            .secret(is_secret(id));
        let deleted = match self.transport.send(call).await {
            Ok(_) => true,
            Err(error) if error.is_status(404) => false,
            Err(error) => return Err(error),
        };
        if id.kind == "CustomResourceDefinition" {
            self.discovery.forget();
        }
        Ok(deleted)
    }

    async fn health_of(&self, id: &ObjectRef) -> Result<Health, Error> {
        let missing = |reason: String| Health { state: HealthState::Missing, reason };
        let object = match self.get_object(id).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(missing("it is not there".to_owned())),
            Err(error @ Error::UnknownKind { .. }) => return Ok(missing(error.to_string())),
            Err(error) => return Err(error),
        };
        let health = assess(&object);
        if health.state == HealthState::Healthy {
            return Ok(health);
        }
        let (Some(namespace), Some(selector)) = (&id.namespace, pods::selector(&object)) else { return Ok(health) };
        // The pods only add a reason: where they cannot be read, the verdict stands without it.
        match self.pods(namespace, &selector).await {
            Ok(list) => Ok(pods::with_reason(health, &object, &list)),
            Err(error) => {
                tracing::debug!(object = %id, error = %error, "could not read the pods of a workload that is not ready");
                Ok(health)
            }
        }
    }

    async fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Value>, Error> {
        let kind = self.kind("v1", "Pod").await?;
        let what = format!("listing the pods in {namespace}");
        let path = kind.collection(Some(namespace)).map_err(|reason| Error::Invalid { what: what.clone(), reason })?;
        let call = Call::new(what, Method::GET, path).query("labelSelector", selector).query("limit", PODS);
        let mut page = self.transport.send(call).await?.value;
        match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    async fn served(&self) -> Result<Capabilities, Error> {
        let what = "reading the API server's version";
        let version = self.transport.send(Call::new(what, Method::GET, "/version")).await?.value;
        let kube_version =
            version.get("gitVersion").and_then(Value::as_str).map(crate::error::plain).ok_or_else(|| {
                Error::Unreadable { what: what.to_owned(), reason: "it has no gitVersion".to_owned() }
            })?;
        let catalog = self.discovery.fresh(&self.transport).await?;
        Ok(Capabilities { kube_version, api_versions: catalog.names.iter().cloned().collect() })
    }
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("options", &self.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Cluster for ApiServer {
    async fn scope(&self, api_version: &str, kind: &str) -> Result<Option<Scope>, Fault> {
        Ok(self.find_kind(api_version, kind).await?.map(|kind| kind.scope))
    }

    async fn apply(&self, apply: &Apply) -> Result<Applied, Fault> {
        Ok(self.apply_object(apply).await?)
    }

    async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, Fault> {
        Ok(self.get_object(object).await?)
    }

    async fn list(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, Fault> {
        Ok(self.list_objects(api_version, kind, namespace.filter(|namespace| !namespace.is_empty())).await?)
    }

    async fn delete(&self, object: &ObjectRef, uid: Option<&str>) -> Result<bool, Fault> {
        Ok(self.delete_object(object, uid).await?)
    }

    async fn health(&self, objects: &[ObjectRef]) -> Result<Vec<Health>, Fault> {
        let mut questions = Vec::with_capacity(objects.len());
        for id in objects {
            questions.push(self.health_of(id).boxed());
        }
        let mut answers = futures::stream::iter(questions).buffered(HEALTH_AT_ONCE);
        let mut healths = Vec::with_capacity(objects.len());
        while let Some(health) = answers.next().await {
            healths.push(health?);
        }
        Ok(healths)
    }

    async fn established(&self, crd: &str, deadline: Duration) -> Result<(), Fault> {
        Ok(self.wait_established(crd, deadline).await?)
    }

    async fn capabilities(&self) -> Result<Capabilities, Fault> {
        Ok(self.served().await?)
    }

    async fn inventory(&self, source: &SourceId) -> Result<Option<Inventory>, Fault> {
        Ok(self.load_inventory(source).await?)
    }

    async fn save_inventory(&self, source: &SourceId, inventory: &Inventory) -> Result<(), Fault> {
        Ok(self.write_inventory(source, inventory).await?)
    }

    async fn event(&self, object: &ObjectRef, warning: bool, reason: &str, note: &str) {
        self.record_event(object, warning, reason, note).await;
    }
}
