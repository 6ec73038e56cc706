//! A cycle that changes nothing does nothing.

use crate::place::PATIENCE;
use crate::shop::{API_IMAGE, Shop, WEB_IMAGE, spoken};
use std::collections::BTreeMap;
use std::time::Duration;
use tagboat_testkit::ControllerOptions;

const USER: &str = "tagboat-under-audit";
/// Intervals are one second here; every tenth fetch looks at the objects themselves.
const CYCLES: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_that_changes_nothing_writes_nothing_and_says_nothing() {
    let shop = Shop::new().await;
    let user = shop.place.cluster.user(USER, Some("system:masters")).unwrap();
    let controller = shop.start_with(&shop.config(), user.kubeconfig_path(), &ControllerOptions::default()).await;
    shop.settled(&controller, "main-1", "main-1").await;

    // One change of each, so that what follows is the quiet after work, and not only after a start.
    shop.place.push(WEB_IMAGE, "main-2").await;
    shop.place.push(API_IMAGE, "main-2").await;
    shop.settled(&controller, "main-2", "main-2").await;
    shop.place.slack.wait_messages(2, PATIENCE).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;

    let objects = async || {
        let kinds = "deployments,services,configmaps,secrets,namespaces,helmreleases.helm.fluxcd.io,events";
        let path = "jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name} \
                    {.metadata.resourceVersion}{\"\\n\"}{end}";
        shop.place.cluster.kubectl(&["get", kinds, "-A", "-o", path]).await.unwrap()
    };
    let before = objects().await;
    let (head, writes, lines) = (shop.head(), shop.writes_of(USER).len(), spoken(&controller).len());
    let (asked, messages) = (shop.place.registry.requests().unwrap().len(), shop.place.slack.requests().len());
    let revisions = shop.revisions().await;
    assert!(writes > 3, "the audit log shows this user's writes");

    tokio::time::sleep(Duration::from_secs(CYCLES)).await;

    let writes: Vec<String> = shop.writes_of(USER)[writes..]
        .iter()
        .filter(|entry| entry.object_ref.as_ref().is_none_or(|object| object.resource != "leases"))
        .map(|entry| format!("{} {}", entry.verb, entry.uri))
        .collect();
    assert_eq!(writes, Vec::<String>::new(), "what was written");
    let mut pages: BTreeMap<String, u64> = BTreeMap::new();
    for request in &shop.place.registry.requests().unwrap()[asked..] {
        let path = request.uri.split('?').next().unwrap();
        *pages.entry(format!("{} {path}", request.method)).or_default() += 1;
    }
    let lists = [WEB_IMAGE, API_IMAGE].map(|repository| format!("GET /v2/{repository}/tags/list"));
    assert_eq!(pages.keys().collect::<Vec<_>>(), [&lists[1], &lists[0]], "what the registry was asked");
    for (page, count) in pages {
        assert!((CYCLES / 2..=CYCLES + 1).contains(&count), "{page} was asked {count} times");
    }
    let silent: &[serde_json::Value] = &[];
    assert_eq!(&spoken(&controller)[lines..], silent, "what was logged");
    assert_eq!(shop.head(), head);
    assert_eq!(shop.revisions().await, revisions);
    assert_eq!(shop.place.slack.requests().len(), messages);
    let changed: Vec<&str> = {
        let before: Vec<&str> = before.lines().collect();
        let after = objects().await.leak();
        after.lines().filter(|line| !before.contains(line)).collect()
    };
    assert_eq!(changed, Vec::<&str>::new(), "objects whose resource version changed");
    assert!(controller.stop().await.unwrap().success());
}
