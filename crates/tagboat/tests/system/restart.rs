//! Ends and beginnings: at the worst moment, and of another replica.

use crate::place::PATIENCE;
use crate::shop::{API_IMAGE, Shop, WEB_IMAGE, said, until};
use std::time::{Duration, Instant};
use tagboat_testkit::{Controller, ControllerOptions};

impl Shop {
    async fn replica(&self, name: &str) -> Controller {
        let arguments = vec!["--instance".to_owned(), name.to_owned()];
        let options = ControllerOptions { arguments, only_alive: true, ..ControllerOptions::default() };
        self.start_with(&self.config(), self.place.cluster.kubeconfig_path(), &options).await
    }

    fn commits_of(&self, repository: &str, tag: &str) -> usize {
        self.commits_with(&format!("Auto-release registry.example.com/{repository}:{tag}"))
    }

    /// Makes the remote slow, and waits until a push has begun.
    async fn push_under_way(&self, controller: &Controller, tag: &str) {
        let hook = format!("#!/bin/sh\ntouch \"$GIT_DIR/began-{tag}\"\nsleep 3\n");
        self.place.repository.install_hook("pre-receive", &hook).unwrap();
        self.place.push(WEB_IMAGE, tag).await;
        let began = self.place.repository.path().join(format!("began-{tag}"));
        until("a push begins", controller, async || if began.exists() { Ok(()) } else { Err("none".to_owned()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_cut_off_by_the_end_of_the_process_is_made_once() {
    let shop = Shop::new().await;
    let controller = shop.start().await;
    shop.settled(&controller, "main-1", "main-1").await;
    shop.place.push(API_IMAGE, "main-2").await;
    shop.settled(&controller, "main-1", "main-2").await;
    assert_eq!(shop.revisions().await, 2);

    // Told to stop in the middle of a push: it is brought to an end, and the lease is given back.
    shop.push_under_way(&controller, "main-2").await;
    assert!(controller.stop().await.unwrap().success());
    shop.place.repository.remove_hook("pre-receive").unwrap();
    let began = Instant::now();
    let controller = shop.start().await;
    assert!(began.elapsed() < Duration::from_secs(8), "the lease was free: {:?}", began.elapsed());
    shop.settled(&controller, "main-2", "main-2").await;
    assert_eq!(shop.commits_of(WEB_IMAGE, "main-2"), 1);

    // Killed in the middle of a push: whatever became of it, there is one commit.
    shop.push_under_way(&controller, "main-3").await;
    drop(controller);
    let controller = shop.start().await;
    shop.settled(&controller, "main-3", "main-2").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    shop.place.repository.remove_hook("pre-receive").unwrap();
    assert_eq!(shop.commits_of(WEB_IMAGE, "main-3"), 1);
    assert_eq!(shop.place.repository.commits("main").unwrap().len(), 4);
    assert_eq!(shop.revisions().await, 2, "no start makes a revision");
    let status = controller.status().await.unwrap();
    assert!(status["items"].as_array().unwrap().iter().all(|item| item["state"] == "healthy"), "{status:#}");
    controller.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_writes_and_the_other_takes_over() {
    let shop = Shop::new().await;
    let first = shop.replica("first").await;
    shop.settled(&first, "main-1", "main-1").await;
    let second = shop.replica("second").await;
    shop.place.push(WEB_IMAGE, "main-2").await;
    shop.settled(&first, "main-2", "main-1").await;
    assert_eq!(said(&second, "waiting: first-"), 1, "{}", second.log_tail());
    assert_eq!(second.status().await.unwrap()["controller"]["leader"], false);

    // The first is killed: the lease runs out.
    drop(first);
    shop.place.push(WEB_IMAGE, "main-3").await;
    shop.settled(&second, "main-3", "main-1").await;
    assert_eq!(second.status().await.unwrap()["controller"]["leader"], true);

    // The second stops: the third does not wait for the lease to run out.
    let third = shop.replica("third").await;
    until("the third waits", &third, async || {
        if said(&third, "waiting: second-") == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert!(second.stop().await.unwrap().success());
    let began = Instant::now();
    third.wait_for("the third leads", PATIENCE, |status| status["controller"]["leader"] == true).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
    shop.place.push(WEB_IMAGE, "main-4").await;
    shop.settled(&third, "main-4", "main-1").await;
    for tag in ["main-2", "main-3", "main-4"] {
        assert_eq!(shop.commits_of(WEB_IMAGE, tag), 1, "{tag}");
    }
    assert_eq!(shop.revisions().await, 1);
    third.stop().await.unwrap();
}
