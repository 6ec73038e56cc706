//! A source over SSH, from the clone to the commit, and a host that is not who it was.

use crate::place::PATIENCE;
use crate::shop::{Shop, WEB_FILE, WEB_IMAGE, said, web};
use std::time::Duration;
use tagboat_testkit::{ControllerOptions, GitSsh, Scratch};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_over_ssh_is_read_and_written_and_a_changed_host_key_is_refused() {
    let shop = Shop::new().await;
    let mut ssh = GitSsh::start().await.unwrap();
    let scratch = Scratch::new("ssh").unwrap();
    let known_hosts = scratch.write("known_hosts", ssh.known_hosts().unwrap()).unwrap();
    // The shop's repository, reached in another way.
    let http = format!("url: {}", shop.place.git.url(&shop.place.repository));
    let over_ssh = format!(
        "url: {}\n    credentials:\n      sshKeyFile: {}\n      knownHostsFile: {}",
        ssh.url(&shop.place.repository),
        ssh.client_key().display(),
        known_hosts.display()
    );
    let config = shop.config().replace(&http, &over_ssh).replace("    allowHttp: true\n", "");
    let options = ControllerOptions::default();
    let controller = shop.start_with(&config, shop.place.cluster.kubeconfig_path(), &options).await;
    shop.settled(&controller, "main-1", "main-1").await;
    shop.place.push(WEB_IMAGE, "main-2").await;
    shop.settled(&controller, "main-2", "main-1").await;
    assert_eq!(shop.read(WEB_FILE), web("main-2", 1));
    assert_eq!(shop.place.git.requests(), [], "nothing went over HTTP");

    // Somebody else answers at that address: nothing is sent, and a person is told, once.
    let head = shop.head();
    ssh.rotate_host_key().await.unwrap();
    shop.place.push(WEB_IMAGE, "main-3").await;
    let status = controller
        .wait_for("the refusal shows", PATIENCE, |status| status["sources"][0]["error"].is_string())
        .await
        .unwrap();
    let error = status["sources"][0]["error"].as_str().unwrap();
    assert!(error.contains("host key") && error.contains("127.0.0.1"), "{error}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(shop.head(), head);
    assert_eq!(said(&controller, "could not fetch"), 1, "{}", controller.log_tail());

    // A person has looked, and trusts the new key: no restart is needed.
    scratch.write("known_hosts", ssh.known_hosts().unwrap()).unwrap();
    shop.settled(&controller, "main-3", "main-1").await;
    controller.stop().await.unwrap();
}
