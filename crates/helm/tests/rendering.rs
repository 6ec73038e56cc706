//! The renderer against the real `helm template`, and its limits.

#![allow(clippy::unwrap_used, reason = "a test's helpers panic as the test does")]

mod support;

use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Nothing, chart, options, package, renderer, request};
use tagboat_engine::ports::{FaultKind, Lookup, RenderRequest, Rendered, Renderer};
use tagboat_helm::{HelmRenderer, RendererOptions};
use tagboat_testkit::components;

/// `helm template` with the same chart, values and capabilities.
fn helm_template(request: &RenderRequest) -> String {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.json");
    std::fs::write(&values, request.values.to_string()).unwrap();
    let mut command = Command::new(components::path("helm").unwrap());
    command.env_clear().env("HOME", folder.path()).args(["template", &request.release]).arg(&request.chart.path);
    command.args(["--namespace", &request.namespace, "--kube-version", &request.capabilities.kube_version]);
    command.args(["--api-versions", &request.capabilities.api_versions.join(",")]).arg("--values").arg(values);
    if request.upgrade {
        command.arg("--is-upgrade");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same text as `helm template` prints it.
fn as_template(rendered: &Rendered) -> String {
    let mut text = format!("{}\n", rendered.manifest.trim());
    for hook in &rendered.hooks {
        text.push_str(&format!("---\n# Source: {}\n{}\n", hook.path, hook.manifest));
    }
    text
}

#[tokio::test]
async fn what_is_rendered_is_what_helm_renders_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let renderer = renderer();
    let path = package("storefront", "1.4.0", folder.path());
    for (upgrade, values) in [
        (false, json!({})),
        (true, json!({"replicas": 3, "large": 99999999, "extraVars": {"ENVIRONMENT": "prod", "PORT": "1"}})),
        (true, json!({"cache": {"enabled": true, "size": 7}, "tags": {"monitoring": false}, "wanted": "hidden"})),
        (false, json!({"hooks": false, "image": null, "metrics": {"port": 1}})),
    ] {
        let mut request = request(path.clone(), values);
        if request.values.get("image").is_some() {
            request.values["image"] = json!({"repository": "r"});
        }
        request.upgrade = upgrade;
        let rendered = renderer.render(&request, &Nothing).await.unwrap();
        assert_eq!(as_template(&rendered), helm_template(&request), "{}", request.values);
    }
}

#[tokio::test]
async fn a_rendering_comes_apart_into_what_a_release_needs() {
    let renderer = renderer();
    let mut request = request(chart("storefront"), json!({"extraVars": {"ENVIRONMENT": "prod"}}));
    request.revision = 7;
    request.upgrade = true;
    let rendered = renderer.render(&request, &Nothing).await.unwrap();
    assert_eq!(rendered.notes, "shop runs main-1.\n");
    let config = rendered.objects.iter().find(|found| found.object["kind"] == "ConfigMap").unwrap();
    assert_eq!(config.object["data"]["ENVIRONMENT"], "prod", "of a duplicate key the last wins");
    assert_eq!(config.object["data"]["PORT"], "\"3306\"");
    assert_eq!(config.object["data"]["release"], "market/shop 7 install=false upgrade=true Helm");
    assert_eq!(config.object["data"]["dns"], "[]");
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("\"ENVIRONMENT\""), "{:?}", config.warnings);
    assert!(rendered.objects.iter().any(|found| found.object == Value::Null), "a comment between documents is kept");
    assert_eq!(rendered.crds.len(), 1);
    assert_eq!(rendered.crds[0].source, "storefront/crds/widgets.yaml");
    let job = rendered.hooks.iter().find(|hook| hook.kind == "Job").unwrap();
    assert_eq!(
        (job.weight, job.events.as_slice()),
        (5, ["pre-install".to_owned(), "pre-upgrade".to_owned()].as_slice())
    );
    assert_eq!(job.delete_policies, ["before-hook-creation", "hook-succeeded"]);
    assert_eq!(job.object["metadata"]["name"], "shop-migrate");
    assert_eq!(rendered.chart["metadata"]["version"], "1.4.0");
    let read = renderer.read(&rendered.manifest).await.unwrap();
    let kinds = |objects: &[tagboat_engine::ports::RenderedObject]| -> Vec<Value> {
        objects.iter().map(|found| found.object.clone()).collect()
    };
    assert_eq!(kinds(&read), kinds(&rendered.objects), "a stored manifest reads as it was rendered");
}

#[tokio::test]
async fn helms_own_errors_come_through() {
    let renderer = renderer();
    for (values, part) in [
        (json!({"replicas": "many"}), "got string, want integer"),
        (json!({"image": "text"}), "can't evaluate field repository"),
    ] {
        let fault = renderer.render(&request(chart("storefront"), values), &Nothing).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert!(fault.text.contains(part), "{}", fault.text);
    }
    let mut old = request(chart("storefront"), json!({}));
    old.capabilities.kube_version = "v1.20.0".to_owned();
    let fault = renderer.render(&old, &Nothing).await.unwrap_err();
    assert!(fault.text.contains("chart requires kubeVersion"), "{}", fault.text);
    let fault = renderer.render(&request("/no/such/chart.tgz".into(), json!({})), &Nothing).await.unwrap_err();
    assert!(fault.text.contains("no such file"), "{}", fault.text);
}

#[tokio::test]
async fn a_template_without_end_is_stopped_and_the_next_chart_renders() {
    let renderer = HelmRenderer::new(RendererOptions { deadline: Duration::from_millis(700), ..options() });
    let started = Instant::now();
    let fault = renderer.render(&request(chart("endless"), json!({})), &Nothing).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Limit);
    assert!(fault.text.contains("market/shop"), "{}", fault.text);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(renderer.process_id().await, None, "the process is gone");
    renderer.render(&request(chart("storefront"), json!({})), &Nothing).await.unwrap();
}

#[tokio::test]
async fn a_template_that_eats_memory_is_stopped() {
    let renderer = HelmRenderer::new(RendererOptions { memory_limit: 128 << 20, ..options() });
    let fault = renderer.render(&request(chart("hungry"), json!({})), &Nothing).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Limit);
    assert!(fault.text.contains("128 MiB"), "{}", fault.text);
}

#[tokio::test]
async fn a_renderer_that_died_is_replaced() {
    let renderer = renderer();
    let request = request(chart("storefront"), json!({}));
    renderer.render(&request, &Nothing).await.unwrap();
    let first = renderer.process_id().await.unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(first).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    renderer.render(&request, &Nothing).await.unwrap();
    assert_ne!(renderer.process_id().await, Some(first));
}

#[tokio::test]
async fn an_idle_renderer_ends() {
    let renderer = HelmRenderer::new(RendererOptions { idle: Duration::from_millis(200), ..options() });
    renderer.render(&request(chart("storefront"), json!({})), &Nothing).await.unwrap();
    let id = renderer.process_id().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(renderer.process_id().await, None);
    let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    assert!(status.is_empty() || status.contains(") Z "), "{status}");
}

#[tokio::test]
async fn every_thread_is_behind_the_filter_and_nothing_is_in_the_environment() {
    let renderer = renderer();
    renderer.render(&request(chart("storefront"), json!({})), &Nothing).await.unwrap();
    let id = renderer.process_id().await.unwrap();
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(status.contains("Seccomp:\t2\n") && status.contains("NoNewPrivs:\t1\n"), "{status}");
        threads += 1;
    }
    assert!(threads > 1);
    assert_eq!(std::fs::read(format!("/proc/{id}/environ")).unwrap(), b"");
}

#[tokio::test]
async fn a_lookup_that_hangs_counts_against_the_deadline() {
    struct Hanging;
    #[async_trait::async_trait]
    impl Lookup for Hanging {
        async fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Value, tagboat_engine::ports::Fault> {
            std::future::pending().await
        }
    }
    let renderer = HelmRenderer::new(RendererOptions { deadline: Duration::from_millis(600), ..options() });
    let fault = renderer.render(&request(chart("storefront"), json!({})), &Hanging).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Limit);
}

#[tokio::test]
async fn a_missing_renderer_is_named() {
    let renderer = HelmRenderer::new(RendererOptions { program: Some("/nowhere/renderer".into()), ..options() });
    let fault = renderer.render(&request(chart("storefront"), json!({})), &Nothing).await.unwrap_err();
    assert!(fault.text.contains("/nowhere/renderer"), "{}", fault.text);
}
