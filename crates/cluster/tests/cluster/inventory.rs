use serde_json::json;
use tagboat_engine::ports::{Cluster as _, FaultKind, Inventory, InventoryEntry, ObjectRef, Revision, SourceId};

use crate::{Bench, adapter};

/// An inventory that packs badly, of `count` objects.
fn inventory(count: usize, seed: u64) -> Inventory {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 16
    };
    let entries = (0..count)
        .map(|number| InventoryEntry {
            object: ObjectRef {
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                namespace: Some(format!("ns-{:x}", next())),
                name: format!("web-{number}-{:x}{:x}", next(), next()),
            },
            uid: (number % 3 != 0).then(|| format!("{:016x}-{:016x}", next(), next())),
        })
        .collect();
    Inventory { revision: Some(Revision("0123456789012345678901234567890123456789".into())), entries }
}

async fn pieces(bench: &Bench) -> usize {
    let listed = bench.api.list("v1", "ConfigMap", Some(&bench.namespace)).await.unwrap();
    listed
        .iter()
        .filter(|object| object["metadata"]["name"].as_str().unwrap().starts_with("tagboat-inventory-"))
        .count()
}

#[tokio::test]
async fn inventories_of_all_sizes_come_back_whole() {
    let bench = Bench::new("inventory").await;
    let source = SourceId("voice".into());
    assert_eq!(bench.api.inventory(&source).await.unwrap(), None);
    for (number, (count, expected)) in [(3, 1..=1), (12_000, 2..=5), (2_000, 1..=1)].into_iter().enumerate() {
        let saved = inventory(count, number as u64);
        bench.api.save_inventory(&source, &saved).await.unwrap();
        let stored = pieces(&bench).await;
        assert!(expected.contains(&stored), "{stored} ConfigMaps for {count} objects");
        // Another process, which has nothing in memory, reads the same.
        let fresh = adapter(bench.cluster, &bench.namespace).await;
        assert_eq!(fresh.inventory(&source).await.unwrap(), Some(saved));
    }
}

#[tokio::test]
async fn an_unchanged_inventory_is_not_written() {
    let bench = Bench::new("inventory").await;
    let source = SourceId("voice".into());
    let saved = inventory(10, 1);
    bench.api.save_inventory(&source, &saved).await.unwrap();
    let writes = bench.api.requests().writes();
    bench.api.save_inventory(&source, &saved).await.unwrap();
    let fresh = adapter(bench.cluster, &bench.namespace).await;
    fresh.save_inventory(&source, &saved).await.unwrap();
    assert_eq!((bench.api.requests().writes(), fresh.requests().writes()), (writes, 0));
}

#[tokio::test]
async fn two_writers_do_not_overwrite_each_other() {
    let bench = Bench::new("inventory").await;
    let source = SourceId("voice".into());
    let other = adapter(bench.cluster, &bench.namespace).await;
    bench.api.save_inventory(&source, &inventory(1, 1)).await.unwrap();
    other.inventory(&source).await.unwrap();
    bench.api.save_inventory(&source, &inventory(1, 2)).await.unwrap();
    let fault = other.save_inventory(&source, &inventory(1, 3)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert_eq!(bench.api.inventory(&source).await.unwrap(), Some(inventory(1, 2)));
}

#[tokio::test]
async fn a_damaged_inventory_is_told_and_can_be_written_anew() {
    let bench = Bench::new("inventory").await;
    let source = SourceId("Voice_Infra".into());
    bench.api.save_inventory(&source, &inventory(2, 1)).await.unwrap();
    let name = bench.kubectl(&["get", "configmaps", "-l", "app.kubernetes.io/component=inventory", "-o", "name"]).await;
    let patch = json!({"data": {"inventory.json": "{\"entries\": []}"}}).to_string();
    bench.kubectl(&["patch", name.trim(), "--type=merge", "-p", &patch]).await;
    let fault = bench.api.inventory(&source).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Incomplete);
    assert!(fault.text.contains("Voice_Infra") && fault.text.contains("digest"), "{fault}");
    bench.api.save_inventory(&source, &inventory(2, 2)).await.unwrap();
    assert_eq!(bench.api.inventory(&source).await.unwrap(), Some(inventory(2, 2)));
}
