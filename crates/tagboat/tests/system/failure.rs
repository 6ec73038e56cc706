//! A build that does not run, and the one that mends it.

use crate::place::{PATIENCE, item};
use crate::shop::{API, API_IMAGE, Shop, WEB, WEB_IMAGE};
use tagboat_testkit::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_does_not_run_is_told_once_and_so_is_its_recovery() {
    let shop = Shop::new().await;
    let controller = shop.start().await;
    shop.settled(&controller, "main-1", "main-1").await;

    let broken = format!("main-2-{}", Outcome::ImagePullBackOff.name());
    shop.place.push(WEB_IMAGE, &broken).await;
    shop.place.push(API_IMAGE, &broken).await;
    let status = controller
        .wait_for("both have failed", PATIENCE, |status| {
            [WEB, API].iter().all(|workload| item(status, workload).is_some_and(|item| item["state"] == "failed"))
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", controller.log_tail()));
    for workload in [WEB, API] {
        let item = item(&status, workload).unwrap();
        assert!(item["because"].as_str().unwrap().contains("image cannot be pulled"), "{item:#}");
        assert_eq!(item["health"]["state"], "failed", "{item:#}");
    }
    let messages = shop.place.slack.wait_messages(2, PATIENCE).await.unwrap();
    for (message, workload) in ["shop/web", "shop/api"].map(|name| (find(&messages, name), name)) {
        let text = message.to_string();
        assert!(text.contains("failed") && text.contains("image cannot be pulled"), "{workload}: {message:#}");
    }

    shop.place.push(WEB_IMAGE, "main-3").await;
    shop.place.push(API_IMAGE, "main-3").await;
    shop.settled(&controller, "main-3", "main-3").await;
    let messages = shop.place.slack.wait_messages(4, PATIENCE).await.unwrap();
    for workload in ["shop/web", "shop/api"] {
        let message = find(&messages[2..], workload);
        let text = message["text"].as_str().unwrap();
        assert!(text.contains("recovered") && text.contains("main-3"), "{message:#}");
    }
    let status = controller.status().await.unwrap();
    for workload in [WEB, API] {
        assert_eq!(item(&status, workload).unwrap()["state"], "healthy", "{status:#}");
    }
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(shop.place.slack.messages().len(), 4, "{:#?}", shop.place.slack.messages());
    controller.stop().await.unwrap();
}

fn find<'a>(messages: &'a [serde_json::Value], workload: &str) -> &'a serde_json::Value {
    let found = messages.iter().find(|message| message.to_string().contains(&format!("*{workload}*")));
    found.unwrap_or_else(|| panic!("no message of {workload}: {messages:#?}"))
}
