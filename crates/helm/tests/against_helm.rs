//! Rendering and records against the real `helm` on a real API server.

#![allow(clippy::unwrap_used, reason = "a test's helpers panic as the test does")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{Live, capabilities, package, renderer, request};
use tagboat_engine::ports::{ReleaseRecord, ReleaseStore, Renderer};
use tagboat_helm::HelmRecords;
use tagboat_testkit::{Cluster, install_provider};

/// A cluster's namespace in which the real `helm` has installed the chart, with what templates look up.
struct Installed {
    namespace: String,
    client: kube::Client,
    chart: std::path::PathBuf,
    values: Value,
    _folder: tempfile::TempDir,
}

async fn cluster() -> &'static Cluster {
    install_provider();
    Cluster::shared().await.unwrap()
}

async fn install(values: Value) -> Installed {
    let cluster = cluster().await;
    let namespace = cluster.namespace("market").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let chart = package("storefront", "1.4.0", folder.path());
    let file = folder.path().join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    cluster
        .kubectl(&["-n", &namespace, "create", "configmap", "seen-by-lookup", "--from-literal=number=7"])
        .await
        .unwrap();
    cluster.kubectl(&["-n", &namespace, "create", "secret", "generic", "listed"]).await.unwrap();
    let arguments = ["install", "shop", chart.to_str().unwrap(), "-n", &namespace, "--values", file.to_str().unwrap()];
    cluster.helm(&arguments).await.unwrap();
    Installed { namespace, client: cluster.client().await.unwrap(), chart, values, _folder: folder }
}

async fn last(records: &HelmRecords, namespace: &str) -> ReleaseRecord {
    records.history(namespace, "shop").await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn an_install_renders_as_helm_installed_it_lookups_included() {
    let installed = install(json!({"replicas": 1, "extraVars": {"ENVIRONMENT": "dev"}})).await;
    let mut wanted = request(installed.chart.clone(), installed.values.clone());
    wanted.namespace = installed.namespace.clone();
    wanted.capabilities = capabilities(&installed.client).await;
    let ours = renderer().render(&wanted, &Live(installed.client.clone())).await.unwrap();
    let theirs = last(&HelmRecords::new(installed.client.clone()), &installed.namespace).await;
    assert_eq!(Value::from(ours.manifest.clone()), theirs.body["manifest"]);
    assert!(ours.manifest.contains(r#"seen: "{\"number\":\"7\"}""#), "{}", ours.manifest);
    assert!(ours.manifest.contains(r#"listed: "listed ""#), "{}", ours.manifest);
    assert!(ours.manifest.contains(r#"apis: "true false""#), "{}", ours.manifest);
    assert_eq!(ours.chart, theirs.body["chart"]);
    assert_eq!(Value::from(ours.notes), theirs.body["info"]["notes"]);
    for (ours, theirs) in ours.hooks.iter().zip(theirs.body["hooks"].as_array().unwrap()) {
        assert_eq!((json!(ours.name), json!(ours.manifest)), (theirs["name"].clone(), theirs["manifest"].clone()));
    }
    assert_eq!(ours.hooks.len(), theirs.body["hooks"].as_array().unwrap().len());
}

#[tokio::test]
async fn an_upgrade_renders_as_helm_upgraded_it() {
    let installed = install(json!({"replicas": 1})).await;
    let cluster = cluster().await;
    let chart = installed.chart.to_str().unwrap();
    cluster.helm(&["upgrade", "shop", chart, "-n", &installed.namespace, "--set", "replicas=2"]).await.unwrap();
    let mut wanted = request(installed.chart.clone(), json!({"replicas": 2}));
    wanted.namespace = installed.namespace.clone();
    wanted.revision = 2;
    wanted.upgrade = true;
    wanted.capabilities = capabilities(&installed.client).await;
    let ours = renderer().render(&wanted, &Live(installed.client.clone())).await.unwrap();
    let theirs = last(&HelmRecords::new(installed.client.clone()), &installed.namespace).await;
    assert_eq!(Value::from(ours.manifest), theirs.body["manifest"]);
}

#[tokio::test]
async fn helms_record_is_read_and_written_back_for_helm_to_read() {
    let installed = install(json!({"replicas": 1})).await;
    let cluster = cluster().await;
    let records = HelmRecords::new(installed.client.clone());
    let first = last(&records, &installed.namespace).await;
    assert_eq!((first.version, first.status.as_str(), first.name.as_str()), (1, "deployed", "shop"));

    let mut superseded = first.clone();
    superseded.status = "superseded".to_owned();
    superseded.body["info"]["status"] = json!("superseded");
    records.update(&superseded).await.unwrap();
    let mut second = first.clone();
    second.version = 2;
    second.body["version"] = json!(2);
    second.body["info"]["description"] = json!("Upgrade complete");
    second.labels = BTreeMap::from([("tagboat.dev/writer".to_owned(), "2".to_owned())]);
    records.create(&second).await.unwrap();
    let conflict = records.create(&second).await.unwrap_err();
    assert_eq!(conflict.kind, tagboat_engine::ports::FaultKind::Conflict);

    let namespace = installed.namespace.as_str();
    let listed: Value =
        serde_json::from_str(&cluster.helm(&["list", "-n", namespace, "-o", "json"]).await.unwrap()).unwrap();
    assert_eq!((&listed[0]["revision"], &listed[0]["status"]), (&json!("2"), &json!("deployed")));
    assert_eq!(listed[0]["chart"], "storefront-1.4.0");
    let history: Value =
        serde_json::from_str(&cluster.helm(&["history", "shop", "-n", namespace, "-o", "json"]).await.unwrap())
            .unwrap();
    assert_eq!((&history[0]["status"], &history[1]["description"]), (&json!("superseded"), &json!("Upgrade complete")));
    let manifest = cluster.helm(&["get", "manifest", "shop", "-n", namespace]).await.unwrap();
    assert_eq!(manifest.trim(), first.body["manifest"].as_str().unwrap().trim());

    let read = records.history(namespace, "shop").await.unwrap();
    assert_eq!(read[1].labels, second.labels);
    assert_eq!(read[1].body, second.body, "nothing of helm's JSON is lost");
    cluster.helm(&["uninstall", "shop", "-n", namespace]).await.unwrap();
    assert_eq!(records.history(namespace, "shop").await.unwrap(), []);
    records.delete(namespace, "shop", 1).await.unwrap();
}

#[tokio::test]
async fn a_record_in_a_namespace_that_is_not_there_is_a_clear_error() {
    let records = HelmRecords::new(cluster().await.client().await.unwrap());
    let record = ReleaseRecord {
        name: "shop".to_owned(),
        namespace: "no-such-namespace".to_owned(),
        version: 1,
        status: "pending-install".to_owned(),
        labels: BTreeMap::new(),
        modified: None,
        body: json!({"name": "shop", "version": 1}),
    };
    let fault = records.create(&record).await.unwrap_err();
    assert!(fault.text.contains("namespaces \"no-such-namespace\" not found"), "{}", fault.text);
}
