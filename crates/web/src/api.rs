use crate::access::{Access, Refusal};
use crate::guard::{answered, guarded, refuse};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use std::sync::Arc;
use tagboat_engine::report::Board;

/// The read API: `GET /api/v1/status`, with the shape of [`StatusView`](tagboat_engine::report::StatusView).
///
/// Every path asks for access first, so that one that does not exist looks like one that may not be read.
pub fn status_api(board: Arc<Board>, access: Arc<Access>) -> Router {
    let routes = Router::new().route("/api/v1/status", get(status)).with_state(board);
    guarded(answered(routes).layer(from_fn_with_state(access, admit)))
}

async fn status(State(board): State<Arc<Board>>) -> Response {
    Json(board.snapshot(Timestamp::now())).into_response()
}

async fn admit(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let verdict = match access.as_ref() {
        Access::Loopback if is_for_this_machine(request.headers()) => Ok(()),
        Access::Loopback => Err(Refusal::Forbidden),
        Access::Token(tokens) => match bearer(request.headers()) {
            Some(token) => tokens.check(token).await,
            None => Err(Refusal::Unauthenticated),
        },
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(Refusal::Unauthenticated) => {
            let mut response = refuse(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "a bearer token for the audience tagboat is needed: kubectl create token NAME --audience tagboat",
            );
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        Err(Refusal::Forbidden) => refuse(
            StatusCode::FORBIDDEN,
            "forbidden",
            "this needs the verb get on the resource status of the API group tagboat.dev",
        ),
        Err(Refusal::Unavailable) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the Kubernetes API server could not be asked who you are; try again",
        ),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a request was addressed to this machine. A web page that a developer has open could otherwise make its own
/// name point to 127.0.0.1 and read the answers through a port-forward.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}
