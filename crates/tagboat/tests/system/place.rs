//! Where a story takes place: a cluster, a registry, charts, a repository, and Tagboat among them.

use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;
use tagboat_testkit::{
    ChartServer, Cluster, Controller, Credentials, GitHttp, ImageSpec, Registry, RegistryAuth, RegistryOptions,
    Repository, Scratch, SlackStandIn,
};

/// How long anything may take that is waited for. A machine that is busy is slow; nothing here is timed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test.
pub fn tagboat() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tagboat"))
}

/// A file of this crate's tests.
pub fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// All servers of a story.
pub struct Place {
    pub cluster: Cluster,
    pub registry: Registry,
    pub charts: ChartServer,
    pub git: GitHttp,
    pub repository: Repository,
    pub slack: SlackStandIn,
    secrets: Scratch,
}

impl Place {
    pub async fn new() -> Self {
        Self::start_all(GitHttp::start().unwrap(), RegistryAuth::Open).await
    }

    /// One where git and the registry ask who is there.
    pub async fn guarded(git: &Credentials, registry: RegistryAuth) -> Self {
        Self::start_all(GitHttp::start_with(Some(git)).unwrap(), registry).await
    }

    async fn start_all(git: GitHttp, auth: RegistryAuth) -> Self {
        let cluster = Cluster::start().await.unwrap();
        let repository = git.create_repository("infrastructure").unwrap();
        Self {
            cluster,
            registry: Registry::start_with(RegistryOptions { auth, ..RegistryOptions::default() }).await.unwrap(),
            charts: ChartServer::start().await.unwrap(),
            git,
            repository,
            slack: SlackStandIn::start().unwrap(),
            secrets: Scratch::new("secrets").unwrap(),
        }
    }

    /// Pushes an image that was built now.
    pub async fn push(&self, repository: &str, tag: &str) -> String {
        let image = ImageSpec::created_at(Timestamp::now()).label("org.opencontainers.image.version", tag);
        self.registry.push_image(repository, tag, &image).await.unwrap()
    }

    /// A configuration: images of `host` come from the registry, charts of `mirrored` from the chart server.
    pub fn config(&self, branch: &str, host: &str, mirrored: &str) -> String {
        let renderer = tagboat_testkit::components::path("tagboat-renderer").unwrap();
        let webhook = self.secrets.write("slack", self.slack.webhook_url()).unwrap();
        format!(
            "sources:\n- name: infrastructure\n  git:\n    url: {git}\n    branch: {branch}\n    interval: 1s\n    \
             allowHttp: true\nregistries:\n  interval: 1s\n  hosts:\n  - host: {host}\n    endpoint: {registry}\n    \
             plainHttp: true\nhelm:\n  renderer: {renderer}\n  mirrors:\n  - repository: {mirrored}\n    mirror: {charts}\n\
             cluster:\n  namespace: tagboat\nnotify:\n  slack:\n    webhookFile: {webhook}\n    plainHttp: true\n",
            git = self.git.url(&self.repository),
            registry = self.registry.url(),
            charts = self.charts.url(),
            renderer = renderer.display(),
            webhook = webhook.display(),
        )
    }

    /// Starts Tagboat.
    pub async fn start(&self, config: &str) -> Controller {
        self.cluster.kubectl(&["create", "namespace", "tagboat"]).await.ok();
        Controller::start(&tagboat(), config, self.cluster.kubeconfig_path()).await.unwrap()
    }

    /// Waits until a Deployment runs an image.
    pub async fn wait_for_image(&self, namespace: &str, deployment: &str, image: &str, controller: &Controller) {
        let began = std::time::Instant::now();
        loop {
            let path = "jsonpath={.spec.template.spec.containers[0].image}";
            let live = self.cluster.kubectl(&["get", "deployment", deployment, "-n", namespace, "-o", path]).await;
            if live.as_deref().is_ok_and(|live| live.trim() == image) {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{namespace}/{deployment} runs {live:?}, not {image}\n{}",
                controller.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// One workload of a status.
pub fn item<'a>(status: &'a serde_json::Value, workload: &str) -> Option<&'a serde_json::Value> {
    status["items"].as_array()?.iter().find(|item| item["workload"] == workload)
}
