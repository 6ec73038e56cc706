//! Charts from a real repository over HTTP: what is asked for, kept, refused and told.

#![allow(clippy::unwrap_used, reason = "a test's helpers panic as the test does")]

mod support;

use std::path::Path;
use std::time::Duration;
use support::chart;
use tagboat_engine::ports::{ChartArchive, ChartRequest, ChartSource, Fault, FaultKind};
use tagboat_helm::{ChartRepositories, ChartRepositoriesOptions, Credentials};
use tagboat_testkit::{ChartServer, Fault as ServerFault, install_provider};

const REPOSITORY: &str = "https://charts.example.com/stable/";

async fn server(versions: &[&str]) -> ChartServer {
    install_provider();
    let server = ChartServer::start().await.unwrap();
    for version in versions {
        server.publish_folder(&chart("endless"), version).await.unwrap();
    }
    server.forget_requests();
    server
}

fn options(server: &ChartServer, cache: &Path) -> ChartRepositoriesOptions {
    let mut options = ChartRepositoriesOptions::new(cache.to_owned());
    options.mirrors.insert(REPOSITORY.to_owned(), server.url());
    options
}

/// A source that asks for the index every time.
fn eager(server: &ChartServer, cache: &Path) -> ChartRepositories {
    ChartRepositories::new(ChartRepositoriesOptions { refresh: Duration::ZERO, ..options(server, cache) }).unwrap()
}

async fn fetch(source: &ChartRepositories, version: &str) -> Result<ChartArchive, Fault> {
    let request = ChartRequest {
        repository: REPOSITORY.to_owned(),
        name: "endless".to_owned(),
        version: version.to_owned(),
        namespace: "market".to_owned(),
    };
    source.fetch(&request).await
}

fn asked(server: &ChartServer) -> Vec<String> {
    let asked = server.requests().iter().map(|request| request.uri.trim_start_matches('/').to_owned()).collect();
    server.forget_requests();
    asked
}

#[tokio::test]
async fn a_chart_is_fetched_once_and_the_index_is_asked_for_seldom() {
    let cache = tempfile::tempdir().unwrap();
    let server = server(&["0.1.0", "0.2.0"]).await;
    let source = ChartRepositories::new(options(&server, cache.path())).unwrap();
    let first = fetch(&source, "0.2.0").await.unwrap();
    assert_eq!(first.version, "0.2.0");
    assert!(first.digest.starts_with("sha256:") && first.path.is_file());
    assert_eq!(asked(&server), ["index.yaml", "endless-0.2.0.tgz"]);
    assert_eq!(fetch(&source, "^0.2.0").await.unwrap(), first);
    assert_eq!(asked(&server), Vec::<String>::new());
    // A new process asks whether the index changed, and needs nothing else.
    assert_eq!(fetch(&eager(&server, cache.path()), "0.2.0").await.unwrap(), first);
    assert_eq!(asked(&server), ["index.yaml"]);
}

#[tokio::test]
async fn a_new_version_is_seen_and_a_version_published_anew_is_fetched_anew() {
    let cache = tempfile::tempdir().unwrap();
    let server = server(&["0.1.0"]).await;
    let source = eager(&server, cache.path());
    let before = fetch(&source, "0.x").await.unwrap();
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("Chart.yaml"), "apiVersion: v2\nname: endless\nversion: 0.1.0\n").unwrap();
    server.publish_folder(other.path(), "0.1.0").await.unwrap();
    server.publish_folder(&chart("endless"), "0.3.0").await.unwrap();
    assert_eq!(fetch(&source, "0.x").await.unwrap().version, "0.3.0");
    let again = fetch(&source, "0.1.0").await.unwrap();
    assert_eq!(again.version, before.version);
    assert_ne!(again.digest, before.digest);
}

#[tokio::test]
async fn what_is_missing_is_told_with_what_there_is() {
    let cache = tempfile::tempdir().unwrap();
    let server = server(&["0.1.0", "0.2.0", "0.10.0", "0.9.0"]).await;
    let source = eager(&server, cache.path());
    let fault = fetch(&source, "1.0.0").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert!(fault.text.contains("its newest are 0.10.0, 0.9.0, 0.2.0"), "{}", fault.text);
    let mut request = ChartRequest {
        repository: REPOSITORY.to_owned(),
        name: "absent".to_owned(),
        version: "1.0.0".to_owned(),
        namespace: "market".to_owned(),
    };
    let fault = source.fetch(&request).await.unwrap_err();
    assert!(fault.text.contains("has no chart \"absent\""), "{}", fault.text);
    request.repository = "http://charts.example.com/".to_owned();
    let fault = source.fetch(&request).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains("only https://"), "{}", fault.text);
}

#[tokio::test]
async fn a_repository_that_is_down_costs_nothing_that_was_had_before() {
    let cache = tempfile::tempdir().unwrap();
    let server = server(&["0.1.0", "0.2.0"]).await;
    let source = eager(&server, cache.path());
    let before = fetch(&source, "0.1.0").await.unwrap();
    server.fail_next(100, &ServerFault::status(503));
    assert_eq!(fetch(&eager(&server, cache.path()), "0.1.0").await.unwrap(), before);
    let fault = fetch(&eager(&server, cache.path()), "0.2.0").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.text.contains("503"), "{}", fault.text);
}

#[tokio::test]
async fn a_repository_that_fails_is_not_asked_by_each_of_its_releases() {
    let cache = tempfile::tempdir().unwrap();
    let server = server(&["0.1.0"]).await;
    server.fail_next(100, &ServerFault::too_many_requests(77));
    let source = ChartRepositories::new(options(&server, cache.path())).unwrap();
    for _ in 0..5 {
        let fault = fetch(&source, "0.1.0").await.unwrap_err();
        assert_eq!((fault.kind, fault.retry_after), (FaultKind::Throttled, Some(Duration::from_secs(77))));
    }
    assert_eq!(asked(&server), ["index.yaml"]);
}

#[tokio::test]
async fn an_archive_that_is_not_what_the_index_promises_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let server = server(&["0.1.0"]).await;
    server.put("endless-0.1.0.tgz", b"something else").unwrap();
    let source = eager(&server, cache.path());
    let fault = fetch(&source, "0.1.0").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains("the repository's index promises"), "{}", fault.text);
    let left = std::fs::read_dir(cache.path().join("archives")).unwrap().count();
    assert_eq!(left, 0, "nothing of it is kept");
}

#[tokio::test]
async fn a_broken_index_is_an_error_that_names_the_repository() {
    let cache = tempfile::tempdir().unwrap();
    let server = server(&["0.1.0"]).await;
    server.put("index.yaml", b"entries: {endless: [}").unwrap();
    let fault = fetch(&eager(&server, cache.path()), "0.1.0").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.text.contains(&server.url()), "{}", fault.text);
}

#[tokio::test]
async fn a_repository_behind_authentication_is_read_with_its_own_credentials() {
    install_provider();
    let cache = tempfile::tempdir().unwrap();
    let given = tagboat_testkit::Credentials::random("reader");
    let server = ChartServer::start_with(Some(&given)).await.unwrap();
    server.publish_folder(&chart("endless"), "0.1.0").await.unwrap();
    let refused = fetch(&eager(&server, cache.path()), "0.1.0").await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::Denied);
    let mut options = options(&server, cache.path());
    let credentials = Credentials { username: given.user.clone(), password: given.password.clone().into() };
    options.credentials.insert(server.url(), credentials);
    let shown = format!("{options:?}");
    assert!(!shown.contains(&given.password), "{shown}");
    fetch(&ChartRepositories::new(options).unwrap(), "0.1.0").await.unwrap();
}
