//! A real cluster, a real chart repository, and the release logic over the real adapters.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tagboat_cluster::{ApiServer, Options, PolicyWatch, ReleaseWatch};
use tagboat_engine::ports::{Clock, Fault, FaultKind, ReleaseObject, ReleaseObjects, WriteFence};
use tagboat_engine::release::{ReleaseOutcome, ReleasePorts, ReleaseReconciler, ReleaseResult, Released};
use tagboat_helm::{ChartRepositories, ChartRepositoriesOptions, HelmRecords, HelmRenderer, RendererOptions};
use tagboat_testkit::{ChartServer, Cluster, components, install_provider};

/// What a HelmRelease writes; a mirror stands in for it.
pub(crate) const REPOSITORY: &str = "https://charts.example.com/stable";

/// The real time.
struct RealClock;

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

/// A fence that closes after so many questions, as when a lease is lost in the midst of a release.
pub(crate) struct Countdown(AtomicI64);

#[async_trait]
impl WriteFence for Countdown {
    async fn check(&self) -> Result<(), Fault> {
        if self.0.fetch_sub(1, Ordering::SeqCst) > 0 {
            Ok(())
        } else {
            Err(Fault::new(FaultKind::Fenced, "not the leader"))
        }
    }
}

pub(crate) struct World {
    pub(crate) cluster: &'static Cluster,
    pub(crate) api: Arc<ApiServer>,
    pub(crate) charts: ChartServer,
    pub(crate) namespace: String,
    pub(crate) objects: Arc<ReleaseWatch>,
    pub(crate) policies: Arc<PolicyWatch>,
    cache: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        install_provider();
        let cluster = Cluster::shared().await.unwrap();
        let namespace = cluster.namespace("market").await.unwrap();
        let kubeconfig = kube::config::Kubeconfig::read_from(cluster.kubeconfig_path()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        let options = Options { namespace: namespace.clone(), instance: "test".to_owned() };
        let api = Arc::new(ApiServer::connect(config, options).unwrap());
        api.install_crds().await.unwrap();
        let charts = ChartServer::start().await.unwrap();
        charts.publish_folder(&chart("storefront"), "1.4.0").await.unwrap();
        let objects = Arc::new(ReleaseWatch::start(api.clone()));
        let policies = Arc::new(PolicyWatch::start(api.clone()));
        assert!(policies.synced(Duration::from_secs(30)).await);
        Self { cluster, api, charts, namespace, objects, policies, cache: tempfile::tempdir().unwrap() }
    }

    /// A process: it knows nothing but what is in the cluster, and the chart cache.
    pub(crate) fn reconciler(&self) -> ReleaseReconciler {
        self.reconciler_until(i64::MAX)
    }

    /// A process that loses the lease after so many checks.
    pub(crate) fn reconciler_until(&self, checks: i64) -> ReleaseReconciler {
        let mut options = ChartRepositoriesOptions::new(self.cache.path().to_owned());
        options.mirrors.insert(REPOSITORY.to_owned(), self.charts.url());
        options.refresh = Duration::ZERO;
        let program = Some(components::path("tagboat-renderer").unwrap());
        ReleaseReconciler::new(ReleasePorts {
            charts: Arc::new(ChartRepositories::new(options).unwrap()),
            renderer: Arc::new(HelmRenderer::new(RendererOptions { program, ..RendererOptions::default() })),
            records: Arc::new(HelmRecords::new(self.api.client())),
            cluster: self.api.clone(),
            objects: self.objects.clone(),
            policies: self.policies.clone(),
            clock: Arc::new(RealClock),
            fence: Arc::new(Countdown(AtomicI64::new(checks))),
        })
    }

    /// Creates or changes a HelmRelease of the chart `storefront` with the release name `shop`.
    pub(crate) async fn declare(&self, name: &str, values: Value) {
        self.declare_with(name, json!({"releaseName": "shop", "values": values})).await;
    }

    pub(crate) async fn declare_with(&self, name: &str, more: Value) {
        let mut spec = json!({"chart": {"repository": REPOSITORY, "name": "storefront", "version": "1.4.0"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let object = json!({
            "apiVersion": "helm.fluxcd.io/v1",
            "kind": "HelmRelease",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        });
        let arguments = ["apply", "--server-side", "--field-manager=tagboat", "-f", "-"];
        self.cluster.kubectl_with(&arguments, object.to_string().as_bytes()).await.unwrap();
    }

    /// The HelmRelease as the API server has it now.
    pub(crate) async fn read(&self, name: &str) -> ReleaseObject {
        self.objects.read(&self.namespace, name).await.unwrap().unwrap()
    }

    pub(crate) async fn reconcile(&self, reconciler: &ReleaseReconciler, name: &str) -> ReleaseOutcome {
        reconciler.reconcile(&self.read(name).await).await
    }

    pub(crate) async fn release(&self, reconciler: &ReleaseReconciler, name: &str) -> Released {
        match self.reconcile(reconciler, name).await.result {
            ReleaseResult::Released(released) => released,
            other => panic!("not released: {other:?}"),
        }
    }

    /// `kubectl get … -o json` in the test's namespace.
    pub(crate) async fn get(&self, what: &[&str]) -> Value {
        let arguments = [&["-n", &self.namespace, "get", "-o", "json"], what].concat();
        serde_json::from_str(&self.cluster.kubectl(&arguments).await.unwrap()).unwrap()
    }

    /// The HelmRelease's status.
    pub(crate) async fn status(&self, name: &str) -> Value {
        self.get(&["helmrelease", name]).await["status"].take()
    }

    /// The message of a condition, with its status: `True: …`.
    pub(crate) async fn condition(&self, name: &str, type_: &str) -> String {
        let status = self.status(name).await;
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|found| found["type"] == type_);
        let found = found.unwrap_or_else(|| panic!("no condition {type_} in {status}"));
        format!("{}: {}", found["status"].as_str().unwrap(), found["message"].as_str().unwrap())
    }

    /// The real `helm`, with JSON output.
    pub(crate) async fn helm(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["-n", &self.namespace, "-o", "json"]].concat();
        serde_json::from_str(&self.cluster.helm(&arguments).await.unwrap()).unwrap()
    }

    /// `helm history`, as `1 superseded`, ….
    pub(crate) async fn history(&self) -> Vec<String> {
        let history = self.helm(&["history", "shop"]).await;
        let line = |found: &Value| format!("{} {}", found["revision"], found["status"].as_str().unwrap());
        history.as_array().unwrap().iter().map(line).collect()
    }
}

/// A chart of the helm crate's tests.
pub(crate) fn chart(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/tests/charts").join(name)
}
