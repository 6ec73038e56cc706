//! `tagboat status`: what people and scripts see.

use crate::place::tagboat;
use crate::shop::{API_IMAGE, Shop, WEB_FILE, WEB_IMAGE, web};
use serde_json::{Value, json};
use std::process::Output;
use tagboat_testkit::NODE;

async fn status(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(tagboat());
    command.arg("status").args(arguments).env_clear().env("HOME", "/nonexistent");
    command.output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The line of a workload in a table, by cells.
fn row<'a>(table: &'a str, workload: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(workload));
    line.unwrap_or_else(|| panic!("{workload} is not in\n{table}"))
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_read_at_an_address_and_through_the_api_server() {
    let shop = Shop::new().await;
    let cluster = &shop.place.cluster;
    let controller = shop.start().await;
    shop.settled(&controller, "main-1", "main-1").await;
    let address = controller.api_url();

    let seen = status(&["--address", &address]).await;
    assert_eq!((seen.status.code(), text(&seen.stderr)), (Some(0), ""));
    let table = text(&seen.stdout);
    assert!(row(table, "shop:deployment/web").contains(&"healthy"), "{table}");
    assert!(table.contains("2 workloads: 2 healthy"), "{table}");
    let seen = status(&["--address", &address, "--output", "json"]).await;
    let parsed: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(parsed["items"].as_array().unwrap().len(), 2);
    assert_eq!(parsed["apiVersion"], "cli.tagboat/v1");
    let seen = status(&["--address", &address, "--namespace", "elsewhere", "--output", "json"]).await;
    assert_eq!(serde_json::from_slice::<Value>(&seen.stdout).unwrap()["items"], json!([]));

    // Nobody there; nobody found; wrong usage.
    let seen = status(&["--address", "http://127.0.0.1:1"]).await;
    assert_eq!(seen.status.code(), Some(7), "{seen:?}");
    assert!(text(&seen.stderr).starts_with("error: no answer from http://127.0.0.1:1"), "{seen:?}");
    let kubeconfig = cluster.kubeconfig_path().to_str().unwrap();
    let seen = status(&["--kubeconfig", kubeconfig]).await;
    assert_eq!(seen.status.code(), Some(7), "{seen:?}");
    assert!(text(&seen.stderr).contains("no running pod with the label app.kubernetes.io/name=tagboat"), "{seen:?}");
    assert_eq!(status(&["--output", "xml"]).await.status.code(), Some(2));

    // A pod whose port leads to the controller.
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "tagboat-0", "namespace": "tagboat", "labels": {"app.kubernetes.io/name": "tagboat"}},
        "spec": {"nodeName": NODE, "containers": [{"name": "tagboat", "image": "tagboat:x", "ports": [{"containerPort": 8081}]}]}});
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let forward = json!({"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "PortForward",
        "metadata": {"name": "tagboat-0", "namespace": "tagboat"},
        "spec": {"forwards": [{"ports": [8081], "target": {"address": "127.0.0.1", "port": port}}]}});
    for object in [&pod, &forward] {
        cluster.kubectl_with(&["create", "-f", "-"], object.to_string().as_bytes()).await.unwrap();
    }
    let began = std::time::Instant::now();
    let seen = loop {
        let seen = status(&["--kubeconfig", kubeconfig, "--output", "json"]).await;
        if seen.status.success() || began.elapsed() > std::time::Duration::from_secs(30) {
            break seen;
        }
    };
    assert_eq!((seen.status.code(), text(&seen.stderr)), (Some(0), ""));
    let forwarded: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(forwarded["items"][0]["workload"], parsed["items"][0]["workload"]);

    // Who may not forward ports is told what it takes.
    let stranger = cluster.user("stranger", None).unwrap();
    let seen = status(&["--kubeconfig", stranger.kubeconfig_path().to_str().unwrap()]).await;
    assert_eq!(seen.status.code(), Some(4), "{seen:?}");
    assert!(text(&seen.stderr).contains("hint: this needs list on pods"), "{seen:?}");

    // A failure, and a hold: what a script is told by the exit status, and a person by the table.
    shop.place.push(API_IMAGE, "main-2-image-pull-back-off").await;
    shop.place.push(WEB_IMAGE, "main-2").await;
    shop.settled_web(&controller, "main-2").await;
    shop.commit("Back", WEB_FILE, &web("main-1", 1));
    shop.settled_web(&controller, "main-1").await;
    crate::shop::until("both show", &controller, async || {
        let seen = status(&["--address", &address, "--exit-code", "--output", "wide"]).await;
        let table = text(&seen.stdout).to_owned();
        let (web, api) = (row(&table, "shop:deployment/web"), row(&table, "shop:helmrelease/api"));
        let shown = web.contains(&"held") && api.contains(&"failed") && table.contains("image cannot be pulled");
        if shown && seen.status.code() == Some(3) { Ok(()) } else { Err(format!("{:?}\n{table}", seen.status)) }
    })
    .await;
    assert_eq!(status(&["--address", &address]).await.status.code(), Some(0));
    controller.stop().await.unwrap();
}
