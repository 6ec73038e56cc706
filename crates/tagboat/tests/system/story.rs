//! Stories on the example repository of this project.

use crate::place::{PATIENCE, Place, item};
use std::path::PathBuf;
use std::time::Duration;

const WEB: &str = "bookshop/web";
const DEV: &str = "bookshop-dev:helmrelease/bookshop";

fn example() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/example")
}

async fn bookshop() -> (Place, tagboat_testkit::Controller) {
    let place = Place::new().await;
    place.charts.publish_folder(&example().join("charts/bookshop"), "0.1.0").await.unwrap();
    place.repository.commit_folder("main", &example().join("infrastructure"), "Add the bookshop").unwrap();
    for tag in
        ["main-5b0c1e7a9d3f42868e1c07b5a4d69f3021c8e7b4", "stage-v0.9.0", "release-v0.9.0", "sandbox-v0.8.2-search"]
    {
        place.push(WEB, tag).await;
    }
    let controller = place.start(&place.config("main", "registry.example.com", "https://charts.example.com/")).await;
    controller
        .wait_for("all environments are healthy", PATIENCE, |status| {
            status["items"].as_array().is_some_and(|items| {
                items.len() >= 6
                    && items
                        .iter()
                        .filter(|item| item["workload"].as_str().unwrap().contains("helmrelease"))
                        .all(|item| item["health"]["state"] == "healthy")
            })
        })
        .await
        .unwrap();
    (place, controller)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_on_the_live_object_holds_and_its_end_lets_the_newest_tag_in() {
    let (place, controller) = bookshop().await;
    let image = |tag: &str| format!("registry.example.com/{WEB}:{tag}");
    place.push(WEB, "main-1111111111111111111111111111111111111111").await;
    place
        .wait_for_image(
            "bookshop-dev",
            "bookshop-dev",
            &image("main-1111111111111111111111111111111111111111"),
            &controller,
        )
        .await;

    // A pause, set as an operator would, survives a full sync although git says otherwise.
    let annotate = async |value: &str| {
        let arguments = ["annotate", "hr", "bookshop", "-n", "bookshop-dev", value, "--overwrite"];
        place.cluster.kubectl(&arguments).await
    };
    annotate("fluxcd.io/automated=false").await.unwrap();
    controller
        .wait_for("the pause is seen", PATIENCE, |status| {
            item(status, DEV).is_some_and(|item| item["containers"][0]["action"] == "hold")
        })
        .await
        .unwrap();
    let head = place.repository.head("main").unwrap();
    place.push(WEB, "main-2222222222222222222222222222222222222222").await;
    place
        .repository
        .commit("main", &tagboat_testkit::NewCommit::file("Say hello", "kubernetes/hello.txt", b"hello\n"))
        .unwrap();
    let pushed = place.repository.head("main").unwrap().unwrap();
    controller
        .wait_for("a full sync", PATIENCE, |status| status["sources"][0]["mirrored"] == pushed.as_str())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_ne!(head, Some(pushed.clone()));
    assert_eq!(place.repository.head("main").unwrap(), Some(pushed), "nothing was committed under the pause");
    let live = place
        .cluster
        .kubectl(&[
            "get",
            "hr",
            "bookshop",
            "-n",
            "bookshop-dev",
            "-o",
            "jsonpath={.metadata.annotations.fluxcd\\.io/automated}",
        ])
        .await
        .unwrap();
    assert_eq!(live, "false", "the mirror left the operator's annotation alone");

    // Its end.
    annotate("fluxcd.io/automated-").await.unwrap();
    place
        .wait_for_image(
            "bookshop-dev",
            "bookshop-dev",
            &image("main-2222222222222222222222222222222222222222"),
            &controller,
        )
        .await;
    controller
        .wait_for("the newest tag is healthy", PATIENCE, |status| {
            item(status, DEV).is_some_and(|item| item["change"]["timeline"]["healthy"].is_string())
        })
        .await
        .unwrap();

    // The real helm works on the release.
    let history =
        place.cluster.helm(&["history", "bookshop-dev", "-n", "bookshop-dev", "--output", "json"]).await.unwrap();
    let revisions: Vec<serde_json::Value> = serde_json::from_str(&history).unwrap();
    assert_eq!(revisions.len(), 3, "{history}");
    let manifest = place.cluster.helm(&["get", "manifest", "bookshop-dev", "-n", "bookshop-dev"]).await.unwrap();
    assert!(manifest.contains("main-2222222222222222222222222222222222222222"), "{manifest}");

    // Slack was told of both deployments, once each.
    let messages = place.slack.wait_messages(2, PATIENCE).await.unwrap();
    let of_dev = |tag: &str| messages.iter().filter(|message| message["text"].to_string().contains(tag)).count();
    assert_eq!(of_dev("main-11111111: deployed"), 1, "{messages:#?}");
    assert_eq!(of_dev("main-22222222: deployed"), 1, "{messages:#?}");
    controller.stop().await.unwrap();
}
