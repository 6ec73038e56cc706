//! The API server stops answering, and comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tagboat_cluster::{ApiServer, LeaseFence, LeaseOptions, Options, PolicyWatch};
use tagboat_engine::ports::{Cluster as _, FaultKind, LivePolicies as _, ObjectRef, WriteFence as _};
use tagboat_manifest::WorkloadId;
use tagboat_testkit::Cluster;

fn options(namespace: &str) -> Options {
    Options { namespace: namespace.to_owned(), instance: "tagboat-test".to_owned() }
}

#[tokio::test]
async fn without_the_api_server_nothing_may_be_written_and_afterwards_all_goes_on() {
    tagboat_testkit::install_provider();
    let cluster = Cluster::start().await.unwrap();
    let Some(server) = cluster.api_server() else {
        println!("NOT RUN: this test stops the API server, and TAGBOAT_TEST_KUBECONFIG names somebody else's");
        return;
    };
    let server = Pid::from_raw(i32::try_from(server.process_id()).unwrap());
    let namespace = cluster.namespace("outage").await.unwrap();
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig_path()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let api = Arc::new(ApiServer::connect(config, options(&namespace)).unwrap());

    let policies = PolicyWatch::start(api.clone());
    assert!(policies.synced(Duration::from_secs(20)).await);
    let lease = LeaseOptions {
        duration: Duration::from_secs(4),
        deadline: Duration::from_secs(3),
        renew: Duration::from_secs(1),
        ..LeaseOptions::new("tagboat", "first")
    };
    let fence = LeaseFence::start(api.clone(), lease);
    let mut state = fence.state();
    tokio::time::timeout(Duration::from_secs(20), state.wait_for(|state| state.held)).await.unwrap().unwrap();

    // It hangs: connections stay open, and nothing comes.
    kill(server, Signal::SIGSTOP).unwrap();
    let stopped = Instant::now();
    while fence.check().await.is_ok() {
        assert!(stopped.elapsed() < Duration::from_secs(5), "the fence still stands");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let fault = fence.check().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Fenced);
    assert!(fault.text.contains("could not be renewed within 3 s"), "{fault}");
    tokio::time::timeout(Duration::from_secs(5), state.wait_for(|state| !state.held)).await.unwrap().unwrap();

    kill(server, Signal::SIGCONT).unwrap();
    tokio::time::timeout(Duration::from_secs(20), state.wait_for(|state| state.held)).await.unwrap().unwrap();
    fence.check().await.unwrap();
    let image = ["create", "deployment", "web", "--image=example.com/web:1", "--namespace", &namespace];
    cluster.kubectl(&image).await.unwrap();
    cluster
        .kubectl(&["annotate", "deployment", "web", "tagboat.dev/paused=true", "--namespace", &namespace])
        .await
        .unwrap();
    let id = WorkloadId::new(Some(&namespace), "deployment", "web");
    let seen = async {
        while policies.known(&id).is_none_or(|live| live.annotations.is_empty()) {
            policies.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap();
}

#[tokio::test]
async fn an_api_server_out_of_reach_is_told_at_once() {
    tagboat_testkit::install_provider();
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = Config::new(format!("http://127.0.0.1:{port}").parse().unwrap());
    let api = ApiServer::connect(config, options("tagboat")).unwrap();
    let id =
        ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), namespace: Some("a".into()), name: "b".into() };
    let asked = Instant::now();
    let fault = api.get(&id).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.text.contains("out of reach") && fault.text.contains("refused"), "{fault}");
    assert!(asked.elapsed() < Duration::from_secs(5));
}
