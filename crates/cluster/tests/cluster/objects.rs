use serde_json::json;
use tagboat_engine::ports::{Cluster as _, FaultKind, Health, HealthState};

use crate::{Bench, config_map, deployment};

#[tokio::test]
async fn an_object_with_another_uid_is_not_deleted() {
    let bench = Bench::new("delete").await;
    let object = config_map(&bench.namespace, "victim", json!({}));
    let uid = bench.apply(&object).await.uid;
    let id = bench.id("v1", "ConfigMap", "victim");
    let fault = bench.api.delete(&id, Some("00000000-0000-0000-0000-000000000000")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(bench.api.get(&id).await.unwrap().is_some());
    assert!(bench.api.delete(&id, Some(&uid)).await.unwrap());
    assert!(!bench.api.delete(&id, Some(&uid)).await.unwrap());
}

#[tokio::test]
async fn lists_hold_whole_objects_of_one_namespace() {
    let bench = Bench::new("list").await;
    for number in 0..3 {
        bench.apply(&config_map(&bench.namespace, &format!("c{number}"), json!({"n": number.to_string()}))).await;
    }
    let listed = bench.api.list("v1", "ConfigMap", Some(&bench.namespace)).await.unwrap();
    let ours: Vec<_> =
        listed.iter().filter(|object| object["metadata"]["name"].as_str().unwrap().starts_with('c')).collect();
    assert_eq!(ours.len(), 3);
    assert_eq!((&ours[0]["apiVersion"], &ours[0]["kind"]), (&json!("v1"), &json!("ConfigMap")));
    assert!(bench.api.list("v1", "ConfigMap", None).await.unwrap().len() > 3);
    assert_eq!(bench.api.list("example.com/v1", "None", None).await.unwrap_err().kind, FaultKind::NotFound);
}

#[tokio::test]
async fn a_deployment_becomes_healthy_and_a_bad_image_says_why_it_does_not() {
    let bench = Bench::new("health").await;
    let mut object = deployment(&bench.namespace, "web", "example.com/web:main-1");
    object["spec"]["replicas"] = json!(2);
    bench.apply(&object).await;
    let id = bench.id("apps/v1", "Deployment", "web");
    let health = bench.health_becomes(&id, |health| health.state == HealthState::Healthy).await;
    assert_eq!(health.reason, "2 of 2 ready");

    for (tag, expected) in
        [("main-2-image-pull-back-off", "image cannot be pulled: container web"), ("main-3-crash-loop", "crash loop")]
    {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(format!("example.com/web:{tag}"));
        bench.apply(&object).await;
        // Each was tried often enough to say so, long before the rollout's own deadline.
        let told = |health: &Health| health.state == HealthState::Failed && health.reason.contains(expected);
        let health = bench.health_becomes(&id, told).await;
        assert!(
            health.reason.contains("are of the new version)") || health.reason.contains("of the old version"),
            "{health:?}"
        );
    }
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example.com/web:main-4");
    bench.apply(&object).await;
    bench.health_becomes(&id, |health| health.state == HealthState::Healthy).await;
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_question() {
    let bench = Bench::new("health").await;
    bench.apply(&config_map(&bench.namespace, "there", json!({}))).await;
    let questions = [
        bench.id("v1", "ConfigMap", "gone"),
        bench.id("v1", "ConfigMap", "there"),
        bench.id("example.com/v1", "Unknown", "x"),
    ];
    let states: Vec<_> = bench.api.health(&questions).await.unwrap().into_iter().map(|health| health.state).collect();
    assert_eq!(states, [HealthState::Missing, HealthState::Healthy, HealthState::Missing]);
}

#[tokio::test]
async fn a_failed_job_says_so() {
    let bench = Bench::new("health").await;
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": bench.namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": "example.com/m:1-failed"}]}}}});
    bench.apply(&job).await;
    let health = bench
        .health_becomes(&bench.id("batch/v1", "Job", "migrate"), |health| health.state == HealthState::Failed)
        .await;
    assert!(health.reason.contains("BackoffLimitExceeded"), "{health:?}");
}

#[tokio::test]
async fn events_are_found_on_their_object() {
    let bench = Bench::new("event").await;
    let object = config_map(&bench.namespace, "told", json!({}));
    let uid = bench.apply(&object).await.uid;
    let id = bench.id("v1", "ConfigMap", "told");
    for _ in 0..2 {
        bench.api.event(&id, true, "ApplyFailed", &format!("first\nline {}", "x".repeat(3000))).await;
    }
    let events = bench.api.list("events.k8s.io/v1", "Event", Some(&bench.namespace)).await.unwrap();
    let ours: Vec<_> = events.iter().filter(|event| event["reportingController"] == "tagboat").collect();
    assert_eq!(ours.len(), 1, "{events:?}");
    assert_eq!((&ours[0]["regarding"]["uid"], &ours[0]["type"]), (&json!(uid), &json!("Warning")));
    let note = ours[0]["note"].as_str().unwrap();
    assert!(note.starts_with("first line") && note.len() <= 1024, "{note}");
}

#[tokio::test]
async fn requests_are_counted_by_verb() {
    let bench = Bench::new("count").await;
    let object = config_map(&bench.namespace, "counted", json!({}));
    bench.apply(&object).await;
    assert_eq!(bench.api.requests().by_verb()["patch"], 1);
    let writes = bench.api.requests().writes();
    bench.get(&object).await;
    bench.health(&bench.id("v1", "ConfigMap", "counted")).await;
    assert_eq!(bench.api.requests().writes(), writes);
    assert!(bench.api.requests().by_verb()["read"] > 2);
}
