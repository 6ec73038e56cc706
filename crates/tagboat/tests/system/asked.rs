//! Somebody does not want to wait for the next poll.

use crate::shop::Shop;
use std::process::Command;
use tagboat_testkit::ControllerOptions;

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_makes_it_look_now() {
    let shop = Shop::new().await;
    let config = shop.config().replace("interval: 1s", "interval: 24h");
    let kubeconfig = shop.place.cluster.kubeconfig_path();
    let controller = shop.start_with(&config, kubeconfig, &ControllerOptions::default()).await;
    shop.settled(&controller, "main-1", "main-1").await;

    // It has scanned when it started, and would not again today.
    shop.place.push(crate::shop::WEB_IMAGE, "main-2").await;
    let head = shop.head();
    let asked = Command::new("kill").args(["-HUP", &controller.process_id().to_string()]).status().unwrap();
    assert!(asked.success());
    shop.settled(&controller, "main-2", "main-1").await;
    assert_ne!(shop.head(), head);
    assert!(controller.stop().await.unwrap().success());
}
