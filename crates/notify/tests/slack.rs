//! The webhook against a stand-in that answers as Slack does.

#![allow(clippy::unwrap_used, reason = "a test")]

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use std::time::{Duration, Instant};
use tagboat_engine::ports::{ChangeId, Deployment, DeploymentOutcome, FaultKind, Notifier, Revision};
use tagboat_notify::{MessageOptions, SlackOptions, SlackWebhook};
use tagboat_testkit::SlackStandIn;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// The path of a webhook is its password.
const SECRET: &str = "/services/T000/B000/canary-secret";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_608_912_000 + second).unwrap()
}

fn deployment(outcome: DeploymentOutcome) -> Deployment {
    Deployment {
        id: ChangeId("4f2c9e".to_owned()),
        workload: "shop-dev:helmrelease/web".parse().unwrap(),
        from: Some("registry.example.com/shop/web:main-1111111111111111111111111111111111111111".parse().unwrap()),
        to: Some("registry.example.com/shop/web:main-2222222222222222222222222222222222222222".parse().unwrap()),
        revision: Some(Revision("7f3d09aa".repeat(5))),
        outcome,
        pushed: Some(at(0)),
        committed: Some(at(8)),
        finished: at(171),
    }
}

fn failed(reason: &str) -> Deployment {
    deployment(DeploymentOutcome::Failed { reason: reason.to_owned() })
}

fn webhook(server: &MockServer, options: SlackOptions) -> SlackWebhook {
    rustls::crypto::ring::default_provider().install_default().ok();
    SlackWebhook::new(SecretString::from(format!("{}{SECRET}", server.uri())), options).unwrap()
}

/// Answers in turn, and then with `ok` as Slack does.
async fn slack(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let matching = || Mock::given(method("POST")).and(path(SECRET)).and(header("content-type", "application/json"));
    for answer in answers {
        matching().respond_with(answer).up_to_n_times(1).mount(&server).await;
    }
    matching().respond_with(ResponseTemplate::new(200).set_body_string("ok")).mount(&server).await;
    server
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    server.received_requests().await.unwrap().iter().map(|request| request.body_json().unwrap()).collect()
}

/// All text of a message, in order.
fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let (Some(_), Some(Value::String(text))) = (map.get("type"), map.get("text")) {
                into.push(text.clone());
            }
            map.values().for_each(|value| texts(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| texts(value, into)),
        _ => {}
    }
}

fn all_texts(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    texts(&body["blocks"], &mut found);
    found
}

#[tokio::test]
async fn a_deployment_is_one_message_that_says_what_and_how_long() {
    let server = slack(Vec::new()).await;
    let options = SlackOptions {
        message: MessageOptions { commit_url: Some("https://git.example.com/infra/commit/{revision}".to_owned()) },
        ..SlackOptions::default()
    };
    webhook(&server, options).notify(&deployment(DeploymentOutcome::Done)).await.unwrap();
    let bodies = bodies(&server).await;
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0]["text"], "✅ shop-dev/web main-22222222: deployed");
    assert_eq!(bodies[0]["unfurl_links"], false);
    assert_eq!(
        all_texts(&bodies[0]),
        [
            "✅ *shop-dev/web* deployed: `main-11111111` → `main-22222222`",
            "*Image*\n`registry.example.com/shop/web`",
            &format!("*Commit*\n<https://git.example.com/infra/commit/{}|7f3d09aa>", "7f3d09aa".repeat(5)),
            "pushed 2020-12-25 16:00:00 UTC → committed after 8 s → healthy after 2 min 43 s · `4f2c9e`",
        ]
    );
}

#[tokio::test]
async fn a_failure_says_why_and_a_recovery_says_so() {
    let server = slack(Vec::new()).await;
    let webhook = webhook(&server, SlackOptions::default());
    webhook.notify(&failed("image cannot be pulled: not found")).await.unwrap();
    webhook.notify(&deployment(DeploymentOutcome::Recovered)).await.unwrap();
    let bodies = bodies(&server).await;
    assert_eq!(bodies[0]["text"], "❌ shop-dev/web main-22222222: failed: image cannot be pulled: not found");
    assert!(all_texts(&bodies[0]).contains(&"*Cause* image cannot be pulled: not found".to_owned()));
    assert_eq!(bodies[1]["text"], "✅ shop-dev/web main-22222222: recovered");
}

#[tokio::test]
async fn nothing_from_outside_mentions_links_or_overflows() {
    let server = slack(Vec::new()).await;
    let evil = format!("<!channel> <https://evil.example|ok> @here & \u{202e}{}", "x".repeat(100_000));
    webhook(&server, SlackOptions::default()).notify(&failed(&evil)).await.unwrap();
    let body = bodies(&server).await.remove(0);
    let mut texts = all_texts(&body);
    texts.push(body["text"].as_str().unwrap().to_owned());
    for text in &texts {
        assert!(text.chars().count() <= 3000, "{} characters", text.chars().count());
        for bad in ["<!", "<https://evil", "@here", "\u{202e}", " & "] {
            assert!(!text.contains(bad), "{bad:?} in {text}");
        }
    }
    assert!(texts.iter().any(|text| text.contains("&lt;!channel&gt;")), "{texts:?}");
    assert!(body["blocks"].as_array().unwrap().len() <= 50);
}

#[tokio::test]
async fn every_kind_of_message_passes_slacks_own_checks() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let slack = SlackStandIn::start().unwrap();
    let webhook = SlackWebhook::new(SecretString::from(slack.webhook_url()), SlackOptions::default()).unwrap();
    let bare = Deployment { from: None, to: None, revision: None, pushed: None, committed: None, ..failed("") };
    let long = failed(&"<&>".repeat(10_000));
    let all = [deployment(DeploymentOutcome::Done), deployment(DeploymentOutcome::Recovered), bare, long];
    for deployment in &all {
        webhook.notify(deployment).await.unwrap();
    }
    assert_eq!(slack.messages().len(), all.len());
    let revoked = SlackWebhook::new(SecretString::from(slack.revoked_webhook_url()), SlackOptions::default()).unwrap();
    assert_eq!(revoked.notify(&all[0]).await.unwrap_err().kind, FaultKind::Denied);
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_and_the_message_arrives_once() {
    let limited = ResponseTemplate::new(429).insert_header("retry-after", "1").set_body_string("rate_limited");
    let server = slack(vec![limited]).await;
    let start = Instant::now();
    webhook(&server, SlackOptions::default()).notify(&deployment(DeploymentOutcome::Done)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(bodies(&server).await.len(), 2);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_handed_on() {
    let limited = ResponseTemplate::new(429).insert_header("retry-after", "60");
    let server = slack(vec![limited]).await;
    let start = Instant::now();
    let fault =
        webhook(&server, SlackOptions::default()).notify(&deployment(DeploymentOutcome::Done)).await.unwrap_err();
    assert_eq!((fault.kind, fault.retry_after), (FaultKind::Throttled, Some(Duration::from_secs(60))));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(bodies(&server).await.len(), 1);
}

#[tokio::test]
async fn a_fault_of_slacks_own_is_tried_again_but_not_for_ever() {
    let down = || ResponseTemplate::new(500).set_body_string("rollup_error");
    let server = slack(vec![down(), down(), down(), down()]).await;
    let fault =
        webhook(&server, SlackOptions::default()).notify(&deployment(DeploymentOutcome::Done)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert_eq!(fault.text, "127.0.0.1 answers with status 500: rollup_error");
    assert_eq!(bodies(&server).await.len(), 3);
}

#[tokio::test]
async fn a_removed_webhook_is_named_without_its_address_and_not_tried_again() {
    let server = slack(vec![ResponseTemplate::new(404).set_body_string("no_service")]).await;
    let webhook = webhook(&server, SlackOptions::default());
    let fault = webhook.notify(&deployment(DeploymentOutcome::Done)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert_eq!(
        fault.text,
        "127.0.0.1 refuses the message with status 404: no_service (the webhook was removed: create a new one)"
    );
    assert_eq!(bodies(&server).await.len(), 1);
    assert!(!format!("{fault:?} {webhook:?}").contains("canary"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_the_deadline_and_shows_no_address() {
    let server = slack(vec![ResponseTemplate::new(200).set_delay(Duration::from_secs(30))]).await;
    let options = SlackOptions { deadline: Duration::from_millis(300), ..SlackOptions::default() };
    let start = Instant::now();
    let fault = webhook(&server, options).notify(&deployment(DeploymentOutcome::Done)).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");

    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = SecretString::from(format!("http://127.0.0.1:{port}{SECRET}"));
    let webhook = SlackWebhook::new(nobody, SlackOptions::default()).unwrap();
    let fault = webhook.notify(&deployment(DeploymentOutcome::Done)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.text.starts_with("cannot reach 127.0.0.1: "), "{fault:?}");
    assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
}

#[test]
fn only_addresses_that_keep_the_secret_are_taken() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let new = |url: &str, options: SlackOptions| SlackWebhook::new(SecretString::from(url), options);
    for url in [
        "http://hooks.slack.com/services/canary",
        "ftp://hooks.slack.com/canary",
        "canary",
        "file:///canary",
        "https://user:canary@hooks.slack.com/services/x",
    ] {
        let error = new(url, SlackOptions::default()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    new("https://hooks.slack.com/services/x", SlackOptions::default()).unwrap();
    new("http://[::1]:8080/x", SlackOptions::default()).unwrap();
    new("http://slack.internal/x", SlackOptions { allow_http: true, ..SlackOptions::default() }).unwrap();
}
