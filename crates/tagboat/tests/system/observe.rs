//! `mode: observe`: everything is decided, compared and reported; nothing is written, anywhere.

use crate::place::{PATIENCE, item};
use crate::shop::{Shop, WEB, WEB_IMAGE, web};
use std::time::Duration;
use tagboat_testkit::{Change, ControllerOptions, NewCommit};

const USER: &str = "observer";

#[tokio::test(flavor = "multi_thread")]
async fn observing_decides_and_compares_and_writes_nothing() {
    let shop = Shop::new().await;
    // Somebody else runs the shop: it is there as git had it, but for one edit by hand.
    shop.place.cluster.kubectl(&["create", "namespace", "shop"]).await.unwrap();
    let manifest = web("main-1", 3);
    shop.place.cluster.kubectl_with(&["apply", "-f", "-"], manifest.as_bytes()).await.unwrap();
    let bad = [Change {
        path: "shop/unserved.yaml",
        content: Some(b"apiVersion: no.example.com/v1\nkind: Nothing\nmetadata: {name: x}\n"),
    }];
    let head = shop.place.repository.commit("main", &NewCommit::new("Add what nobody serves", bad.to_vec())).unwrap();
    let user = shop.place.cluster.user(USER, Some("system:masters")).unwrap();
    let config = format!("mode: observe\n{}", shop.config());
    let controller = shop.start_with(&config, user.kubeconfig_path(), &ControllerOptions::default()).await;
    shop.place.push(WEB_IMAGE, "main-2").await;

    let status = controller
        .wait_for("the decision", PATIENCE, |status| {
            item(status, WEB).is_some_and(|item| item["containers"][0]["action"] == "update")
                && status["sources"][0]["problems"].as_array().is_some_and(|problems| !problems.is_empty())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", controller.log_tail()));
    assert_eq!(status["controller"]["observe"], true);
    assert_eq!(item(&status, WEB).unwrap()["containers"][0]["target"], "registry.example.com/shop/web:main-2");
    let problems = status["sources"][0]["problems"].to_string();
    assert!(problems.contains("no matches for kind \\\"Nothing\\\""), "{problems}");
    assert!(problems.contains("Deployment shop/web differs from git"), "{problems}");
    assert!(!problems.contains("Namespace shop differs"), "{problems}");
    assert!(status["sources"][0]["mirrored"].is_null(), "nothing was mirrored: {status:#}");

    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes: Vec<String> =
        shop.writes_of(USER).iter().map(|entry| format!("{} {}", entry.verb, entry.uri)).collect();
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(shop.head(), head);
    assert_eq!(shop.place.slack.requests().len(), 0);
    let replicas = ["get", "deployment", "web", "-n", "shop", "-o", "jsonpath={.spec.replicas}"];
    assert_eq!(shop.place.cluster.kubectl(&replicas).await.unwrap(), "3");
    controller.stop().await.unwrap();
}
