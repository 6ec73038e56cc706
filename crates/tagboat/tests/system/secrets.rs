//! Secrets that stand in the configuration and in the repository are in no output, whatever goes wrong.

use crate::place::{PATIENCE, Place};
use crate::shop::{Shop, WEB_IMAGE};
use base64::Engine;
use std::time::Duration;
use tagboat_testkit::{Change, ControllerOptions, Credentials, Fault, NewCommit, RegistryAuth, Scratch};

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_output() {
    let (git, registry) = (Credentials::random("git-user"), Credentials::random("registry-user"));
    let shop = Shop::at(Place::guarded(&git, RegistryAuth::Token(registry.clone())).await).await;
    let place = &shop.place;
    let canary = |name: &str| format!("canary{name}{}", Credentials::random("").password);
    let (good, plain, refused, broken) = (canary("good"), canary("plain"), canary("refused"), canary("broken"));
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let secret = |name: &str, fields: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: shop\n{fields}\n")
    };
    let files = [
        ("shop/good.yaml", secret("good", &format!("data: {{a: {}}}\nstringData: {{b: {plain}}}", encode(&good)))),
        // What the API server refuses, it quotes.
        ("shop/refused.yaml", secret("refused", &format!("data: {{a: \"{refused}!\"}}"))),
        ("shop/twice.yaml", secret("twice", &format!("stringData:\n  a: {plain}\n  a: {refused}"))),
        ("shop/broken.yaml", secret("broken", &format!("stringData: {{a: {broken}, \"{broken}: [}}"))),
        ("shop/typed.yaml", secret("typed", &format!("stringData: {{a: [{broken}]}}\nimmutable: {broken}"))),
    ];
    let changes = files.iter().map(|(path, text)| Change { path, content: Some(text.as_bytes()) }).collect();
    place.repository.commit("main", &NewCommit::new("Add secrets", changes)).unwrap();
    let scratch = Scratch::new("passwords").unwrap();
    let git_file = scratch.write("git", format!("{}\n", git.password)).unwrap();
    let registry_file = scratch.write("registry", &registry.password).unwrap();
    let config = shop
        .config()
        .replace(
            "    allowHttp: true\n",
            &format!(
                "    allowHttp: true\n    credentials:\n      username: {}\n      passwordFile: {}\n",
                git.user,
                git_file.display()
            ),
        )
        .replace(
            "    plainHttp: true\nhelm:",
            &format!(
                "    plainHttp: true\n    username: {}\n    passwordFile: {}\nhelm:",
                registry.user,
                registry_file.display()
            ),
        );
    let options = ControllerOptions {
        arguments: vec!["--log-level".to_owned(), "trace".to_owned()],
        ..ControllerOptions::default()
    };
    let controller = shop.start_with(&config, place.cluster.kubeconfig_path(), &options).await;
    shop.settled(&controller, "main-1", "main-1").await;
    place.cluster.kubectl(&["get", "secret", "good", "-n", "shop"]).await.unwrap();

    // Work, with everything failing once on the way.
    place.slack.fail_next(1, &Fault::status(500));
    place.push(WEB_IMAGE, "main-2").await;
    shop.settled(&controller, "main-2", "main-1").await;
    place.slack.wait_messages(1, PATIENCE).await.unwrap();
    place.git.fail_next(2, &Fault::status(500));
    place.git.fail_next(2, &Fault::status(401));
    tokio::time::sleep(Duration::from_secs(5)).await;
    // The password is changed at the host: what is sent now is refused.
    std::fs::write(&git_file, format!("wrong{}", git.password)).unwrap();
    std::fs::write(&registry_file, format!("wrong{}", registry.password)).unwrap();
    let status = controller
        .wait_for("the refusal shows", PATIENCE, |status| status["sources"][0]["error"].is_string())
        .await
        .unwrap();

    let slack = place.slack.webhook_url().rsplit('/').next().unwrap().to_owned();
    let secrets = [git.password.clone(), registry.password.clone(), slack, good.clone(), plain, refused, broken];
    let kubectl = async |what: &str| place.cluster.kubectl(&["get", what, "-A", "-o", "json"]).await.unwrap();
    let lines = controller.logs().unwrap();
    assert!(lines.iter().any(|line| line["level"] == "TRACE"), "the log is as loud as it gets");
    let outputs = [
        ("the log", lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        ("the log's end", controller.log_tail()),
        ("the status", status.to_string()),
        ("the metrics", controller.metrics().await.unwrap()),
        ("our commits", place.repository.git(&["log", "--author=Tagboat", "--patch", "main"]).unwrap()),
        ("events", kubectl("events").await),
        ("releases", kubectl("helmreleases.helm.fluxcd.io").await),
        ("the inventory", kubectl("configmaps").await),
        ("the lease", kubectl("leases").await),
        ("Slack", place.slack.messages().iter().map(ToString::to_string).collect()),
    ];
    assert!(outputs[4].1.contains("Auto-release"), "{}", outputs[4].1);
    for (output, text) in outputs {
        for secret in &secrets {
            for form in [
                secret.clone(),
                encode(secret),
                encode(&format!("{}:{secret}", git.user)),
                encode(&format!("{}:{secret}", registry.user)),
            ] {
                if let Some(at) = text.find(&form) {
                    let (from, to) = (at.saturating_sub(300), (at + 300).min(text.len()));
                    panic!(
                        "{output} holds a secret ({form}): …{}…",
                        String::from_utf8_lossy(&text.as_bytes()[from..to])
                    );
                }
            }
        }
    }
    controller.stop().await.unwrap();
}
