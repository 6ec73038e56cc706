//! The listeners on real sockets.

#![allow(clippy::unwrap_used, reason = "a test")]

use axum::Router;
use reqwest::{Client, StatusCode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tagboat_engine::decide::{Action, ReasonView};
use tagboat_engine::ports::SourceId;
use tagboat_engine::report::{Board, ContainerView, DecidedWorkload, Meters, Progress, StatusView};
use tagboat_web::{Access, Bound, Limits, WebError, probes, status_api};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Served {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Served {
    async fn start(router: Router, limits: Limits) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let bound = Bound::bind_loopback(ANY).await.unwrap();
        let (address, stop) = (bound.address(), CancellationToken::new());
        tokio::spawn(bound.serve(router, limits, stop.clone().cancelled_owned()));
        Self { address, _stop: stop.drop_guard() }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        Client::new().get(format!("http://{}{path}", self.address)).send().await.unwrap()
    }

    async fn text(&self, path: &str) -> (StatusCode, String) {
        let response = self.get(path).await;
        (response.status(), response.text().await.unwrap())
    }

    /// Sends bytes as they are and reads the answer to its end.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn board() -> Arc<Board> {
    let board = Board::new("0.1.0");
    let container = ContainerView {
        name: "web".to_owned(),
        line: 24,
        filter: Some("glob:main-*".to_owned()),
        current: Some("shop/web:main-1".to_owned()),
        target: None,
        action: Action::Keep,
        reason: ReasonView { code: "newest".to_owned(), text: "runs the newest".to_owned() },
    };
    board.decided(
        &SourceId("infra".to_owned()),
        vec![DecidedWorkload {
            workload: "shop:helmrelease/web".parse().unwrap(),
            file: "web.yaml".to_owned(),
            line: 2,
            automated: true,
            hold: None,
            containers: vec![container],
        }],
    );
    Arc::new(board)
}

async fn loopback_api() -> Served {
    Served::start(status_api(board(), Arc::new(Access::Loopback)), Limits::default()).await
}

#[tokio::test]
async fn livez_is_progress_and_readyz_is_conditions() {
    let progress = Arc::new(Progress::new());
    let (listed, beat) = (progress.condition("releases-listed"), progress.watch("scan", Duration::from_millis(20)));
    let served = Served::start(probes(Arc::clone(&progress), Arc::new(Meters::new("0.1.0"))), Limits::default()).await;
    assert_eq!(served.text("/livez").await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(served.text("/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "not ok: releases-listed\n".to_owned()));
    listed.set(true);
    assert_eq!(served.get("/readyz").await.status(), StatusCode::OK);

    tokio::time::sleep(Duration::from_millis(100)).await;
    let (status, text) = served.text("/livez").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.starts_with("not ok: loop scan has not gone round"), "{text}");
    beat.tick();
    assert_eq!(served.get("/livez").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_served_with_their_type() {
    let meters = Arc::new(Meters::new("0.1.0"));
    meters.panics.count(&[]);
    let served = Served::start(probes(Arc::new(Progress::new()), meters), Limits::default()).await;
    let response = served.get("/metrics").await;
    assert_eq!(response.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = response.text().await.unwrap();
    assert!(text.contains("\ntagboat_panics_total 1\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn the_status_reads_back_with_headers_that_bind_browsers() {
    let served = loopback_api().await;
    let response = served.get("/api/v1/status").await;
    assert_eq!(response.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(response.headers()[name], value, "{name}");
    }
    let status: StatusView = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(status.api_version, "cli.tagboat/v1");
    assert_eq!(status.items[0].workload.to_string(), "shop:helmrelease/web");
    assert_eq!(status.items[0].containers[0].current.as_deref(), Some("shop/web:main-1"));
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_to_loopback_reads_nothing() {
    let served = loopback_api().await;
    for (host, expected) in [
        ("localhost:8082", "200"),
        ("127.0.0.1", "200"),
        ("[::1]:9", "200"),
        ("evil.example:8082", "403"),
        ("localhost.evil.example", "403"),
    ] {
        let answer =
            served.raw(&format!("GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{host}: {answer}");
    }
}

#[tokio::test]
async fn wrong_paths_and_methods_are_refused_in_one_shape() {
    let served = loopback_api().await;
    let url = format!("http://{}", served.address);
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/api/v1/status/../../../etc/passwd", 404),
        ("POST", "/api/v1/status", 405),
        ("DELETE", "/api/v1/status", 405),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let response = Client::new().request(method, format!("{url}{path}")).send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let body: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(body["error"]["code"].is_string(), "{body}");
    }
    let huge = format!("GET /api/v1/status?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(100_000));
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let _ = stream.write_all(huge.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"), "a head that large is not read");
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_leave_the_probes_alone() {
    let limits = Limits { connections: 4, head: Duration::from_millis(200), ..Limits::default() };
    let served = Served::start(probes(Arc::new(Progress::new()), Arc::new(Meters::new("0"))), limits).await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        slow.push(stream);
    }
    let start = Instant::now();
    for stream in &mut slow {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(served.get("/livez").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let limits = Limits { connections: 1, head: Duration::from_secs(60), ..Limits::default() };
    let served = Served::start(probes(Arc::new(Progress::new()), Arc::new(Meters::new("0"))), limits).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(served.address).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), second.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn the_listener_without_authentication_takes_loopback_addresses_only() {
    let error = Bound::bind_loopback("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, WebError::NotLoopback { .. }));
    assert_eq!(
        error.to_string(),
        "the API without authentication listens on loopback only, got 0.0.0.0:0; use 127.0.0.1 or [::1]"
    );
    let taken = Bound::bind_loopback(ANY).await.unwrap();
    let error = Bound::bind(taken.address()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {}: ", taken.address())), "{error}");
}

#[tokio::test]
async fn the_end_waits_for_the_request_in_flight() {
    let slow = Router::new().route(
        "/slow",
        axum::routing::get(|| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        }),
    );
    rustls::crypto::ring::default_provider().install_default().ok();
    let bound = Bound::bind_loopback(ANY).await.unwrap();
    let (address, stop) = (bound.address(), CancellationToken::new());
    let serving = tokio::spawn(bound.serve(slow, Limits::default(), stop.clone().cancelled_owned()));
    let asking = tokio::spawn(Client::new().get(format!("http://{address}/slow")).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.cancel();
    assert_eq!(asking.await.unwrap().unwrap().text().await.unwrap(), "done");
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
