//! The cluster, against itself: what tests of the product rely on.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "functions that tests share panic as tests do")]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ListParams, LogParams};
use tagboat_testkit::{AuditEntry, Cluster, Outcome};

async fn cluster() -> &'static Cluster {
    Cluster::shared().await.unwrap()
}

fn deployment(name: &str, image: &str) -> String {
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"{name}"}},"spec":{{"replicas":2,
        "selector":{{"matchLabels":{{"app":"{name}"}}}},"template":{{"metadata":{{"labels":{{"app":"{name}"}}}},
        "spec":{{"containers":[{{"name":"web","image":"{image}"}}]}}}}}}}}"#
    )
}

fn job(name: &str, annotation: &str) -> String {
    format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"{name}"}},"spec":{{"backoffLimit":0,
        "template":{{"metadata":{{"annotations":{{{annotation}}}}},
        "spec":{{"restartPolicy":"Never","containers":[{{"name":"job","image":"example.org/job:1"}}]}}}}}}}}"#
    )
}

/// Waits for the first Pod that `wanted` accepts.
async fn pod(namespace: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
    let pods: Api<Pod> = Api::namespaced(cluster().await.client().await.unwrap(), namespace);
    let started = Instant::now();
    loop {
        let list = pods.list(&ListParams::default()).await.unwrap();
        if let Some(pod) = list.items.iter().find(|pod| wanted(pod)) {
            return pod.clone();
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{:#?}", list.items);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn waiting(pod: &Pod) -> Option<&str> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

#[tokio::test]
async fn a_deployment_becomes_available() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("ready").await.unwrap();
    let manifest = deployment("web", "example.org/web:main-1a2b");
    cluster.kubectl_with(&["-n", &namespace, "apply", "-f", "-"], manifest.as_bytes()).await.unwrap();
    let rollout = cluster.kubectl(&["-n", &namespace, "rollout", "status", "deployment/web", "--timeout=60s"]).await;
    assert!(rollout.unwrap().contains("successfully rolled out"));
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_keeps_its_pod_waiting() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("pull").await.unwrap();
    let manifest = deployment("web", &format!("example.org/web:main-1a2b-{}", Outcome::ImagePullBackOff.name()));
    cluster.kubectl_with(&["-n", &namespace, "apply", "-f", "-"], manifest.as_bytes()).await.unwrap();
    let pod = pod(&namespace, |pod| waiting(pod).is_some()).await;
    assert_eq!(waiting(&pod), Some("ImagePullBackOff"));
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Pending"));
}

#[tokio::test]
async fn a_crash_loop_has_restarts_and_the_last_exit_status() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("crash").await.unwrap();
    let manifest = deployment("web", &format!("example.org/web:main-1a2b-{}", Outcome::CrashLoop.name()));
    cluster.kubectl_with(&["-n", &namespace, "apply", "-f", "-"], manifest.as_bytes()).await.unwrap();
    let pod = pod(&namespace, |pod| waiting(pod).is_some()).await;
    assert_eq!(waiting(&pod), Some("CrashLoopBackOff"));
    let container = pod.status.unwrap().container_statuses.unwrap().remove(0);
    assert!(container.restart_count > 0);
    assert_eq!(container.last_state.unwrap().terminated.unwrap().exit_code, 1);
}

#[tokio::test]
async fn a_job_completes_or_fails_as_its_pod_is_told() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("jobs").await.unwrap();
    let failing = format!(r#""testkit.tagboat.dev/outcome":"{}""#, Outcome::Failed.name());
    for manifest in [job("good", ""), job("bad", &failing)] {
        cluster.kubectl_with(&["-n", &namespace, "apply", "-f", "-"], manifest.as_bytes()).await.unwrap();
    }
    let wait = |condition: &'static str, job: &'static str| {
        let namespace = namespace.clone();
        async move { cluster.kubectl(&["-n", &namespace, "wait", "--timeout=60s", condition, job]).await }
    };
    let (good, bad) =
        tokio::join!(wait("--for=condition=complete", "job/good"), wait("--for=condition=failed", "job/bad"));
    good.unwrap();
    bad.unwrap();
}

#[tokio::test]
async fn logs_of_a_pod_are_what_the_test_wrote() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("logs").await.unwrap();
    cluster
        .kubectl_with(&["-n", &namespace, "apply", "-f", "-"], deployment("web", "example.org/web:1").as_bytes())
        .await
        .unwrap();
    let pod = pod(&namespace, |pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))).await;
    let name = pod.metadata.name.unwrap();
    cluster.set_pod_logs(&namespace, &name, "starting\npanic: no database\n").await.unwrap();
    assert_eq!(cluster.kubectl(&["-n", &namespace, "logs", &name]).await.unwrap(), "starting\npanic: no database\n");
    let pods: Api<Pod> = Api::namespaced(cluster.client().await.unwrap(), &namespace);
    let tail = pods.logs(&name, &LogParams { tail_lines: Some(1), ..Default::default() }).await.unwrap();
    assert_eq!(tail, "panic: no database\n");
}

#[tokio::test]
async fn a_user_may_do_what_rbac_gives_and_nothing_else() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("rbac").await.unwrap();
    let user = cluster.user("dana", None).unwrap();
    let pods: Api<Pod> = Api::namespaced(user.client().await.unwrap(), &namespace);
    let refused = pods.list(&ListParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains(r#"User "dana" cannot list"#), "{refused}");
    cluster
        .kubectl(&["-n", &namespace, "create", "rolebinding", "dana", "--clusterrole=view", "--user=dana"])
        .await
        .unwrap();
    let started = Instant::now();
    // RBAC reads its rules through a watch.
    while let Err(error) = pods.list(&ListParams::default()).await {
        assert!(started.elapsed() < Duration::from_secs(10), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_audit_log_has_requests_of_clients_and_not_of_the_clusters_own_servers() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("audit").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(cluster.client().await.unwrap());
    namespaces.get(&namespace).await.unwrap();
    let entries = cluster.audit_entries().unwrap();
    let about = |verb: &str| -> Vec<_> {
        let concerns = |entry: &&AuditEntry| {
            let object = entry.object_ref.as_ref();
            object.is_some_and(|object| object.resource == "namespaces" && object.name == namespace)
        };
        entries.iter().filter(concerns).filter(|entry| entry.verb == verb).collect()
    };
    assert_eq!(about("create").len(), 1);
    assert_eq!(about("get").len(), 1);
    assert!(about("create").iter().all(|entry| entry.is_write() && entry.user.username == "admin"));
    assert!(entries.iter().all(|entry| !entry.user.username.starts_with("system:kube-")));
}

#[tokio::test]
async fn the_version_is_the_pinned_one() {
    let version = cluster().await.client().await.unwrap().apiserver_version().await.unwrap();
    assert_eq!((version.major.as_str(), version.git_version.starts_with("v1.")), ("1", true), "{version:?}");
    assert_ne!(version.minor, "");
}

#[tokio::test]
async fn helm_reaches_the_cluster() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("helm").await.unwrap();
    assert_eq!(cluster.helm(&["list", "-n", &namespace, "--output", "json"]).await.unwrap().trim(), "[]");
}

#[tokio::test]
async fn a_cluster_that_runs_already_is_used_and_says_what_it_cannot_do() {
    let existing = Cluster::existing(cluster().await.kubeconfig_path()).unwrap();
    let namespace = existing.namespace("existing").await.unwrap();
    assert!(existing.kubectl(&["get", "namespace", &namespace]).await.unwrap().contains("Active"));
    let error = existing.audit_entries().unwrap_err().to_string();
    assert!(error.contains("TAGBOAT_TEST_KUBECONFIG"), "{error}");
    assert!(existing.process_ids().is_empty());
}
