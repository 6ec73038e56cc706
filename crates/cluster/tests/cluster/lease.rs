use std::sync::Arc;
use std::time::Duration;

use tagboat_cluster::{LeaseFence, LeaseOptions};
use tagboat_engine::ports::{FaultKind, WriteFence};

use crate::{Bench, adapter};

fn quick(identity: &str) -> LeaseOptions {
    LeaseOptions {
        duration: Duration::from_secs(3),
        deadline: Duration::from_secs(2),
        renew: Duration::from_millis(500),
        ..LeaseOptions::new("tagboat", identity)
    }
}

async fn becomes(fence: &LeaseFence, held: bool, within: Duration) -> bool {
    let mut state = fence.state();
    tokio::time::timeout(within, state.wait_for(|state| state.held == held)).await.is_ok()
}

#[tokio::test]
async fn one_replica_writes_and_the_other_follows_when_it_leaves() {
    let bench = Bench::new("lease").await;
    let first = LeaseFence::start(bench.api.clone(), quick("first"));
    assert!(becomes(&first, true, Duration::from_secs(10)).await);
    first.check().await.unwrap();
    let other = Arc::new(adapter(bench.cluster, &bench.namespace).await);
    let second = LeaseFence::start(other, quick("second"));
    tokio::time::sleep(Duration::from_secs(4)).await;
    // Longer than the duration: the holder renews.
    first.check().await.unwrap();
    let fault = second.check().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Fenced);
    assert!(fault.text.contains("held by first"), "{fault}");
    first.release().await.unwrap();
    assert!(becomes(&second, true, Duration::from_millis(2500)).await, "a lease that was given back is free at once");
    second.check().await.unwrap();
}

#[tokio::test]
async fn a_replica_that_vanished_is_followed_after_the_duration() {
    let bench = Bench::new("lease").await;
    let first = LeaseFence::start(bench.api.clone(), quick("first"));
    assert!(becomes(&first, true, Duration::from_secs(10)).await);
    let second = LeaseFence::start(bench.api.clone(), quick("second"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(first);
    assert!(!becomes(&second, true, Duration::from_millis(1500)).await, "too early");
    assert!(becomes(&second, true, Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_lease_that_is_deleted_or_taken_stops_the_holder() {
    let bench = Bench::new("lease").await;
    let fence = LeaseFence::start(bench.api.clone(), quick("first"));
    assert!(becomes(&fence, true, Duration::from_secs(10)).await);
    bench.kubectl(&["annotate", "lease", "tagboat", "note=edited"]).await;
    assert!(!becomes(&fence, false, Duration::from_millis(1500)).await, "an edit takes nothing away");
    let patch =
        r#"{"spec":{"holderIdentity":"thief","renewTime":"2020-01-01T00:00:00.000000Z","leaseDurationSeconds":2}}"#;
    bench.kubectl(&["patch", "lease", "tagboat", "--type=merge", "-p", patch]).await;
    assert!(becomes(&fence, false, Duration::from_secs(3)).await);
    assert!(fence.check().await.unwrap_err().text.contains("held by thief"));
    // The thief never renews.
    assert!(becomes(&fence, true, Duration::from_secs(10)).await);
    bench.kubectl(&["delete", "lease", "tagboat"]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    fence.check().await.unwrap();
}
