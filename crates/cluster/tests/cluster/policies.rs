use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tagboat_cluster::PolicyWatch;
use tagboat_engine::ports::{Apply, Cluster as _, FaultKind, LivePolicies};
use tagboat_manifest::WorkloadId;

use crate::{Bench, deployment, mirror};

const AUTOMATED: &str = "fluxcd.io/automated";
const LIMIT: Duration = Duration::from_secs(20);

async fn watch(bench: &Bench) -> PolicyWatch {
    let policies = PolicyWatch::start(bench.api.clone());
    assert!(policies.synced(LIMIT).await);
    policies
}

/// Waits for a change after which the watch knows what is expected. Other tests' objects change, too.
async fn until(policies: &PolicyWatch, expected: impl Fn() -> bool) {
    let wait = async {
        while !expected() {
            policies.changed().await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "never seen");
}

#[tokio::test]
async fn what_a_person_sets_is_seen_and_survives_the_next_apply() {
    let bench = Bench::new("policy").await;
    let policies = watch(&bench).await;
    let id = WorkloadId::new(Some(&bench.namespace), "Deployment", "web");
    assert_eq!(policies.known(&id), None);
    assert_eq!(policies.read(&id).await.unwrap(), None);

    let mut object = deployment(&bench.namespace, "web", "example.com/web:1");
    object["metadata"]["annotations"] = json!({AUTOMATED: "true", "other.example.com/x": "1"});
    bench.apply(&object).await;
    until(&policies, || {
        policies.known(&id).is_some_and(|live| live.annotations.get(AUTOMATED).is_some_and(|value| value == "true"))
    })
    .await;
    let known = policies.known(&id).unwrap();
    assert_eq!((known.annotations.len(), known.set_by_person.len()), (1, 0), "{known:?}");
    assert_eq!(policies.read(&id).await.unwrap(), Some(known));

    bench.kubectl(&["annotate", "deployment", "web", "fluxcd.io/automated=false", "--overwrite"]).await;
    // Read from the API server, it is there at once.
    let read = policies.read(&id).await.unwrap().unwrap();
    assert_eq!((read.annotations[AUTOMATED].as_str(), read.set_by_person.contains(AUTOMATED)), ("false", true));
    until(&policies, || policies.known(&id).is_some_and(|live| live.set_by_person.contains(AUTOMATED))).await;

    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example.com/web:2");
    let leave = Apply { leave_annotations: BTreeSet::from([AUTOMATED.to_owned()]), ..mirror(&object) };
    bench.api.apply(&leave).await.unwrap();
    let live = bench.get(&object).await;
    assert_eq!(
        (&live["metadata"]["annotations"][AUTOMATED], &live["metadata"]["annotations"]["other.example.com/x"]),
        (&json!("false"), &json!("1"))
    );

    // With the key, it is put back, and is ours again.
    bench.apply(&object).await;
    let read = policies.read(&id).await.unwrap().unwrap();
    assert_eq!((read.annotations[AUTOMATED].as_str(), read.set_by_person.len()), ("true", 0));
}

#[tokio::test]
async fn kubectl_apply_is_no_person() {
    let bench = Bench::new("policy").await;
    let policies = PolicyWatch::start(bench.api.clone());
    for (name, arguments) in [("client", [].as_slice()), ("server", ["--server-side"].as_slice())] {
        let mut object = deployment(&bench.namespace, name, "example.com/web:1");
        object["metadata"]["annotations"] = json!({AUTOMATED: "true"});
        bench.kubectl_apply(arguments, &object).await;
        let read = policies.read(&WorkloadId::new(Some(&bench.namespace), "deployment", name)).await.unwrap().unwrap();
        assert_eq!((read.annotations.len(), read.set_by_person.len()), (1, 0), "{name}: {read:?}");
    }
}

#[tokio::test]
async fn a_namespace_speaks_for_what_is_in_it() {
    let bench = Bench::new("policy").await;
    let policies = watch(&bench).await;
    let second = policies.subscribe();
    let id = WorkloadId::new(Some(&bench.namespace), "deployment", "web");
    bench.apply(&deployment(&bench.namespace, "web", "example.com/web:1")).await;
    bench.cluster.kubectl(&["annotate", "namespace", &bench.namespace, "tagboat.dev/paused=true"]).await.unwrap();
    let paused = || policies.known(&id).is_some_and(|live| live.namespace.contains_key("tagboat.dev/paused"));
    until(&policies, paused).await;
    // The other handle is told as well, although the first one has been.
    assert!(tokio::time::timeout(LIMIT, second.changed()).await.is_ok());
    assert_eq!(policies.read(&id).await.unwrap().unwrap().namespace["tagboat.dev/paused"], "true");
}

#[tokio::test]
async fn what_is_deleted_is_forgotten() {
    let bench = Bench::new("policy").await;
    let policies = watch(&bench).await;
    let id = WorkloadId::new(Some(&bench.namespace), "deployment", "web");
    let mut object = deployment(&bench.namespace, "web", "example.com/web:1");
    object["metadata"]["annotations"] = json!({"tagboat.dev/paused": "true"});
    bench.apply(&object).await;
    until(&policies, || policies.known(&id).is_some()).await;
    bench.kubectl(&["delete", "deployment", "web"]).await;
    until(&policies, || policies.known(&id).is_none()).await;
}

#[tokio::test]
async fn a_kind_that_is_not_watched_is_an_error_and_not_silence() {
    let bench = Bench::new("policy").await;
    let policies = PolicyWatch::start(bench.api.clone());
    let fault = policies.read(&WorkloadId::new(Some(&bench.namespace), "job", "x")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains("deployment, daemonset"), "{fault}");
}
