//! HTTP servers of testkit's own: each on a port that the kernel chooses, with a thread of its own.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use http::{HeaderMap, StatusCode, header};

use crate::{Error, Result};

/// One request that a server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// The answer's status.
    pub status: u16,
}

/// A user and password of the test's own making.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// A user with a new random password.
    pub fn random(user: &str) -> Self {
        Self { user: user.to_owned(), password: format!("{:x}", rand::random::<u64>()) }
    }

    /// The value of an `Authorization` header for basic authentication.
    pub fn basic(&self) -> String {
        let both = format!("{}:{}", self.user, self.password);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// An answer that a server gives instead of its own.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// The status; 0 lets the server's own answer through (after the delay).
    pub status: u16,
    /// More headers, such as `retry-after`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// How long to wait before answering.
    pub delay: Duration,
}

/// What stands before a server's routes: authentication, faults on demand, and the list of requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate {
    inner: Arc<GateInner>,
}

#[derive(Debug, Default)]
struct GateInner {
    /// The `Authorization` value that is asked for.
    authorization: Option<String>,
    requests: Mutex<Vec<Request>>,
    faults: Mutex<VecDeque<Fault>>,
}

impl Gate {
    /// A gate that asks for basic authentication, if credentials are given.
    pub(crate) fn new(credentials: Option<&Credentials>) -> Self {
        let authorization = credentials.map(Credentials::basic);
        Self { inner: Arc::new(GateInner { authorization, ..Default::default() }) }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        locked(&self.inner.requests).clone()
    }

    pub(crate) fn forget_requests(&self) {
        locked(&self.inner.requests).clear();
    }

    pub(crate) fn fail_next(&self, times: usize, fault: &Fault) {
        locked(&self.inner.faults).extend(std::iter::repeat_n(fault.clone(), times));
    }

    async fn pass(State(gate): State<Self>, request: HttpRequest, next: Next) -> Response {
        let method = request.method().to_string();
        let uri = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let fault = locked(&gate.inner.faults).pop_front();
        let response = gate.answer(fault, request, next).await;
        let status = response.status().as_u16();
        locked(&gate.inner.requests).push(Request { method, uri, status });
        response
    }

    async fn answer(&self, fault: Option<Fault>, request: HttpRequest, next: Next) -> Response {
        if let Some(fault) = fault {
            tokio::time::sleep(fault.delay).await;
            if fault.status != 0 {
                return fault.response();
            }
        }
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if self.inner.authorization.as_deref().is_some_and(|wanted| given != Some(wanted)) {
            let challenge = [(header::WWW_AUTHENTICATE, r#"Basic realm="testkit""#)];
            return (StatusCode::UNAUTHORIZED, challenge, "authentication required\n").into_response();
        }
        next.run(request).await
    }
}

impl Fault {
    /// An answer with this status and no more.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// 429 with `Retry-After`.
    pub fn too_many_requests(retry_after_seconds: u64) -> Self {
        Self { status: 429, headers: vec![("retry-after", retry_after_seconds.to_string())], ..Self::default() }
    }

    /// The server's own answer, late.
    pub fn late(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    fn response(self) -> Response {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if let Ok(value) = value.parse() {
                headers.insert(*name, value);
            }
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, headers, self.body).into_response()
    }
}

/// A running HTTP server; its port and all its connections are closed on drop.
#[derive(Debug)]
pub(crate) struct HttpServer {
    address: SocketAddr,
    /// `None` only while it is being dropped.
    runtime: Option<tokio::runtime::Runtime>,
    gate: Gate,
}

impl HttpServer {
    /// Serves `router` behind `gate`.
    pub(crate) fn start(name: &str, router: Router, gate: Gate) -> Result<Self> {
        let what = format!("starting {name}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io(what.clone()))?;
        listener.set_nonblocking(true).map_err(Error::io(what.clone()))?;
        let address = listener.local_addr().map_err(Error::io(what.clone()))?;
        // A runtime of its own: a test's runtime ends with the test, a server may be shared, and blocking git commands
        // of a test must not keep the server that they talk to from running.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("testkit-{name}"))
            .enable_all()
            .build()
            .map_err(Error::io(what))?;
        let router = router.layer(middleware::from_fn_with_state(gate.clone(), Gate::pass));
        runtime.spawn(async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                // It ends only with the runtime.
                let _ = axum::serve(listener, router).await;
            }
        });
        Ok(Self { address, runtime: Some(runtime), gate })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not `drop`, which may not be called from async code.
            runtime.shutdown_background();
        }
    }
}

/// A lock whose holder panicked is still good: what it guards is whole after each statement.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
