use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tagboat_api::{ConditionType, HelmReleaseCondition, HelmReleasePhase, HelmReleaseStatus};
use tagboat_cluster::ReleaseWatch;
use tagboat_engine::ports::{FaultKind, HealthState, ObjectRef, ReleaseObjects, ReleaseStatus};

use crate::Bench;

const LIMIT: Duration = Duration::from_secs(20);

fn release(namespace: &str, name: &str, version: &str) -> Value {
    json!({"apiVersion": "helm.fluxcd.io/v1", "kind": "HelmRelease", "metadata": {"name": name, "namespace": namespace},
        "spec": {"chart": {"repository": "https://charts.example.com", "name": "web", "version": version}, "values": {"deep": {"er": [1, null]}}}})
}

fn status(generation: i64, revision: Option<&str>, released: &str) -> ReleaseStatus {
    let time = Timestamp::from_second(1_600_000_000).unwrap();
    ReleaseStatus {
        status: HelmReleaseStatus {
            observed_generation: Some(generation),
            phase: Some(HelmReleasePhase::Succeeded),
            revision: revision.map(str::to_owned),
            conditions: vec![HelmReleaseCondition {
                type_: ConditionType::Released,
                status: released.to_owned(),
                last_update_time: Some(time),
                last_transition_time: Some(time),
                reason: None,
                message: Some("the chart's own words".to_owned()),
            }],
            ..HelmReleaseStatus::default()
        },
    }
}

/// Collects what is told until `expected` was told; other tests' objects are told, too.
async fn told(releases: &ReleaseWatch, expected: &ObjectRef) {
    let wait = async { while !releases.changed().await.contains(expected) {} };
    assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "{expected} was never told");
}

#[tokio::test]
async fn releases_are_followed_and_their_status_is_written_once() {
    let bench = Bench::new("release").await;
    bench.api.install_crds().await.unwrap();
    assert_eq!(bench.api.install_crds().await.unwrap(), 0, "what is there is not written again");
    let releases = ReleaseWatch::start(bench.api.clone());
    let object = release(&bench.namespace, "web", "1.0.0");
    bench.apply(&object).await;
    let id = bench.id("helm.fluxcd.io/v1", "HelmRelease", "web");
    told(&releases, &id).await;
    let known = releases.all().unwrap().into_iter().find(|release| release.id == id).unwrap();
    let spec = known.object.unwrap().spec;
    assert_eq!(spec.chart.version.as_deref(), Some("1.0.0"));
    assert_eq!(spec.values.unwrap()["deep"], json!({"er": [1, null]}));

    assert!(releases.write_status(&id, &status(1, Some("1.0.0"), "True")).await.unwrap());
    let writes = bench.api.requests().writes();
    assert!(!releases.write_status(&id, &status(1, Some("1.0.0"), "True")).await.unwrap());
    assert_eq!(bench.api.requests().writes(), writes);
    assert_eq!(bench.health(&id).await.state, HealthState::Healthy);

    // What is no longer said disappears.
    assert!(releases.write_status(&id, &status(1, None, "False")).await.unwrap());
    let live = bench.get(&object).await;
    assert_eq!(live["status"].get("revision"), None);
    assert_eq!(live["status"]["phase"], "Succeeded");
    let health = bench.health(&id).await;
    assert_eq!((health.state, health.reason.as_str()), (HealthState::Failed, "the chart's own words"));

    // Status alone is not told; a new spec and an annotation are.
    let quiet = async {
        loop {
            let told = releases.changed().await;
            assert!(!told.contains(&id), "{told:?}");
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), quiet).await.is_err());
    bench.apply(&release(&bench.namespace, "web", "1.0.1")).await;
    told(&releases, &id).await;
    assert_eq!(bench.health(&id).await.state, HealthState::Progressing);
    bench.kubectl(&["annotate", "helmrelease", "web", "tagboat.dev/paused=true"]).await;
    told(&releases, &id).await;
    let read = releases.read(&bench.namespace, "web").await.unwrap().unwrap().object.unwrap();
    assert_eq!(read.metadata.annotations.unwrap()["tagboat.dev/paused"], "true");
    bench.kubectl(&["delete", "helmrelease", "web"]).await;
    told(&releases, &id).await;
    assert!(!releases.all().unwrap().iter().any(|release| release.id == id));
    assert!(releases.read(&bench.namespace, "web").await.unwrap().is_none());
}

#[tokio::test]
async fn a_status_for_nothing_is_refused() {
    let bench = Bench::new("release").await;
    bench.api.install_crds().await.unwrap();
    let releases = ReleaseWatch::start(bench.api.clone());
    let id = bench.id("helm.fluxcd.io/v1", "HelmRelease", "gone");
    let fault = releases.write_status(&id, &status(1, None, "True")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
}
