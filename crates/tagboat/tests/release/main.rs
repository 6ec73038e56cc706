//! Releases, from a HelmRelease in a real API server to objects that the real `helm` understands.

#![allow(clippy::unwrap_used, reason = "a test's helpers panic as the test does")]

mod world;

use serde_json::{Value, json};
use tagboat_engine::ports::ReleaseStore;
use tagboat_engine::release::{ReleaseResult, Stage};
use tagboat_helm::HelmRecords;
use world::{World, chart};

#[tokio::test]
async fn a_release_is_installed_and_upgraded_and_helm_goes_on_with_it() {
    let world = World::start().await;
    let reconciler = world.reconciler();
    world.declare("shop", json!({"replicas": 1, "extraVars": {"ENVIRONMENT": "dev"}})).await;
    let installed = world.release(&reconciler, "shop").await;
    assert!(!installed.upgrade && !installed.recovered);
    assert_eq!((installed.deployed.revision, installed.deployed.chart_version.as_str()), (1, "1.4.0"));
    assert!(installed.warnings.iter().any(|text| text.contains("\"ENVIRONMENT\"")), "{:?}", installed.warnings);

    let config = world.get(&["configmap", "shop-config"]).await;
    assert_eq!((&config["data"]["ENVIRONMENT"], &config["data"]["PORT"]), (&json!("dev"), &json!("\"3306\"")));
    assert_eq!(config["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
    assert_eq!(config["metadata"]["annotations"]["meta.helm.sh/release-name"], "shop");
    let status = world.status("shop").await;
    assert_eq!((&status["phase"], &status["releaseStatus"]), (&json!("Succeeded"), &json!("deployed")));
    assert_eq!((&status["revision"], &status["lastAttemptedRevision"]), (&json!("1.4.0"), &json!("1.4.0")));
    assert_eq!((&status["releaseName"], &status["observedGeneration"]), (&json!("shop"), &json!(1)));
    assert!(world.condition("shop", "Released").await.starts_with("True: Release was successful"));
    assert_eq!(world.helm(&["list"]).await[0]["chart"], "storefront-1.4.0");

    world.declare("shop", json!({"replicas": 2, "tags": {"monitoring": false}})).await;
    let upgraded = world.release(&reconciler, "shop").await;
    assert!(upgraded.upgrade);
    assert_eq!(world.get(&["deployment", "shop"]).await["spec"]["replicas"], 2);
    let services = world.get(&["services"]).await;
    let names: Vec<&Value> = services["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["shop"], "what the release dropped is gone");
    assert_eq!(world.history().await, ["1 superseded", "2 deployed"]);
    let notes = world.cluster.helm(&["get", "notes", "shop", "-n", &world.namespace]).await.unwrap();
    assert!(notes.contains("shop runs main-1."), "{notes}");

    let objects = reconciler.deployed_objects(&world.namespace, "shop").await.unwrap();
    assert_eq!(objects, upgraded.objects);
    world.cluster.helm(&["rollback", "shop", "1", "-n", &world.namespace]).await.unwrap();
    assert_eq!(world.get(&["deployment", "shop"]).await["spec"]["replicas"], 1);
    world.cluster.helm(&["uninstall", "shop", "-n", &world.namespace]).await.unwrap();
    assert_eq!(world.get(&["deployments,services"]).await["items"], json!([]));
}

#[tokio::test]
async fn nothing_is_rendered_or_written_when_nothing_changed() {
    let world = World::start().await;
    let reconciler = world.reconciler();
    world.declare("shop", json!({"replicas": 1})).await;
    world.release(&reconciler, "shop").await;
    let object = world.read("shop").await;
    let writes = world.api.requests().writes();
    for _ in 0..3 {
        let outcome = reconciler.reconcile(&object).await;
        assert!(matches!(outcome.result, ReleaseResult::Unchanged(ref found) if found.revision == 1), "{outcome:?}");
    }
    let fresh = world.reconciler();
    assert!(matches!(fresh.reconcile(&object).await.result, ReleaseResult::Unchanged(_)), "a new process agrees");
    assert_eq!(world.api.requests().writes(), writes);
    assert_eq!(world.history().await, ["1 deployed"]);
}

#[tokio::test]
async fn the_record_is_the_one_that_helm_would_write() {
    let world = World::start().await;
    let values = json!({"replicas": 1});
    world.declare("shop", values.clone()).await;
    world.release(&world.reconciler(), "shop").await;
    let other = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    let package = tagboat_testkit::package_chart(&chart("storefront"), Some("1.4.0")).await.unwrap();
    let archive = folder.path().join(&package.file_name);
    std::fs::write(&archive, &package.content).unwrap();
    let (archive, file) = (archive.to_str().unwrap(), file.to_str().unwrap());
    let install = ["install", "shop", archive, "-n", &other.namespace, "--values", file];
    other.cluster.helm(&install).await.unwrap();

    let records = HelmRecords::new(world.api.client());
    let mut ours = records.history(&world.namespace, "shop").await.unwrap().remove(0);
    let theirs = records.history(&other.namespace, "shop").await.unwrap().remove(0);
    let text = ours.body.to_string().replace(&world.namespace, &other.namespace);
    ours.body = serde_json::from_str(&text).unwrap();
    let (ours, theirs) = (lines(ours.body), lines(theirs.body));
    let differ: Vec<_> = ours.iter().zip(&theirs).filter(|(one, other)| one != other).collect();
    assert!(differ.is_empty() && ours.len() == theirs.len(), "{differ:#?}");
}

/// A value as lines that can be compared, without what depends on the clock.
fn lines(value: Value) -> Vec<String> {
    let text = serde_json::to_string_pretty(&without_times(value)).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn without_times(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, without_times(value))).collect(),
        Value::Array(items) => items.into_iter().map(without_times).collect(),
        Value::String(text) if text.len() > 19 && text.parse::<jiff::Timestamp>().is_ok() => json!("a time"),
        other => other,
    }
}

#[tokio::test]
async fn what_the_real_helm_installed_is_taken_over() {
    let world = World::start().await;
    let package = tagboat_testkit::package_chart(&chart("storefront"), Some("1.4.0")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join(&package.file_name);
    std::fs::write(&archive, &package.content).unwrap();
    let install = [
        "install",
        "shop",
        archive.to_str().unwrap(),
        "-n",
        &world.namespace,
        "--set",
        "replicas=1",
        "--labels",
        "team=web",
    ];
    world.cluster.helm(&install).await.unwrap();
    let reconciler = world.reconciler();
    world.declare("shop", json!({"replicas": 3, "tags": {"monitoring": false}})).await;
    let released = world.release(&reconciler, "shop").await;
    assert_eq!((released.upgrade, released.deployed.revision), (true, 2));
    assert_eq!(world.history().await, ["1 superseded", "2 deployed"]);
    assert_eq!(world.get(&["deployment", "shop"]).await["spec"]["replicas"], 3);
    assert_eq!(world.get(&["services"]).await["items"].as_array().unwrap().len(), 1);
    let labelled = world.helm(&["list", "--selector", "team=web"]).await;
    assert_eq!(labelled[0]["revision"], "2", "helm's labels are handed on");
}

#[tokio::test]
async fn an_object_of_somebody_else_is_not_taken_over() {
    let world = World::start().await;
    world.cluster.kubectl(&["-n", &world.namespace, "create", "configmap", "shop-config"]).await.unwrap();
    world.declare("shop", json!({"replicas": 1})).await;
    let outcome = world.reconcile(&world.reconciler(), "shop").await;
    let ReleaseResult::Failed(failure) = outcome.result else { panic!("{outcome:?}") };
    assert_eq!((failure.stage, failure.revision), (Stage::Deploy, None));
    let message = world.condition("shop", "Released").await;
    assert!(
        message.contains("ConfigMap \"shop-config\"") && message.contains("invalid ownership metadata"),
        "{message}"
    );
    assert_eq!(world.helm(&["list"]).await, json!([]), "no record is left");
    assert_eq!(world.get(&["deployments"]).await["items"], json!([]), "nothing was applied");
}

#[tokio::test]
async fn kinds_that_are_not_served_are_named_before_anything_is_changed() {
    let world = World::start().await;
    world.charts.publish_folder(&chart("outdated"), "0.1.0").await.unwrap();
    let source = json!({"repository": world::REPOSITORY, "name": "outdated", "version": "0.1.0"});
    world.declare_with("old", json!({"chart": source})).await;
    let outcome = world.reconcile(&world.reconciler(), "old").await;
    assert!(matches!(outcome.result, ReleaseResult::Failed(ref failure) if failure.revision.is_none()), "{outcome:?}");
    let message = world.condition("old", "Deployed").await;
    for part in [r#"no matches for kind "Ingress" in version "networking.k8s.io/v1beta1""#, r#"kind "ExternalSecret""#]
    {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(world.get(&["configmaps", "-l", "app=outdated"]).await["items"], json!([]));
}

#[tokio::test]
async fn a_chart_that_cannot_be_had_is_reported_once_and_waited_for() {
    let world = World::start().await;
    let reconciler = world.reconciler();
    let source = json!({"repository": world::REPOSITORY, "name": "storefront", "version": "9.9.9"});
    world.declare_with("shop", json!({"chart": source, "releaseName": "shop"})).await;
    let outcome = world.reconcile(&reconciler, "shop").await;
    let ReleaseResult::Failed(failure) = &outcome.result else { panic!("{outcome:?}") };
    assert_eq!((failure.stage, failure.repeated), (Stage::Chart, false));
    let message = world.condition("shop", "ChartFetched").await;
    assert!(message.starts_with("False: Chart fetch failed") && message.contains("newest are 1.4.0"), "{message}");
    let writes = world.api.requests().writes();
    for _ in 0..3 {
        let again = world.reconcile(&reconciler, "shop").await;
        assert!(matches!(again.result, ReleaseResult::Waiting { .. }), "{again:?}");
        assert!(again.next.is_some());
    }
    let restarted = world.reconcile(&world.reconciler(), "shop").await;
    assert!(matches!(restarted.result, ReleaseResult::Failed(_)));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(
        world.api.requests().writes() <= writes + 1,
        "a new process tells it once more as an Event, and writes no status"
    );
    world.declare("shop", json!({"replicas": 1})).await;
    assert!(world.release(&reconciler, "shop").await.recovered);
    assert!(world.condition("shop", "ChartFetched").await.starts_with("True"));
}

#[tokio::test]
async fn what_the_api_server_refuses_fails_the_release_and_the_next_try_takes_the_same_revision() {
    let world = World::start().await;
    world.charts.publish_folder(&chart("refusing"), "0.1.0").await.unwrap();
    let declare = async |port: i64| {
        let source = json!({"repository": world::REPOSITORY, "name": "refusing", "version": "0.1.0"});
        world
            .declare_with(
                "shop",
                json!({"chart": source, "releaseName": "shop", "timeout": 20, "values": {"port": port}}),
            )
            .await;
    };
    declare(70_000).await;
    for _ in 0..2 {
        let outcome = world.reconcile(&world.reconciler(), "shop").await;
        let ReleaseResult::Failed(failure) = &outcome.result else { panic!("{outcome:?}") };
        assert_eq!(failure.revision, Some(1));
        assert_eq!(world.history().await, ["1 failed"]);
    }
    let description = world.helm(&["history", "shop"]).await[0]["description"].take();
    assert!(description.as_str().unwrap().starts_with("Release \"shop\" failed: "), "{description}");
    let message = world.condition("shop", "Deployed").await;
    assert!(message.starts_with("False") && message.contains("70000"), "{message}");
    assert_eq!(world.status("shop").await["releaseStatus"], "failed");
    assert_eq!(
        world.get(&["configmaps", "-l", "app=refusing"]).await["items"].as_array().unwrap().len(),
        1,
        "never uninstalled"
    );
    declare(80).await;
    let released = world.release(&world.reconciler(), "shop").await;
    assert_eq!((released.upgrade, released.deployed.revision), (false, 2));
    assert_eq!(world.history().await, ["1 failed", "2 deployed"]);
}

#[tokio::test]
async fn a_release_that_was_cut_off_is_taken_up_under_the_same_revision() {
    let world = World::start().await;
    world.declare("shop", json!({"replicas": 1})).await;
    // The lease is lost in the midst of it.
    let outcome = world.reconcile(&world.reconciler_until(6), "shop").await;
    assert!(
        matches!(outcome.result, ReleaseResult::Failed(ref failure) if failure.stage == Stage::Cluster),
        "{outcome:?}"
    );
    assert_eq!(world.history().await, ["1 pending-install"]);
    let released = world.release(&world.reconciler(), "shop").await;
    assert_eq!((released.deployed.revision, released.recovered), (1, true));
    assert_eq!(world.history().await, ["1 deployed"]);
}

#[tokio::test]
async fn somebody_elses_unfinished_operation_is_waited_for() {
    let world = World::start().await;
    let records = HelmRecords::new(world.api.client());
    world.declare("shop", json!({"replicas": 1})).await;
    world.release(&world.reconciler(), "shop").await;
    let mut pending = records.history(&world.namespace, "shop").await.unwrap().remove(0);
    pending.version = 2;
    pending.status = "pending-upgrade".to_owned();
    pending.body["version"] = json!(2);
    pending.body["info"]["status"] = json!("pending-upgrade");
    records.create(&pending).await.unwrap();
    world.declare("shop", json!({"replicas": 2})).await;
    let outcome = world.reconcile(&world.reconciler(), "shop").await;
    assert!(matches!(outcome.result, ReleaseResult::Waiting { .. }), "{outcome:?}");
    assert!(world.condition("shop", "Released").await.contains("revision 2 is pending-upgrade"));
    assert_eq!(world.history().await, ["1 deployed", "2 pending-upgrade"]);
}

#[tokio::test]
async fn a_suspended_release_is_left_alone() {
    let world = World::start().await;
    let reconciler = world.reconciler();
    world.declare("shop", json!({"replicas": 1})).await;
    let annotate = ["-n", &world.namespace, "annotate", "helmrelease", "shop", "tagboat.dev/suspend=true"];
    world.cluster.kubectl(&annotate).await.unwrap();
    let outcome = world.reconcile(&reconciler, "shop").await;
    assert!(
        matches!(outcome.result, ReleaseResult::Skipped { ref reason } if reason.contains("tagboat.dev/suspend")),
        "{outcome:?}"
    );
    assert_eq!(world.helm(&["list"]).await, json!([]));
    let resume = ["-n", &world.namespace, "annotate", "helmrelease", "shop", "tagboat.dev/suspend-"];
    world.cluster.kubectl(&resume).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.release(&reconciler, "shop").await;
}

#[tokio::test]
async fn the_older_of_two_claims_to_a_release_wins() {
    let world = World::start().await;
    let reconciler = world.reconciler();
    world.declare("first", json!({"replicas": 1})).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    world.declare("second", json!({"replicas": 2})).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.release(&reconciler, "first").await;
    let outcome = world.reconcile(&reconciler, "second").await;
    assert!(matches!(outcome.result, ReleaseResult::Failed(_)), "{outcome:?}");
    let message = world.condition("second", "Released").await;
    assert!(message.contains("HelmRelease") && message.contains("/first"), "{message}");
    assert_eq!(world.get(&["deployment", "shop"]).await["spec"]["replicas"], 1);
}

#[tokio::test]
async fn hooks_run_in_order_and_a_failed_one_stops_the_release() {
    let world = World::start().await;
    world.charts.publish_folder(&chart("hooked"), "0.1.0").await.unwrap();
    let declare = async |values: Value| {
        let source = json!({"repository": world::REPOSITORY, "name": "hooked", "version": "0.1.0"});
        world
            .declare_with("shop", json!({"chart": source, "releaseName": "shop", "timeout": 3, "values": values}))
            .await;
    };
    declare(json!({})).await;
    world.release(&world.reconciler(), "shop").await;
    let first = world.get(&["configmap", "shop-first"]).await;
    let second = world.get(&["configmap", "shop-second"]).await;
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(version(&first) < version(&second), "lower weights run first");
    assert!(version(&second) < version(&world.get(&["configmap", "shop"]).await), "pre-install is before the objects");
    assert_eq!(world.get(&["jobs"]).await["items"], json!([]), "hook-succeeded removes what is done");
    let hooks = world.cluster.helm(&["get", "hooks", "shop", "-n", &world.namespace]).await.unwrap();
    assert!(hooks.contains("shop-migrate"), "{hooks}");

    // A Pod that no node takes never ends.
    declare(json!({"node": "none"})).await;
    let outcome = world.reconcile(&world.reconciler(), "shop").await;
    assert!(matches!(outcome.result, ReleaseResult::Failed(ref failure) if failure.revision == Some(2)), "{outcome:?}");
    let message = world.condition("shop", "Deployed").await;
    assert!(
        message.contains("pre-upgrade hook hooked/templates/hooks.yaml failed") && message.contains("3 s"),
        "{message}"
    );
    assert_eq!(world.history().await, ["1 deployed", "2 failed"]);
    assert_eq!(world.get(&["configmap", "shop"]).await["data"]["node"], "any", "nothing was applied");

    declare(json!({"node": "any", "more": 1})).await;
    let released = world.release(&world.reconciler(), "shop").await;
    assert_eq!((released.deployed.revision, released.upgrade), (3, true));
    assert_eq!(world.history().await, ["1 superseded", "2 failed", "3 deployed"]);
}

#[tokio::test]
async fn a_release_that_waits_is_done_when_its_objects_are_ready() {
    let world = World::start().await;
    world
        .declare_with("shop", json!({"releaseName": "shop", "wait": true, "timeout": 60, "values": {"replicas": 2}}))
        .await;
    world.release(&world.reconciler(), "shop").await;
    assert_eq!(world.get(&["deployment", "shop"]).await["status"]["readyReplicas"], 2);
}

#[tokio::test]
async fn what_asks_to_be_kept_and_what_is_somebody_elses_stays_when_the_release_drops_it() {
    let world = World::start().await;
    world.charts.publish_folder(&chart("shrinking"), "0.1.0").await.unwrap();
    let declare = async |full: bool| {
        let source = json!({"repository": world::REPOSITORY, "name": "shrinking", "version": "0.1.0"});
        let values = json!({"full": full});
        world
            .declare_with("shop", json!({"chart": source, "releaseName": "shop", "maxHistory": 2, "values": values}))
            .await;
    };
    declare(true).await;
    world.release(&world.reconciler(), "shop").await;
    let disown = [
        "-n",
        &world.namespace,
        "annotate",
        "--overwrite",
        "configmap",
        "shop-handed-on",
        "meta.helm.sh/release-name=other",
    ];
    world.cluster.kubectl(&disown).await.unwrap();
    declare(false).await;
    let released = world.release(&world.reconciler(), "shop").await;
    let left = world.get(&["configmaps", "-l", "app=shrinking"]).await;
    let names: Vec<&Value> = left["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["shop-handed-on", "shop-kept", "shop-stays"]);
    assert_eq!(released.warnings.len(), 2, "{:?}", released.warnings);
    declare(true).await;
    let outcome = world.reconcile(&world.reconciler(), "shop").await;
    assert!(matches!(outcome.result, ReleaseResult::Failed(_)), "what was handed on is not taken back: {outcome:?}");
    declare(false).await;
    world.cluster.kubectl(&["-n", &world.namespace, "delete", "configmap", "shop-handed-on"]).await.unwrap();
    let unchanged = world.reconcile(&world.reconciler(), "shop").await;
    assert!(matches!(unchanged.result, ReleaseResult::Unchanged(_)), "{unchanged:?}");
    declare(true).await;
    world.release(&world.reconciler(), "shop").await;
    assert_eq!(world.history().await, ["2 superseded", "3 deployed"], "the history is as long as it may be");
}
