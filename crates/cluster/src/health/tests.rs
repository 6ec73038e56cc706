use super::*;
use rstest::rstest;
use serde_json::json;

fn state(api_version: &str, kind: &str, generation: i64, spec: Value, status: Value) -> (HealthState, String) {
    let health = assess(
        &json!({"apiVersion": api_version, "kind": kind, "metadata": {"generation": generation}, "spec": spec, "status": status}),
    );
    (health.state, health.reason)
}

use HealthState::{Failed, Healthy, Progressing};

#[rstest]
#[case::unseen(json!({}), Progressing, "has not seen")]
#[case::old_generation(json!({"observedGeneration": 1, "updatedReplicas": 3, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3}), Progressing, "newest change")]
#[case::updating(json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 3, "readyReplicas": 3}), Progressing, "1 of 3 pods are of the new version")]
#[case::old_left(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4, "readyReplicas": 4, "availableReplicas": 4}), Progressing, "1 pods of the old version")]
#[case::not_ready(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "readyReplicas": 2}), Progressing, "2 of 3 ready")]
#[case::not_available(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "readyReplicas": 3, "availableReplicas": 2}), Progressing, "2 of 3 available")]
#[case::ready(json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3}), Healthy, "3 of 3 ready")]
#[case::deadline(json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]}), Failed, "timed out")]
#[case::quota(json!({"observedGeneration": 2, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}), Progressing, "exceeded quota")]
fn deployments(#[case] status: Value, #[case] expected: HealthState, #[case] reason: &str) {
    let (state, text) = state("apps/v1", "Deployment", 2, json!({"replicas": 3}), status);
    assert_eq!(state, expected, "{text}");
    assert!(text.contains(reason), "{text}");
}

#[rstest]
#[case::starting(json!({}), json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 1}), Progressing)]
#[case::updating(json!({}), json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}), Progressing)]
#[case::partition(json!({"updateStrategy": {"rollingUpdate": {"partition": 1}}}), json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}), Healthy)]
#[case::on_delete(json!({"updateStrategy": {"type": "OnDelete"}}), json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "currentRevision": "a", "updateRevision": "b"}), Healthy)]
#[case::ready(json!({}), json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2, "currentRevision": "b", "updateRevision": "b"}), Healthy)]
fn stateful_sets(#[case] more: Value, #[case] status: Value, #[case] expected: HealthState) {
    let mut spec = json!({"replicas": 2});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (state, text) = state("apps/v1", "StatefulSet", 1, spec, status);
    assert_eq!(state, expected, "{text}");
}

#[rstest]
#[case::unseen("apps/v1", "DaemonSet", json!({}), Progressing)]
#[case::updating("apps/v1", "DaemonSet", json!({"observedGeneration": 1, "desiredNumberScheduled": 2, "numberReady": 2, "numberAvailable": 2, "updatedNumberScheduled": 1}), Progressing)]
#[case::ready("apps/v1", "DaemonSet", json!({"observedGeneration": 1, "desiredNumberScheduled": 2, "numberReady": 2, "numberAvailable": 2, "updatedNumberScheduled": 2}), Healthy)]
#[case::no_nodes("apps/v1", "DaemonSet", json!({"observedGeneration": 1}), Healthy)]
#[case::waits("batch/v1", "Job", json!({}), Progressing)]
#[case::runs("batch/v1", "Job", json!({"startTime": "2020-01-01T00:00:00Z", "active": 1}), Healthy)]
#[case::done("batch/v1", "Job", json!({"conditions": [{"type": "Complete", "status": "True"}]}), Healthy)]
#[case::broken("batch/v1", "Job", json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}), Failed)]
#[case::unbound("v1", "PersistentVolumeClaim", json!({"phase": "Pending"}), Progressing)]
#[case::bound("v1", "PersistentVolumeClaim", json!({"phase": "Bound"}), Healthy)]
#[case::lost("v1", "PersistentVolumeClaim", json!({"phase": "Lost"}), Failed)]
#[case::ending("v1", "Namespace", json!({"phase": "Terminating"}), Progressing)]
#[case::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), Progressing)]
#[case::clash("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({"conditions": [{"type": "NamesAccepted", "status": "False", "message": "taken"}]}), Failed)]
#[case::established("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({"conditions": [{"type": "Established", "status": "True"}]}), Healthy)]
#[case::untouched("helm.fluxcd.io/v1", "HelmRelease", json!({}), Progressing)]
#[case::outdated("helm.fluxcd.io/v1", "HelmRelease", json!({"observedGeneration": 0, "conditions": [{"type": "Released", "status": "True"}]}), Progressing)]
#[case::released("helm.fluxcd.io/v1", "HelmRelease", json!({"observedGeneration": 1, "conditions": [{"type": "Released", "status": "True"}]}), Healthy)]
#[case::not_released("helm.fluxcd.io/v1", "HelmRelease", json!({"observedGeneration": 1, "conditions": [{"type": "Released", "status": "False", "message": "no"}]}), Failed)]
#[case::config("v1", "ConfigMap", json!({}), Healthy)]
#[case::other_ready("example.com/v1", "Thing", json!({"conditions": [{"type": "Ready", "status": "True"}]}), Healthy)]
#[case::other_not_ready("example.com/v1", "Thing", json!({"conditions": [{"type": "Ready", "status": "False"}]}), Progressing)]
#[case::other_stalled("example.com/v1", "Thing", json!({"conditions": [{"type": "Stalled", "status": "True"}]}), Failed)]
fn other_kinds(#[case] api_version: &str, #[case] kind: &str, #[case] status: Value, #[case] expected: HealthState) {
    let (state, text) = state(api_version, kind, 1, json!({}), status);
    assert_eq!(state, expected, "{text}");
}

#[test]
fn a_load_balancer_waits_for_its_address() {
    let spec = json!({"type": "LoadBalancer"});
    assert_eq!(state("v1", "Service", 1, spec.clone(), json!({})).0, Progressing);
    assert_eq!(state("v1", "Service", 1, spec, json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})).0, Healthy);
    assert_eq!(state("v1", "Service", 1, json!({}), json!({})).0, Healthy);
}

#[test]
fn what_is_being_deleted_is_not_healthy() {
    let object =
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}});
    assert_eq!(assess(&object).state, Progressing);
}

fn pod(hash: &str, created: &str, status: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": created, "labels": {"pod-template-hash": hash}}, "status": status})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{"name": "web", "image": "x:1", "restartCount": 3,
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}}]})
}

#[rstest]
#[case(waiting("ImagePullBackOff", "not found"), Progressing, "image cannot be pulled: container web, x:1: not found")]
#[case(
    waiting("CrashLoopBackOff", "back-off"),
    Failed,
    "crash loop, 3 restarts: container web ended with exit code 2 (Error)"
)]
#[case(
    waiting("CreateContainerConfigError", "secret \"s\" not found"),
    Progressing,
    "container web cannot start: secret \"s\" not found"
)]
#[case(waiting("ContainerCreating", ""), Progressing, "it is pending")]
#[case(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}), Progressing, "cannot be scheduled: 0/1 nodes")]
#[case(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), Healthy, "ready")]
#[case(json!({"phase": "Succeeded"}), Healthy, "completed")]
#[case(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}), Failed, "low on memory")]
fn pods_say_what_is_wrong(#[case] status: Value, #[case] expected: HealthState, #[case] reason: &str) {
    let health = assess(&pod("a", "2020-01-01T00:00:00Z", status));
    assert_eq!((health.state, health.reason.as_str()), (expected, reason));
}

#[test]
fn the_reason_comes_from_the_new_pods_and_images_come_first() {
    let pods = [
        pod("old", "2020-01-01T00:00:00Z", waiting("ImagePullBackOff", "old trouble")),
        pod("new", "2020-01-02T00:00:00Z", waiting("CrashLoopBackOff", "back-off")),
        pod("new", "2020-01-02T00:00:00Z", waiting("ErrImagePull", "new trouble")),
    ];
    let health = pods::with_reason(progressing("0 of 2 ready"), &json!({}), &pods);
    assert_eq!(health.reason, "image cannot be pulled: container web, x:1: new trouble (0 of 2 ready)");
    assert_eq!(pods::with_reason(healthy("1 of 1 ready"), &json!({}), &pods).reason, "1 of 1 ready");
}

#[rstest]
#[case("ErrImagePull", Progressing)]
#[case("ImagePullBackOff", Failed)]
#[case("CrashLoopBackOff", Failed)]
#[case("CreateContainerConfigError", Failed)]
#[case("ContainerCreating", Progressing)]
fn a_rollout_fails_when_its_new_pods_were_tried_often_enough(#[case] reason: &str, #[case] expected: HealthState) {
    let of = |image: &str| json!({"containers": [{"name": "web", "image": image}]});
    let workload = |image: &str| json!({"spec": {"template": {"spec": of(image)}}});
    let mut old = pod("old", "2020-01-01T00:00:00Z", waiting("ImagePullBackOff", "old trouble"));
    old["spec"] = of("x:0");
    let mut new = pod("new", "2020-01-02T00:00:00Z", waiting(reason, "new trouble"));
    new["spec"] = of("x:1");
    let pods = [old, new];
    let state = |image: &str| pods::with_reason(progressing("0 of 2 ready"), &workload(image), &pods).state;
    assert_eq!(state("x:1"), expected);
    assert_eq!(state("x:2"), Progressing, "the pods of the newest change are not there yet");
}

#[test]
fn selectors_are_written_as_queries() {
    let object = json!({"kind": "Deployment", "spec": {"selector": {"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "DoesNotExist"}]}}});
    assert_eq!(pods::selector(&object).unwrap(), "a=b,c in (d,e),!f");
    assert_eq!(pods::selector(&json!({"kind": "Service", "spec": {"selector": {"matchLabels": {"a": "b"}}}})), None);
}
