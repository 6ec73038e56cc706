//! What stands before every route.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::time::Duration;

/// A request is answered within this time, or with 503.
const REQUEST: Duration = Duration::from_secs(10);
/// No route takes a body; a client that sends one anyway is cut off here.
const BODY: usize = 4096;

/// Adds answers for unknown paths and methods.
pub(crate) fn answered(router: Router) -> Router {
    router
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "not-found", "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "only GET and HEAD are answered here")
        })
}

/// Adds time and size limits, and the headers that keep browsers from doing anything with an answer.
pub(crate) fn guarded(router: Router) -> Router {
    router.layer(DefaultBodyLimit::max(BODY)).layer(from_fn(deadline)).layer(from_fn(headers))
}

/// An error as JSON: `{"error":{"code":…,"message":…}}`.
pub(crate) fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
}

async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the answer took too long; try again"),
    }
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    secure(response.headers_mut());
    response
}

fn secure(headers: &mut HeaderMap) {
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
