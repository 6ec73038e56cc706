//! A person's word on a tag sticks, also across restarts, until a build comes that is newer than it.

use crate::place::{PATIENCE, item};
use crate::shop::{Shop, WEB, WEB_FILE, WEB_IMAGE, web};
use std::time::Duration;
use tagboat_testkit::Controller;

/// Waits until the status says that a person holds the image, and gives the reason back.
async fn held(controller: &Controller, tag: &str) -> String {
    let status = controller
        .wait_for("the pin shows", PATIENCE, |status| {
            item(status, WEB).is_some_and(|item| {
                let container = &item["containers"][0];
                container["action"] == "hold" && container["current"].as_str().unwrap().ends_with(tag)
            })
        })
        .await
        .unwrap();
    let item = item(&status, WEB).unwrap();
    assert_eq!(item["containers"][0]["reason"]["code"], "pinned", "{item:#}");
    item["hold"]["text"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_by_a_person_sticks_until_the_next_build_across_restarts() {
    let shop = Shop::new().await;
    let controller = shop.start().await;
    shop.settled(&controller, "main-1", "main-1").await;
    shop.place.push(WEB_IMAGE, "main-2").await;
    shop.settled(&controller, "main-2", "main-1").await;
    let revisions = shop.revisions().await;

    // A person commits the older tag.
    let theirs = shop.commit("Back to the first build", WEB_FILE, &web("main-1", 1));
    shop.settled(&controller, "main-1", "main-1").await;
    let text = held(&controller, "main-1").await;
    assert!(text.contains("Dana"), "{text}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(shop.head(), theirs, "nothing was committed over it");

    // Killed, and started anew on an empty disk: the pin holds, the release is left as it is.
    drop(controller);
    let controller = shop.start().await;
    shop.settled(&controller, "main-1", "main-1").await;
    held(&controller, "main-1").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(shop.head(), theirs);
    assert_eq!(shop.revisions().await, revisions);

    // The old name is pushed again: it does not come back.
    shop.place.push(WEB_IMAGE, "main-2").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(shop.head(), theirs, "a build that was rolled back does not come back by being pushed again");

    // The next build is taken.
    shop.place.push(WEB_IMAGE, "main-3").await;
    shop.settled(&controller, "main-3", "main-1").await;

    // A revert of our commit is a person's word as well.
    let theirs =
        shop.commit("Revert \"Auto-release registry.example.com/shop/web:main-3\"", WEB_FILE, &web("main-1", 1));
    shop.settled(&controller, "main-1", "main-1").await;
    held(&controller, "main-1").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(shop.head(), theirs);
    shop.place.push(WEB_IMAGE, "main-4").await;
    shop.settled(&controller, "main-4", "main-1").await;
    assert_eq!(shop.read(WEB_FILE), web("main-4", 1));
    controller.stop().await.unwrap();
}
