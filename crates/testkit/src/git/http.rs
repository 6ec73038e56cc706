use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_util::io::ReaderStream;

use super::Repository;
use super::repository::environment;
use crate::http::{Credentials, Fault, Gate, HttpServer, Request};
use crate::{Result, Scratch, components};

/// Headers of a CGI answer that are read; more is not git.
const HEADERS: usize = 50;

/// Git over HTTP: the real `git http-backend`, which is a CGI program, behind an HTTP server.
#[derive(Debug)]
pub struct GitHttp {
    server: HttpServer,
    home: Arc<Scratch>,
    backend: Backend,
}

#[derive(Debug, Clone)]
struct Backend {
    git: PathBuf,
    home: Arc<Scratch>,
    /// How many pushes are yet to be done without telling the client.
    lost_answers: Arc<AtomicUsize>,
}

impl GitHttp {
    /// Starts one that is open to everybody.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// Starts one that asks for basic authentication, if credentials are given.
    pub fn start_with(credentials: Option<&Credentials>) -> Result<Self> {
        let home = Arc::new(Scratch::new("git-http")?);
        let git = components::system("git", "git")?;
        let backend = Backend { git, home: home.clone(), lost_answers: Arc::default() };
        let router = Router::new().fallback(answer).with_state(backend.clone());
        Ok(Self { server: HttpServer::start("git", router, Gate::new(credentials))?, home, backend })
    }

    /// Makes an empty repository that is served under its name.
    pub fn create_repository(&self, name: &str) -> Result<Repository> {
        Repository::create_in(self.home.clone(), name)
    }

    /// The URL to clone a repository of this server from, without credentials.
    pub fn url(&self, repository: &Repository) -> String {
        let path = repository.path().strip_prefix(self.home.path()).unwrap_or(repository.path());
        format!("{}/{}", self.server.url(), path.display())
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.server.gate().requests()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.server.gate().forget_requests();
    }

    /// Answers the next requests with a fault.
    pub fn fail_next(&self, times: usize, fault: &Fault) {
        self.server.gate().fail_next(times, fault);
    }

    /// Does the next pushes and then breaks the connection: the client cannot know what became of them.
    pub fn lose_next_push_answer(&self, times: usize) {
        self.backend.lost_answers.fetch_add(times, Ordering::SeqCst);
    }
}

async fn answer(State(backend): State<Backend>, request: HttpRequest) -> Response {
    match backend.run(request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("git http-backend: {error}\n")).into_response(),
    }
}

impl Backend {
    async fn run(&self, request: HttpRequest) -> std::io::Result<Response> {
        let (head, body) = request.into_parts();
        let header = |name: HeaderName| head.headers.get(name).cloned();
        let push = head.method == http::Method::POST && head.uri.path().ends_with("/git-receive-pack");
        let mut command = tokio::process::Command::new(&self.git);
        command.arg("http-backend").env_clear().envs(environment(self.home.path()));
        command.env("GIT_PROJECT_ROOT", self.home.path()).env("GIT_HTTP_EXPORT_ALL", "1");
        command.env("REQUEST_METHOD", head.method.as_str()).env("PATH_INFO", head.uri.path());
        command.env("QUERY_STRING", head.uri.query().unwrap_or_default()).env("REMOTE_ADDR", "127.0.0.1");
        // Without a length the backend reads to the end, which is what a chunked body needs.
        let passed = [
            ("CONTENT_TYPE", header::CONTENT_TYPE),
            ("CONTENT_LENGTH", header::CONTENT_LENGTH),
            ("HTTP_CONTENT_ENCODING", header::CONTENT_ENCODING),
            ("GIT_PROTOCOL", HeaderName::from_static("git-protocol")),
        ];
        for (variable, name) in passed {
            if let Some(value) = header(name).as_ref().and_then(|value| value.to_str().ok()) {
                command.env(variable, value);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        tokio::spawn(async move {
            if let Some(mut stdin) = stdin {
                let mut chunks = body.into_data_stream();
                while let Some(Ok(chunk)) = chunks.next().await {
                    if stdin.write_all(&chunk).await.is_err() {
                        break;
                    }
                }
            }
            let _ = child.wait().await;
        });
        let Some(stdout) = stdout else { return Err(std::io::Error::other("no output")) };
        let response = cgi_answer(BufReader::new(stdout)).await?;
        if push && take_one(&self.lost_answers) {
            return Ok(lose(response).await);
        }
        Ok(response)
    }
}

/// Reads a CGI program's headers and leaves its output to be streamed.
async fn cgi_answer(mut output: BufReader<tokio::process::ChildStdout>) -> std::io::Result<Response> {
    let mut response = Response::new(Body::empty());
    for _ in 0..HEADERS {
        let mut line = String::new();
        if output.read_line(&mut line).await? == 0 {
            return Err(std::io::Error::other("it ended within its headers"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            *response.body_mut() = Body::from_stream(ReaderStream::new(output));
            return Ok(response);
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| std::io::Error::other(format!("not a header: {line}")))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().insert(name, value);
        }
    }
    Err(std::io::Error::other("too many headers"))
}

/// Waits for the end of a push, then breaks off before the first byte of the answer's body.
async fn lose(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let _all = body.into_data_stream().try_collect::<Vec<_>>().await;
    let broken = futures::stream::once(async { Err::<bytes::Bytes, _>(std::io::Error::other("lost on purpose")) });
    Response::from_parts(head, Body::from_stream(broken))
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}
