//! The adapter on a real API server, with real controllers and a node that runs no containers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod apply;
mod inventory;
mod lease;
mod objects;
mod policies;
mod releases;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tagboat_cluster::{ApiServer, Options};
use tagboat_engine::ports::{Applied, Apply, Cluster as _, FieldManager, Health, ObjectRef};
use tagboat_testkit::Cluster;

/// One test's view: the shared cluster, a namespace of its own, and the adapter.
struct Bench {
    cluster: &'static Cluster,
    namespace: String,
    api: Arc<ApiServer>,
}

impl Bench {
    async fn new(prefix: &str) -> Self {
        tagboat_testkit::install_provider();
        let cluster = Cluster::shared().await.unwrap();
        let namespace = cluster.namespace(prefix).await.unwrap();
        let api = Arc::new(adapter(cluster, &namespace).await);
        Self { cluster, namespace, api }
    }

    fn id(&self, api_version: &str, kind: &str, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(self.namespace.clone()),
            name: name.to_owned(),
        }
    }

    async fn get(&self, object: &Value) -> Value {
        self.api.get(&ObjectRef::of(object).unwrap()).await.unwrap().unwrap()
    }

    async fn apply(&self, object: &Value) -> Applied {
        self.api.apply(&mirror(object)).await.unwrap()
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(arguments);
        self.cluster.kubectl(&all).await.unwrap()
    }

    async fn kubectl_apply(&self, arguments: &[&str], object: &Value) {
        let mut all = vec!["apply", "-f", "-"];
        all.extend(arguments);
        self.cluster.kubectl_with(&all, object.to_string().as_bytes()).await.unwrap();
    }

    async fn health(&self, object: &ObjectRef) -> Health {
        self.api.health(std::slice::from_ref(object)).await.unwrap().remove(0)
    }

    /// Waits until the health is what is expected.
    async fn health_becomes(&self, object: &ObjectRef, expected: impl Fn(&Health) -> bool) -> Health {
        let started = Instant::now();
        loop {
            let health = self.health(object).await;
            if expected(&health) {
                return health;
            }
            if started.elapsed() > Duration::from_secs(60) {
                let pods = self.kubectl(&["get", "pods", "--output=json"]).await;
                panic!("still {health:?} with {pods}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn adapter(cluster: &Cluster, namespace: &str) -> ApiServer {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig_path()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let options = Options { namespace: namespace.to_owned(), instance: "tagboat-test".to_owned() };
    ApiServer::connect(config, options).unwrap()
}

fn mirror(object: &Value) -> Apply {
    Apply {
        object: object.clone(),
        manager: FieldManager::Mirror,
        run_as: None,
        leave_annotations: BTreeSet::new(),
        dry_run: false,
    }
}

fn config_map(namespace: &str, name: &str, data: Value) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

fn deployment(namespace: &str, name: &str, image: &str) -> Value {
    serde_json::json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    })
}
