//! A small shop: a plain Deployment and a HelmRelease in one namespace, both automated.

use crate::place::{PATIENCE, Place, fixture, item, tagboat};
use std::path::Path;
use std::time::Duration;
use tagboat_testkit::{AuditEntry, Change, Controller, ControllerOptions, NewCommit};

pub const WEB: &str = "shop:deployment/web";
pub const API: &str = "shop:helmrelease/api";
pub const WEB_FILE: &str = "shop/web.yaml";
pub const API_FILE: &str = "shop/api.yaml";
/// The image repositories, as the registry knows them.
pub const WEB_IMAGE: &str = "shop/web";
pub const API_IMAGE: &str = "shop/api";

/// The shop's servers; the repository holds its manifests, the registry the images that they name.
pub struct Shop {
    pub place: Place,
}

impl Shop {
    pub async fn new() -> Self {
        Self::at(Place::new().await).await
    }

    pub async fn at(place: Place) -> Self {
        place.charts.publish_folder(&fixture("charts/sentence-collector"), "0.1.0").await.unwrap();
        let (web, api) = (web("main-1", 1), api("main-1"));
        let files = [
            ("shop/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n"),
            (WEB_FILE, web.as_str()),
            (API_FILE, api.as_str()),
        ];
        let changes = files.map(|(path, text)| Change { path, content: Some(text.as_bytes()) });
        place.repository.commit("main", &NewCommit::new("Open the shop", changes.to_vec())).unwrap();
        place.push(WEB_IMAGE, "main-1").await;
        place.push(API_IMAGE, "main-1").await;
        Self { place }
    }

    pub fn config(&self) -> String {
        self.place.config("main", "registry.example.com", "https://charts.example.com/")
    }

    /// Starts Tagboat as the cluster's administrator.
    pub async fn start(&self) -> Controller {
        self.start_with(&self.config(), self.place.cluster.kubeconfig_path(), &ControllerOptions::default()).await
    }

    pub async fn start_with(&self, config: &str, kubeconfig: &Path, options: &ControllerOptions) -> Controller {
        self.place.cluster.kubectl(&["create", "namespace", "tagboat"]).await.ok();
        Controller::start_with(&tagboat(), config, kubeconfig, options).await.unwrap()
    }

    /// Waits until both workloads run these tags and are healthy.
    pub async fn settled(&self, controller: &Controller, web: &str, api: &str) -> serde_json::Value {
        let runs = |status: &serde_json::Value, workload: &str, tag: &str| {
            item(status, workload).is_some_and(|item| {
                let current = item["containers"][0]["current"].as_str().unwrap_or_default();
                current.ends_with(&format!(":{tag}")) && item["health"]["state"] == "healthy"
            })
        };
        self.place.wait_for_image("shop", "web", &image(WEB_IMAGE, web), controller).await;
        self.place.wait_for_image("shop", "sentence-collector", &image(API_IMAGE, api), controller).await;
        let told = controller
            .wait_for("the shop is settled", PATIENCE, |status| runs(status, WEB, web) && runs(status, API, api))
            .await;
        told.unwrap_or_else(|error| panic!("{error}\n{}", controller.log_tail()))
    }

    /// Waits until the Deployment runs a tag.
    pub async fn settled_web(&self, controller: &Controller, tag: &str) {
        self.place.wait_for_image("shop", "web", &image(WEB_IMAGE, tag), controller).await;
    }

    /// A person commits one file.
    pub fn commit(&self, message: &str, path: &str, text: &str) -> String {
        self.place.repository.commit("main", &NewCommit::file(message, path, text.as_bytes())).unwrap()
    }

    pub fn head(&self) -> String {
        self.place.repository.head("main").unwrap().unwrap()
    }

    /// A file at the branch's tip.
    pub fn read(&self, path: &str) -> String {
        String::from_utf8(self.place.repository.read(&self.head(), path).unwrap()).unwrap()
    }

    /// How many commits on the branch have this subject.
    pub fn commits_with(&self, subject: &str) -> usize {
        let commits = self.place.repository.commits("main").unwrap();
        commits.iter().filter(|commit| commit.message.lines().next() == Some(subject)).count()
    }

    /// How many revisions the Helm release has.
    pub async fn revisions(&self) -> usize {
        let history = self.place.cluster.helm(&["history", "api", "-n", "shop", "--output", "json"]).await.unwrap();
        serde_json::from_str::<Vec<serde_json::Value>>(&history).unwrap().len()
    }

    /// What a user asked the API server to write; asking what a write would do is none.
    pub fn writes_of(&self, user: &str) -> Vec<AuditEntry> {
        let entries = self.place.cluster.audit_entries().unwrap();
        let of_user = entries.into_iter().filter(|entry| entry.user.username == user);
        of_user.filter(|entry| entry.is_write() && !entry.uri.contains("dryRun=All")).collect()
    }
}

/// Waits until something holds; the error is the last thing seen.
pub async fn until(what: &str, controller: &Controller, check: impl AsyncFn() -> Result<(), String>) {
    let began = std::time::Instant::now();
    while let Err(seen) = check().await {
        assert!(began.elapsed() < PATIENCE, "{what}: {seen}\n{}", controller.log_tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The lines of the log above `debug`.
pub fn spoken(controller: &Controller) -> Vec<serde_json::Value> {
    let quiet = |line: &serde_json::Value| line["level"] == "DEBUG" || line["level"] == "TRACE";
    controller.logs().unwrap().into_iter().filter(|line| !quiet(line)).collect()
}

/// How many lines of the log hold a text.
pub fn said(controller: &Controller, text: &str) -> usize {
    spoken(controller).iter().filter(|line| line["message"].as_str().is_some_and(|said| said.contains(text))).count()
}

/// The reference of an image as the manifests write it.
pub fn image(repository: &str, tag: &str) -> String {
    format!("registry.example.com/{repository}:{tag}")
}

/// The manifest of the Deployment.
pub fn web(tag: &str, replicas: u32) -> String {
    deployment("web", &image(WEB_IMAGE, tag), replicas)
        .replace("  name: web\n", "  name: web\n  namespace: shop\n")
        .replacen("metadata:\n", &format!("metadata:\n{AUTOMATED}    filter.fluxcd.io/web: glob:main-*\n"), 1)
}

pub const AUTOMATED: &str = "  annotations:\n    fluxcd.io/automated: \"true\"\n";

/// A Deployment of one container that is named as it is, without annotations and namespace.
pub fn deployment(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  selector:\n    \
         matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n    spec:\n      \
         containers:\n      - name: {name}\n        image: {image} # by the pipeline\n"
    )
}

/// The manifest of the HelmRelease.
pub fn api(tag: &str) -> String {
    format!(
        "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata:\n  name: api\n  namespace: shop\n{AUTOMATED}    \
         filter.fluxcd.io/chart-image: glob:main-*\nspec:\n  releaseName: api\n  chart:\n    repository: \
         https://charts.example.com/\n    name: sentence-collector\n    version: 0.1.0\n  values:\n    image:\n      \
         repository: registry.example.com/{API_IMAGE}\n      tag: {tag}\n"
    )
}
