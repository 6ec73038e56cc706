//! What the tests share: access to a registry by its host, and a server that answers byte by byte as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tagboat_engine::ports::{Fault, ImageAccess, TagList};
use tagboat_image::Repository;
use tagboat_registry::{HostConfig, Limits, Registries, RegistryConfig};
use tagboat_testkit::{Credentials, Registry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const REPOSITORY: &str = "acme/web";

/// The repository `path` at `host`.
pub(crate) fn at(host: &str, path: &str) -> ImageAccess {
    ImageAccess { repository: Repository::parse(&format!("{host}/{path}")).unwrap(), workload: None }
}

/// Settings for a host on loopback without TLS.
pub(crate) fn plain(host: &str) -> HostConfig {
    HostConfig { plain_http: true, ..HostConfig::new(host) }
}

/// The same, with credentials.
pub(crate) fn with_user(host: HostConfig, user: &Credentials) -> HostConfig {
    HostConfig { username: Some(user.user.clone()), password: Some(user.password.clone().into()), ..host }
}

/// An adapter for these hosts whose operations end soon.
pub(crate) fn registries(hosts: Vec<HostConfig>) -> Registries {
    let limits = Limits { operation: Duration::from_secs(5), ..Limits::default() };
    with_limits(hosts, limits)
}

/// An adapter for these hosts with these limits.
pub(crate) fn with_limits(hosts: Vec<HostConfig>, limits: Limits) -> Registries {
    Registries::new(RegistryConfig { hosts, limits, ..RegistryConfig::default() }).unwrap()
}

/// The tags' names.
pub(crate) fn names(list: &TagList) -> Vec<&str> {
    list.rows.iter().map(|row| row.tag.as_str()).collect()
}

/// The requests to a real registry so far as `METHOD uri status`; waits for `count` of them to be logged.
pub(crate) async fn logged(registry: &Registry, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..100 {
        let requests = registry.requests().unwrap();
        lines = requests.iter().map(|r| format!("{} {} {}", r.method, r.uri, r.status)).collect();
        if lines.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lines
}

/// All requests that an adapter has made, whatever became of them.
pub(crate) fn total(registries: &Registries) -> u64 {
    registries.requests().values().sum()
}

/// The requests of an adapter by status.
pub(crate) fn by_status(registries: &Registries) -> BTreeMap<u16, u64> {
    registries.requests().into_iter().map(|((_, status), count)| (status, count)).collect()
}

/// A fault's text, which must name what was asked and hold nothing secret.
pub(crate) fn text<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    result.unwrap_err().text
}

/// One request as the misbehaving server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET /v2/…`.
    pub(crate) line: String,
    /// The `Authorization` header.
    pub(crate) authorization: Option<String>,
}

/// What the misbehaving server does with the `n`th request (from 0).
type Script = dyn Fn(usize, &Seen, &str) -> Vec<u8> + Send + Sync;

/// A server that writes the bytes that its script gives, and closes the connection.
pub(crate) struct Misbehaving {
    host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Misbehaving {
    /// Starts one; the script is given the number of the request, the request and the server's own `host:port`.
    pub(crate) async fn start(script: impl Fn(usize, &Seen, &str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let (own, log) = (host.clone(), seen.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), own.clone(), log.clone()));
            }
        });
        Self { host, seen, task }
    }

    /// `host:port`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, host: String, log: Arc<Mutex<Vec<Seen>>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let authorization = head
        .lines()
        .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("authorization")));
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let seen = Seen { line, authorization: authorization.map(|(_, value)| value.to_owned()) };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.len() - 1
    };
    let answer = script(number, &seen, &host);
    let _ = stream.write_all(&answer).await;
    if answer.ends_with(STALL) {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let _ = stream.shutdown().await;
}

/// An answer that ends so goes silent instead of ending.
pub(crate) const STALL: &[u8] = b"\"stalled";

/// An answer with headers (`Name: value`), and its length as a header.
pub(crate) fn answer(status: u16, headers: &[&str], body: &str) -> Vec<u8> {
    announced(status, headers, body, body.len())
}

/// An answer that announces another length than it has.
pub(crate) fn announced(status: u16, headers: &[&str], body: &str, length: usize) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// A page of tags, with a link to the next one.
pub(crate) fn page(tags: &[&str], next: Option<&str>) -> Vec<u8> {
    let body = serde_json::json!({"name": REPOSITORY, "tags": tags}).to_string();
    let link = next.map(|next| format!("Link: <{next}>; rel=\"next\""));
    let headers: Vec<&str> = std::iter::once("Content-Type: application/json").chain(link.as_deref()).collect();
    answer(200, &headers, &body)
}
