//! The example with everything that it needs: real servers on loopback, seeded, and a controller that looks after it.

use std::path::Path;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use tagboat_testkit::{
    ChartServer, Cluster, Controller, GitHttp, ImageSpec, Registry, Repository, Scratch, SlackStandIn,
};

use crate::{example, workspace};

/// How often the controller looks at git and at the registry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between two fetches, as the configuration writes it.
    pub(crate) git: &'static str,
    /// Between two scans.
    pub(crate) images: &'static str,
}

/// The servers.
pub(crate) struct Servers {
    pub(crate) cluster: Cluster,
    pub(crate) registry: Registry,
    pub(crate) charts: ChartServer,
    pub(crate) git: GitHttp,
    pub(crate) repository: Repository,
    pub(crate) slack: SlackStandIn,
    scratch: Scratch,
}

impl Servers {
    /// Starts everything but the controller, and seeds it with the example.
    pub(crate) async fn start(cluster: Cluster) -> anyhow::Result<Self> {
        let scratch = Scratch::new("installation")?;
        let registry = Registry::start().await.context("starting the registry")?;
        push_named_images(&registry).await.context("pushing the images that the example names")?;
        let charts = ChartServer::start().await.context("starting the chart repository")?;
        charts.publish_folder(&example::chart(), example::CHART_VERSION).await.context("publishing the chart")?;
        let git = GitHttp::start().context("starting the git server")?;
        let repository = git.create_repository("infrastructure")?;
        repository
            .commit_folder("main", &example::infrastructure(), "Four environments of the bookshop")
            .context("seeding the infrastructure repository")?;
        let slack = SlackStandIn::start().context("starting the stand-in for Slack")?;
        Ok(Self { cluster, registry, charts, git, repository, slack, scratch })
    }

    /// The controller's configuration, in YAML.
    pub(crate) fn configuration(&self, namespace: &str, pace: Pace) -> anyhow::Result<String> {
        let renderer = workspace::components().join("tagboat-renderer");
        let webhook = self.scratch.write("slack-webhook", self.slack.webhook_url())?;
        Ok(format!(
            "\
sources:
- name: infrastructure
  git:
    url: {git}
    branch: main
    interval: {git_interval}
    allowHttp: true
registries:
  interval: {image_interval}
  hosts:
  - host: {registry}
    endpoint: {endpoint}
    plainHttp: true
helm:
  renderer: {renderer}
  mirrors:
  - repository: {charts}
    mirror: {mirror}/
cluster:
  namespace: {namespace}
notify:
  slack:
    webhookFile: {webhook}
    plainHttp: true
",
            git = self.git.url(&self.repository),
            git_interval = pace.git,
            image_interval = pace.images,
            registry = example::REGISTRY,
            endpoint = self.registry.url(),
            renderer = renderer.display(),
            charts = example::CHARTS,
            mirror = self.charts.url(),
            webhook = webhook.display(),
        ))
    }

    /// Starts the controller and waits until it is ready.
    pub(crate) async fn controller(&self, binary: &Path, namespace: &str, pace: Pace) -> anyhow::Result<Controller> {
        let configuration = self.configuration(namespace, pace)?;
        Controller::start(binary, &configuration, self.cluster.kubeconfig_path()).await.context("starting tagboat")
    }

    /// Pushes a build of the example's application that was built this moment.
    pub(crate) async fn push(&self, tag: &str) -> anyhow::Result<()> {
        self.registry.push_image(example::IMAGE, tag, &ImageSpec::default()).await?;
        Ok(())
    }

    /// The image that an environment's Deployment has now, from the API server.
    pub(crate) async fn live_image(&self, environment: &str) -> anyhow::Result<String> {
        let (namespace, name) = (format!("bookshop-{environment}"), example::release(environment));
        let path = "jsonpath={.spec.template.spec.containers[0].image}";
        Ok(self.cluster.kubectl(&["-n", &namespace, "get", "deployment", &name, "-o", path]).await?)
    }
}

/// Builds of the past: hours apart, so that each is another image with a time of its own.
async fn push_named_images(registry: &Registry) -> anyhow::Result<()> {
    for (index, image) in example::images()?.iter().enumerate() {
        let age = SignedDuration::from_hours(24 + i64::try_from(index)?);
        registry.push_image(&image.repository, &image.tag, &ImageSpec::created_at(Timestamp::now() - age)).await?;
    }
    Ok(())
}
