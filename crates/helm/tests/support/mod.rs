//! What the tests of this crate share: the renderer, packaged charts, and lookups at a real API server.

#![allow(dead_code, reason = "each test binary uses a part")]

use async_trait::async_trait;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tagboat_engine::ports::{Capabilities, ChartArchive, Fault, FaultKind, Lookup, RenderRequest};
use tagboat_helm::{HelmRenderer, RendererOptions};
use tagboat_testkit::components;

/// A chart of `tests/charts`.
pub(crate) fn chart(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts").join(name)
}

/// Packages a chart with the real `helm`.
pub(crate) fn package(name: &str, version: &str, into: &Path) -> PathBuf {
    let output = Command::new(components::path("helm").unwrap())
        .env_clear()
        .env("HOME", into)
        .args(["package", "--version", version, "--destination"])
        .arg(into)
        .arg(chart(name))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    into.join(format!("{name}-{version}.tgz"))
}

pub(crate) fn archive(path: PathBuf) -> ChartArchive {
    ChartArchive { path, digest: "sha256:0".to_owned(), version: "1.4.0".to_owned() }
}

pub(crate) fn options() -> RendererOptions {
    RendererOptions { program: Some(components::path("tagboat-renderer").unwrap()), ..RendererOptions::default() }
}

pub(crate) fn renderer() -> HelmRenderer {
    HelmRenderer::new(options())
}

pub(crate) fn request(path: PathBuf, values: Value) -> RenderRequest {
    RenderRequest {
        chart: archive(path),
        release: "shop".to_owned(),
        namespace: "market".to_owned(),
        revision: 1,
        upgrade: false,
        values,
        capabilities: Capabilities {
            kube_version: "v1.37.2".to_owned(),
            api_versions: vec!["v1".to_owned(), "apps/v1".to_owned(), "apps/v1/Deployment".to_owned()],
        },
    }
}

/// A cluster without any objects.
pub(crate) struct Nothing;

#[async_trait]
impl Lookup for Nothing {
    async fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Value, Fault> {
        Ok(json!({}))
    }
}

/// A real API server.
pub(crate) struct Live(pub(crate) kube::Client);

#[async_trait]
impl Lookup for Live {
    async fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, Fault> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = if namespace.is_empty() {
            Api::all_with(self.0.clone(), &resource)
        } else {
            Api::namespaced_with(self.0.clone(), namespace, &resource)
        };
        let fault = |error: kube::Error| Fault::new(FaultKind::Unavailable, error.to_string());
        if name.is_empty() {
            let list = api.list(&ListParams::default()).await.map_err(fault)?;
            return Ok(serde_json::to_value(list).unwrap());
        }
        let found = api.get_opt(name).await.map_err(fault)?;
        Ok(found.map_or(json!({}), |object| serde_json::to_value(object).unwrap()))
    }
}

/// What the API server is and serves.
pub(crate) async fn capabilities(client: &kube::Client) -> Capabilities {
    let version = client.apiserver_version().await.unwrap();
    let discovery = kube::discovery::Discovery::new(client.clone()).run().await.unwrap();
    let mut api_versions = Vec::new();
    for group in discovery.groups() {
        for version in group.versions() {
            for (resource, _) in group.versioned_resources(version) {
                api_versions.push(resource.api_version.clone());
                api_versions.push(format!("{}/{}", resource.api_version, resource.kind));
            }
        }
    }
    api_versions.sort();
    api_versions.dedup();
    Capabilities { kube_version: version.git_version, api_versions }
}
