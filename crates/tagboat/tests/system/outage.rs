//! Registry, git server and API server go away for a while, one after the other, and all at once.

use crate::gate::Door;
use crate::place::{PATIENCE, item};
use crate::shop::{Shop, WEB, WEB_IMAGE, said, spoken, until};
use std::time::Duration;
use tagboat_testkit::{Controller, ControllerOptions, Scratch, http_client};

/// Longer than the lease: whoever comes back after it must win it again.
const LONG: Duration = Duration::from_secs(25);

async fn alive(controller: &Controller) {
    let http = http_client(None).unwrap();
    let answer = http.get(format!("{}/livez", controller.probes_url())).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", controller.log_tail());
}

/// Lines about something that went wrong.
fn warnings(controller: &Controller, about: &str) -> usize {
    let lines = spoken(controller);
    lines.iter().filter(|line| line["level"] != "INFO" && line.to_string().contains(about)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_are_told_once_and_end_without_a_trace() {
    let shop = Shop::new().await;
    let place = &shop.place;
    let git = Door::before(address(&place.git.url(&place.repository))).await;
    let registry = Door::before(address(&place.registry.url())).await;
    let api = Door::before(address(place.cluster.api_server().unwrap().url())).await;
    let config = shop
        .config()
        .replace(address(&place.git.url(&place.repository)), &git.address.to_string())
        .replace(address(&place.registry.url()), &registry.address.to_string());
    let scratch = Scratch::new("outage").unwrap();
    let kubeconfig = std::fs::read_to_string(place.cluster.kubeconfig_path()).unwrap();
    let server = place.cluster.api_server().unwrap().url().to_owned();
    let kubeconfig = kubeconfig.replace(address(&server), &api.address.to_string());
    let kubeconfig = scratch.write("kubeconfig", kubeconfig).unwrap();
    let controller = shop.start_with(&config, &kubeconfig, &ControllerOptions::default()).await;
    shop.settled(&controller, "main-1", "main-1").await;

    // The registry.
    registry.close();
    controller
        .wait_for("the outage shows", PATIENCE, |status| {
            item(status, WEB).is_some_and(|item| item["state"] == "blocked")
        })
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    alive(&controller).await;
    assert_eq!(warnings(&controller, "shop/web could not be scanned"), 1, "{}", controller.log_tail());
    registry.open();
    place.push(WEB_IMAGE, "main-2").await;
    shop.settled(&controller, "main-2", "main-1").await;

    // The git server.
    git.close();
    controller
        .wait_for("the outage shows", PATIENCE, |status| status["sources"][0]["error"].is_string())
        .await
        .unwrap();
    place.push(WEB_IMAGE, "main-3").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    alive(&controller).await;
    assert_eq!(warnings(&controller, "could not fetch"), 1, "{}", controller.log_tail());
    assert!(warnings(&controller, "the commit could not be made") <= 1, "{}", controller.log_tail());
    git.open();
    let status = shop.settled(&controller, "main-3", "main-1").await;
    assert!(status["sources"][0]["error"].is_null(), "{status:#}");
    assert_eq!(shop.commits_with("Auto-release registry.example.com/shop/web:main-3"), 1);

    // The API server, for longer than the lease lasts: nothing is committed meanwhile.
    api.close();
    let head = shop.head();
    let before = spoken(&controller).len();
    tokio::time::sleep(LONG).await;
    alive(&controller).await;
    place.push(WEB_IMAGE, "main-4").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(shop.head(), head, "who cannot show the lease does not write");
    let lines = &spoken(&controller)[before..];
    assert!(lines.len() <= 4, "{lines:#?}");
    api.open();
    shop.settled(&controller, "main-4", "main-1").await;
    assert_eq!(shop.commits_with("Auto-release registry.example.com/shop/web:main-4"), 1);
    assert_eq!(said(&controller, "a task broke down"), 0);
    until("it is ready", &controller, async || {
        let http = http_client(None).unwrap();
        let answer = http.get(format!("{}/readyz", controller.probes_url())).send().await.unwrap();
        if answer.status() == 200 { Ok(()) } else { Err(answer.text().await.unwrap()) }
    })
    .await;
    controller.stop().await.unwrap();
}

/// The `host:port` of a URL.
fn address(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap()
}
