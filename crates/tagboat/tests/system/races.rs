//! Others push to the branch at the worst moment, connections break at the worst moment, and the remote says no.

use crate::place::PATIENCE;
use crate::shop::{Shop, WEB_FILE, WEB_IMAGE, said, until, web};
use std::time::Duration;
use tagboat_testkit::NewCommit;

#[tokio::test(flavor = "multi_thread")]
async fn every_tag_is_committed_once_whatever_becomes_of_the_push() {
    let shop = Shop::new().await;
    let repository = &shop.place.repository;
    let controller = shop.start().await;
    shop.settled(&controller, "main-1", "main-1").await;

    // A person's push lands while ours is under way: theirs stays, ours comes on top, in the same cycle.
    let before = shop.head();
    repository.set_branch("person", &before).unwrap();
    let scaled = web("main-1", 2);
    let theirs = NewCommit::file("Scale the shop", WEB_FILE, scaled.as_bytes());
    let theirs = repository.commit("person", &theirs).unwrap();
    let hook = "#!/bin/sh\nif mkdir \"$GIT_DIR/raced\" 2>/dev/null; then git update-ref refs/heads/main refs/heads/person; \
                fi\n";
    repository.install_hook("update", hook).unwrap();
    shop.place.push(WEB_IMAGE, "main-2").await;
    shop.settled(&controller, "main-2", "main-1").await;
    assert!(repository.path().join("raced").is_dir(), "the hook has run");
    let commits = repository.commits("main").unwrap();
    assert_eq!(commits[1].id, theirs, "ours stands on theirs");
    assert_eq!(commits[2].id, before);
    assert_eq!(shop.read(WEB_FILE), web("main-2", 2), "both changes are there");
    assert_eq!(said(&controller, "planning again"), 1);
    repository.remove_hook("update").unwrap();

    // The remote takes the push, and its answer is lost.
    shop.place.git.lose_next_push_answer(1);
    shop.place.push(WEB_IMAGE, "main-3").await;
    shop.settled(&controller, "main-3", "main-1").await;
    assert_eq!(shop.commits_with("Auto-release registry.example.com/shop/web:main-3"), 1);
    let commits = repository.commits("main").unwrap();
    assert_eq!(commits.len(), 4, "{commits:#?}");

    // A remote that refuses is reported once and asked ever less often; what people push is mirrored as before.
    let count = "#!/bin/sh\necho x >> \"$GIT_DIR/refusals\"\necho 'this branch is protected' >&2\nexit 1\n";
    repository.install_hook("pre-receive", count).unwrap();
    let refusals =
        || std::fs::read_to_string(repository.path().join("refusals")).map_or(0, |text| text.lines().count());
    shop.place.push(WEB_IMAGE, "main-4").await;
    let status = controller
        .wait_for("the refusal shows", PATIENCE, |status| status["sources"][0]["error"].is_string())
        .await
        .unwrap();
    let error = status["sources"][0]["error"].as_str().unwrap();
    assert!(error.contains("pre-receive hook declined"), "{error}");
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!((1..=4).contains(&refusals()), "{} pushes were refused", refusals());
    assert_eq!(said(&controller, "refused the commit"), 1);
    shop.commit("Scale the shop down", WEB_FILE, &web("main-3", 1));
    until("the person's change is mirrored", &controller, async || {
        let path = "jsonpath={.spec.replicas}";
        let live = shop.place.cluster.kubectl(&["get", "deployment", "web", "-n", "shop", "-o", path]).await;
        if live.as_deref().is_ok_and(|live| live == "1") { Ok(()) } else { Err(format!("{live:?}")) }
    })
    .await;
    let status = controller.status().await.unwrap();
    assert!(status["sources"][0]["error"].is_string(), "a fetch does not hide that nothing can be pushed: {status:#}");
    assert_eq!(said(&controller, "refused the commit"), 1, "{}", controller.log_tail());

    // It is allowed again.
    repository.remove_hook("pre-receive").unwrap();
    let status = shop.settled(&controller, "main-4", "main-1").await;
    assert!(status["sources"][0]["error"].is_null(), "{status:#}");
    assert_eq!(shop.read(WEB_FILE), web("main-4", 1));
    assert_eq!(repository.commits("main").unwrap().len(), 6);
    controller.stop().await.unwrap();
}
