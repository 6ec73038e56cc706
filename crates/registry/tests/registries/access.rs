//! Who may read, and over what: basic authentication, tokens and TLS of the real registry.

use crate::support::{REPOSITORY, at, by_status, logged, names, plain, registries, text, total, with_user};
use tagboat_engine::ports::{FaultKind, ImageRegistry as _};
use tagboat_registry::{HostConfig, Registries, RegistryConfig};
use tagboat_testkit::{Credentials, ImageSpec, Registry, RegistryAuth, RegistryOptions};

async fn registry(auth: RegistryAuth, tls: bool) -> Registry {
    let registry = Registry::start_with(RegistryOptions { auth, tls, ..Default::default() }).await.unwrap();
    registry.push_image(REPOSITORY, "main-1", &ImageSpec::default()).await.unwrap();
    registry
}

#[tokio::test]
async fn basic_authentication_is_learnt_once_and_sent_from_then_on() {
    let user = Credentials::random("deployer");
    let registry = registry(RegistryAuth::Basic(user.clone()), false).await;
    let adapter = registries(vec![with_user(plain(&registry.host()), &user)]);
    let access = at(&registry.host(), REPOSITORY);
    assert_eq!(names(&adapter.tags(&access).await.unwrap()), ["main-1"]);
    assert_eq!(by_status(&adapter).into_iter().collect::<Vec<_>>(), [(200, 1), (401, 1)]);
    adapter.tags(&access).await.unwrap();
    assert_eq!(total(&adapter), 3, "the challenge was asked for again");
}

#[tokio::test]
async fn a_wrong_password_is_denied_at_once_and_never_shown() {
    let user = Credentials::random("deployer");
    let registry = registry(RegistryAuth::Basic(user), false).await;
    let wrong = Credentials { user: "deployer".into(), password: "canary-4711".into() };
    let adapter = registries(vec![with_user(plain(&registry.host()), &wrong)]);
    let fault = adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.text.contains("\"deployer\"") && !fault.text.contains("canary"), "{}", fault.text);
    assert_eq!(total(&adapter), 2, "a user may be locked out by repeated failures");
    assert!(!format!("{:?}", with_user(plain("h"), &wrong)).contains("canary"));
}

#[tokio::test]
async fn a_docker_config_gives_credentials_to_its_host_alone() {
    let user = Credentials::random("deployer");
    let registry = registry(RegistryAuth::Basic(user.clone()), false).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let with_auths_of = |host: &str| {
        let auth = user.basic().trim_start_matches("Basic ").to_owned();
        std::fs::write(&file, serde_json::json!({"auths": {host: {"auth": auth}}}).to_string()).unwrap();
        let hosts = vec![plain(&registry.host())];
        Registries::new(RegistryConfig { hosts, docker_config: Some(file.clone()), ..Default::default() }).unwrap()
    };
    let access = at(&registry.host(), REPOSITORY);
    assert_eq!(names(&with_auths_of(&registry.host()).tags(&access).await.unwrap()), ["main-1"]);
    for other in ["127.0.0.1", "127.0.0.1:1", "docker.io"] {
        let fault = with_auths_of(other).tags(&access).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Denied, "{other}: {}", fault.text);
        assert!(fault.text.contains("no credentials are configured"), "{}", fault.text);
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_for_its_scope() {
    let user = Credentials::random("deployer");
    let registry = registry(RegistryAuth::Token(user.clone()), false).await;
    registry.push_image("acme/api", "main-2", &ImageSpec::default()).await.unwrap();
    let adapter = registries(vec![with_user(plain(&registry.host()), &user)]);
    for _ in 0..2 {
        assert_eq!(names(&adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap()), ["main-1"]);
        assert_eq!(names(&adapter.tags(&at(&registry.host(), "acme/api")).await.unwrap()), ["main-2"]);
    }
    let tokens = registry.token_requests();
    assert_eq!(tokens.len(), 2, "{tokens:?}");
    assert!(tokens[0].uri.contains("scope=repository%3Aacme%2Fweb%3Apull"), "{tokens:?}");
    // One challenge in all, two tokens, four lists.
    assert_eq!(by_status(&adapter).into_iter().collect::<Vec<_>>(), [(200, 6), (401, 1)]);
}

#[tokio::test]
async fn without_credentials_only_what_is_public_is_read() {
    let registry = registry(RegistryAuth::Token(Credentials::random("deployer")), false).await;
    registry.push_image("public/web", "main-3", &ImageSpec::default()).await.unwrap();
    let adapter = registries(vec![plain(&registry.host())]);
    assert_eq!(names(&adapter.tags(&at(&registry.host(), "public/web")).await.unwrap()), ["main-3"]);
    let fault = adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.text.contains("acme/web") && fault.text.contains("no credentials"), "{}", fault.text);
}

#[tokio::test]
async fn wrong_credentials_are_refused_by_the_token_server() {
    let registry = registry(RegistryAuth::Token(Credentials::random("deployer")), false).await;
    let wrong = Credentials { user: "deployer".into(), password: "canary-4711".into() };
    let adapter = registries(vec![with_user(plain(&registry.host()), &wrong)]);
    let fault = adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.text.contains("/token answered 401") && !fault.text.contains("canary"), "{}", fault.text);
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_configured() {
    let registry = registry(RegistryAuth::Open, true).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, registry.authority().unwrap()).unwrap();
    let adapter = registries(vec![HostConfig { ca_file: Some(ca_file), ..HostConfig::new(registry.host()) }]);
    assert_eq!(names(&adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap()), ["main-1"]);
}

#[tokio::test]
async fn an_untrusted_certificate_ends_it_without_a_fallback() {
    let registry = registry(RegistryAuth::Open, true).await;
    let before = logged(&registry, 0).await.len();
    for host in [HostConfig::new(registry.host()), plain(&registry.host())] {
        // Plain http was asked for on purpose in the second case; it is not turned into https either.
        let is_plain = host.plain_http;
        let adapter = registries(vec![host]);
        let fault = adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap_err();
        if !is_plain {
            assert_eq!(fault.kind, FaultKind::Unavailable);
            assert!(fault.text.contains("no trusted TLS connection") && fault.text.contains("certificate"), "{fault}");
            assert_eq!(total(&adapter), 1, "a certificate does not get better within seconds");
        }
    }
    let after = logged(&registry, before).await;
    assert!(after[before..].iter().all(|line| !line.contains(" 200")), "{after:?}");
}

#[tokio::test]
async fn http_is_never_used_unless_it_was_opted_in() {
    let registry = registry(RegistryAuth::Open, false).await;
    let before = logged(&registry, 0).await.len();
    let adapter = registries(Vec::new());
    let told = text(adapter.tags(&at(&registry.host(), REPOSITORY)).await);
    assert!(told.contains("https://127.0.0.1") && told.contains("no trusted TLS connection"), "{told}");
    assert_eq!(logged(&registry, before).await.len(), before);

    let endpoint = Some(registry.url().parse().unwrap());
    let hosts = vec![HostConfig { endpoint, ..HostConfig::new("docker.io") }];
    let refused = Registries::new(RegistryConfig { hosts, ..Default::default() }).err().unwrap().to_string();
    assert!(refused.contains("docker.io") && refused.contains("plain_http: true"), "{refused}");
}

#[tokio::test]
async fn docker_hub_can_be_answered_for_by_a_stand_in() {
    let registry = registry(RegistryAuth::Open, false).await;
    let endpoint = Some(registry.url().parse().unwrap());
    let adapter = registries(vec![HostConfig { endpoint, ..plain("docker.io") }]);
    assert_eq!(names(&adapter.tags(&at("docker.io", REPOSITORY)).await.unwrap()), ["main-1"]);
    let digest = adapter.digest(&at("docker.io", REPOSITORY), &"main-1".parse().unwrap()).await.unwrap().unwrap();
    assert!(adapter.details(&at("docker.io", REPOSITORY), &digest).await.unwrap().created.is_some());
}

#[tokio::test]
async fn what_docker_hub_counts_as_a_pull_is_not_asked_of_it() {
    let adapter = registries(Vec::new());
    let digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let fault = adapter.details(&at("docker.io", REPOSITORY), &digest).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains("counts each manifest as a pull"), "{}", fault.text);
    assert_eq!(total(&adapter), 0);
}
