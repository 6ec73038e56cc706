//! What the real registry never does: broken answers, and hosts that want our credentials elsewhere.

use crate::support::{
    Misbehaving, REPOSITORY, STALL, announced, answer, at, by_status, names, page, plain, registries, total,
    with_limits, with_user,
};
use rstest::rstest;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use tagboat_engine::ports::{FaultKind, ImageRegistry as _};
use tagboat_image::Digest;
use tagboat_registry::{HostConfig, Limits};
use tagboat_testkit::Credentials;

fn canary() -> Credentials {
    Credentials { user: "deployer".into(), password: "canary-4711".into() }
}

fn sha256_of_nothing() -> Digest {
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse().unwrap()
}

/// Limits under which a failing operation ends soon.
fn short() -> Limits {
    Limits { operation: Duration::from_millis(1_200), ..Limits::default() }
}

#[rstest]
#[case::body_shorter_than_announced(announced(200, &[], r#"{"tags":["a","b"]}"#, 400), true)]
#[case::json_cut_off(answer(200, &[], r#"{"tags":["a","b""#), false)]
#[case::nothing(answer(200, &[], ""), false)]
#[tokio::test]
async fn a_page_that_is_not_whole_gives_no_list(#[case] second: Vec<u8>, #[case] is_tried_again: bool) {
    let server = Misbehaving::start(move |_, seen, _| {
        if seen.line.contains("last=") { second.clone() } else { page(&["z"], Some("/v2/acme/web/tags/list?last=z")) }
    })
    .await;
    let limits = Limits { operation: Duration::from_secs(3), ..Limits::default() };
    let adapter = with_limits(vec![plain(server.host())], limits);
    let fault = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Incomplete, "{}", fault.text);
    assert!(fault.text.contains("not whole"), "{}", fault.text);
    assert_eq!(server.seen().len() > 2, is_tried_again);
}

#[tokio::test]
async fn a_server_that_fails_now_and_then_is_asked_again() {
    let server = Misbehaving::start(|number, _, _| match number {
        0 => answer(503, &[], "try later"),
        1 => announced(200, &[], r#"{"tags":["#, 400),
        2 => Vec::new(),
        _ => page(&["a"], None),
    })
    .await;
    let adapter = registries(vec![plain(server.host())]);
    assert_eq!(names(&adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap()), ["a"]);
    assert_eq!(by_status(&adapter).into_iter().collect::<Vec<_>>(), [(0, 1), (200, 2), (503, 1)]);
}

#[tokio::test]
async fn a_login_page_is_no_tag_list() {
    let server =
        Misbehaving::start(|_, _, _| answer(200, &["Content-Type: text/html"], "<html>please log in</html>")).await;
    let adapter = registries(vec![plain(server.host())]);
    let fault = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.text.contains("content type text/html") && fault.text.contains("acme/web"), "{}", fault.text);
    assert_eq!(total(&adapter), 1);
}

#[rstest]
#[case::status(answer(429, &["Retry-After: 60"], "Too Many Requests (HAP429).\n"), 60)]
#[case::status_without_a_time(answer(429, &[], ""), 60)]
#[case::unavailable_with_a_time(answer(503, &["Retry-After: 90"], ""), 90)]
#[case::words_alone(answer(403, &[], r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#), 60)]
#[tokio::test]
async fn a_throttled_host_is_left_alone_and_others_are_not(#[case] refusal: Vec<u8>, #[case] seconds: u64) {
    let throttled = Misbehaving::start(move |_, _, _| refusal.clone()).await;
    let other = Misbehaving::start(|_, _, _| page(&["a"], None)).await;
    let adapter = registries(vec![plain(throttled.host()), plain(other.host())]);
    for _ in 0..3 {
        let fault = adapter.tags(&at(throttled.host(), REPOSITORY)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Throttled);
        let wait = fault.retry_after.unwrap();
        assert!(wait <= Duration::from_secs(seconds) && wait > Duration::from_secs(seconds - 5), "{wait:?}");
    }
    assert_eq!(throttled.seen().len(), 1, "it was asked although it had asked not to be");
    adapter.tags(&at(other.host(), REPOSITORY)).await.unwrap();
}

#[tokio::test]
async fn a_short_pause_amid_a_list_is_waited_for() {
    let server = Misbehaving::start(|number, _, _| match number {
        0 => page(&["a"], Some("/v2/acme/web/tags/list?last=a")),
        1 => answer(429, &["Retry-After: 1"], ""),
        _ => page(&["b"], None),
    })
    .await;
    let adapter = registries(vec![plain(server.host())]);
    let started = Instant::now();
    assert_eq!(names(&adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap()), ["a", "b"]);
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_server_that_goes_silent_is_given_up_at_the_deadline() {
    let server = Misbehaving::start(|_, _, _| {
        let mut bytes = announced(200, &[], r#"{"tags":["#, 4000);
        bytes.extend_from_slice(STALL);
        bytes
    })
    .await;
    let adapter = with_limits(vec![plain(server.host())], short());
    let started = Instant::now();
    let fault = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout, "{}", fault.text);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[rstest]
#[case::another_host("http://{other}/v2/acme/web/tags/list?last=a", "own scheme, host and port")]
#[case::another_scheme("https://{host}/v2/acme/web/tags/list?last=a", "own scheme, host and port")]
#[case::the_same_page("/v2/acme/web/tags/list?n=1000", "read already")]
#[case::no_url("http://[", "no URL")]
#[tokio::test]
async fn a_next_page_must_be_the_registrys_own_and_a_new_one(#[case] link: &'static str, #[case] reason: &str) {
    let other = Misbehaving::start(|_, _, _| page(&["evil"], None)).await;
    let elsewhere = other.host().to_owned();
    let server = Misbehaving::start(move |_, seen, host| match &seen.authorization {
        None => answer(401, &["WWW-Authenticate: Basic realm=\"r\""], ""),
        Some(_) => page(&["a"], Some(&link.replace("{other}", &elsewhere).replace("{host}", host))),
    })
    .await;
    let adapter = registries(vec![with_user(plain(server.host()), &canary())]);
    let fault = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap_err();
    assert!(fault.text.contains(reason), "{}", fault.text);
    assert!(other.seen().is_empty(), "{:?}", other.seen());
}

#[tokio::test]
async fn a_page_size_that_is_refused_is_left_to_the_registry() {
    let server = Misbehaving::start(|_, seen, _| {
        if seen.line.contains("n=1000") {
            return answer(400, &[], r#"{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}"#);
        }
        if seen.line.contains("last=") { page(&["b"], None) } else { page(&["a"], Some("?last=a")) }
    })
    .await;
    let adapter = registries(vec![plain(server.host())]);
    assert_eq!(names(&adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap()), ["a", "b"]);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn the_hosts_rate_is_kept_and_costs_no_list_its_deadline() {
    let server = Misbehaving::start(|number, _, _| match number {
        4 => page(&["e"], None),
        _ => page(&[&format!("t{number}")], Some(&format!("?last=t{number}"))),
    })
    .await;
    let host = HostConfig { requests_per_second: NonZeroU32::new(2).unwrap(), ..plain(server.host()) };
    let adapter = with_limits(vec![host], short());
    let started = Instant::now();
    assert_eq!(adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap().rows.len(), 5);
    // Two at once, then one each half second; the operation's own 1.2 s are for the other side alone.
    assert!(started.elapsed() >= Duration::from_millis(1_400), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_list_as_long_as_the_limit_is_read_whole() {
    let server = Misbehaving::start(|number, _, _| {
        let tags: Vec<String> = (0..1000).map(|tag| format!("main-{:05}", number * 1000 + tag)).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let next = format!("/v2/acme/web/tags/list?last={}", tags[999]);
        page(&tags, (number < 49).then_some(&next))
    })
    .await;
    let adapter = with_limits(vec![plain(server.host())], Limits::default());
    let list = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap();
    assert_eq!(list.rows.len(), 50_000);
    assert_eq!(list.rows[49_999].tag.as_str(), "main-49999");
}

#[tokio::test]
async fn a_loop_of_pages_ends() {
    let server = Misbehaving::start(|number, _, _| {
        let next = format!("/v2/acme/web/tags/list?last={}", if number % 2 == 0 { "a" } else { "b" });
        page(&["a", "b"], Some(&next))
    })
    .await;
    let adapter = registries(vec![plain(server.host())]);
    let fault = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap_err();
    assert!(fault.text.contains("never end"), "{}", fault.text);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_token_server_elsewhere_gets_nothing() {
    // Another name for the same machine: another site.
    let thief = Misbehaving::start(|_, _, _| answer(200, &[], r#"{"token":"t"}"#)).await;
    let realm = format!("http://{}/token", thief.host().replace("127.0.0.1", "localhost"));
    let server = Misbehaving::start(move |_, _, _| {
        answer(401, &[&format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"")], "")
    })
    .await;
    let adapter = registries(vec![with_user(plain(server.host()), &canary())]);
    let fault = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap_err();
    assert!(fault.text.contains("not of the registry's own site"), "{}", fault.text);
    assert!(thief.seen().is_empty(), "{:?}", thief.seen());
}

#[tokio::test]
async fn a_token_that_expires_amid_a_list_is_renewed_once() {
    let server = Misbehaving::start(|number, seen, host| {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"");
        let token = format!("{{\"token\":\"t{number}\",\"expires_in\":300}}");
        match (seen.line.as_str(), seen.authorization.as_deref()) {
            (line, _) if line.starts_with("GET /token") => answer(200, &[], &token),
            // The first token (of request 1) is good for the first page only.
            (line, Some("Bearer t1")) if !line.contains("last=") => page(&["a"], Some("/v2/acme/web/tags/list?last=a")),
            (_, Some("Bearer t4")) => page(&["b"], None),
            _ => answer(401, &[&challenge], ""),
        }
    })
    .await;
    let adapter = registries(vec![plain(server.host())]);
    assert_eq!(names(&adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap()), ["a", "b"]);
    let lines: Vec<_> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("GET /token")).count(), 2, "{lines:?}");
}

#[tokio::test]
async fn a_registry_that_refuses_each_token_is_not_asked_for_ever() {
    let server = Misbehaving::start(|_, seen, host| {
        if seen.line.starts_with("GET /token") {
            return answer(200, &[], r#"{"token":"t"}"#);
        }
        answer(401, &[&format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"")], "")
    })
    .await;
    let adapter = registries(vec![plain(server.host())]);
    let fault = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_redirect_to_another_host_carries_no_credentials() {
    let storage = Misbehaving::start(|_, _, _| answer(200, &[], "")).await;
    let target = storage.host().to_owned();
    let server = Misbehaving::start(move |_, seen, _| match &seen.authorization {
        None => answer(401, &["WWW-Authenticate: Basic realm=\"r\""], ""),
        Some(_) => answer(307, &[&format!("Location: http://{target}/blob?signature=x")], ""),
    })
    .await;
    let adapter = registries(vec![with_user(plain(server.host()), &canary())]);
    let blob = adapter.blob(&at(server.host(), REPOSITORY), &sha256_of_nothing()).await.unwrap();
    assert!(blob.is_empty());
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].authorization, None);
}

#[tokio::test]
async fn a_redirect_back_to_the_registry_carries_no_credentials_either() {
    let server = Misbehaving::start(|_, _, _| answer(200, &[], "")).await;
    let back = server.host().to_owned();
    let bounce =
        Misbehaving::start(move |_, _, _| answer(307, &[&format!("Location: http://{back}/secret")], "")).await;
    let bounced = bounce.host().to_owned();
    let registry = Misbehaving::start(move |_, seen, host| match (&seen.authorization, seen.line.contains("/v2/")) {
        (None, true) => answer(401, &["WWW-Authenticate: Basic realm=\"r\""], ""),
        (Some(_), true) => answer(307, &[&format!("Location: http://{bounced}/?to={host}")], ""),
        _ => answer(200, &[], ""),
    })
    .await;
    let adapter = registries(vec![with_user(plain(registry.host()), &canary())]);
    adapter.blob(&at(registry.host(), REPOSITORY), &sha256_of_nothing()).await.unwrap();
    assert!(bounce.seen().iter().chain(&server.seen()).all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn redirects_without_end_are_refused() {
    let server = Misbehaving::start(|number, _, _| answer(307, &[&format!("Location: /{number}")], "")).await;
    let adapter = registries(vec![plain(server.host())]);
    let fault = adapter.blob(&at(server.host(), REPOSITORY), &sha256_of_nothing()).await.unwrap_err();
    assert!(fault.text.contains("more than 5 redirects"), "{}", fault.text);
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn content_with_another_digest_is_not_used() {
    let server = Misbehaving::start(|_, _, _| answer(200, &[], "something else")).await;
    let adapter = registries(vec![plain(server.host())]);
    let access = at(server.host(), REPOSITORY);
    for fault in [
        adapter.blob(&access, &sha256_of_nothing()).await.unwrap_err(),
        adapter.details(&access, &sha256_of_nothing()).await.unwrap_err(),
    ] {
        assert_eq!(fault.kind, FaultKind::Incomplete);
        assert!(fault.text.contains("not the one asked for"), "{}", fault.text);
    }
}

#[rstest]
#[case::no_header(answer(200, &[], ""), Some(2))]
#[case::no_head(answer(405, &[], ""), Some(2))]
#[case::no_digest(answer(200, &["Docker-Content-Digest: sha256:../../x"], ""), None)]
#[tokio::test]
async fn a_digest_is_computed_where_the_registry_does_not_tell_it(
    #[case] head: Vec<u8>,
    #[case] requests: Option<u64>,
) {
    let server = Misbehaving::start(
        move |_, seen, _| {
            if seen.line.starts_with("HEAD") { head.clone() } else { answer(200, &[], "") }
        },
    )
    .await;
    let adapter = registries(vec![plain(server.host())]);
    let found = adapter.digest(&at(server.host(), REPOSITORY), &"a".parse().unwrap()).await;
    match requests {
        Some(requests) => {
            assert_eq!(found.unwrap(), Some(sha256_of_nothing()));
            assert_eq!(total(&adapter), requests);
        }
        None => assert!(found.unwrap_err().text.contains("is no digest")),
    }
}

#[tokio::test]
async fn what_a_server_echoes_of_our_secret_is_not_repeated() {
    let server = Misbehaving::start(|_, seen, _| match &seen.authorization {
        None => answer(401, &["WWW-Authenticate: Basic realm=\"r\""], ""),
        Some(value) => answer(403, &[], &format!("canary-4711 is wrong, so is {value}")),
    })
    .await;
    let adapter = registries(vec![with_user(plain(server.host()), &canary())]);
    let fault = adapter.tags(&at(server.host(), REPOSITORY)).await.unwrap_err();
    let sent = server.seen().last().unwrap().authorization.clone().unwrap();
    assert!(fault.text.contains("[redacted] is wrong"), "{}", fault.text);
    assert!(!fault.text.contains("canary") && !fault.text.contains(&sent[6..]), "{}", fault.text);
}
