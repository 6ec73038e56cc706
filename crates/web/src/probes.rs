use crate::guard::{answered, guarded};
use crate::metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use tagboat_engine::report::{Meters, Progress};

/// `/livez`, `/readyz` and `/metrics`: no authentication, and nothing about workloads in any of them.
///
/// `/livez` is 200 while every loop goes round. It asks nobody else: a git server that is down must not get the process
/// restarted. `/readyz` is 200 while every condition of [`Progress`] is met; a replica that does not lead is ready, too.
/// Both name what is wrong in plain text.
pub fn probes(progress: Arc<Progress>, meters: Arc<Meters>) -> Router {
    let probes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(progress);
    let metrics = Router::new().route("/metrics", get(scrape)).with_state(meters);
    guarded(answered(probes.merge(metrics)))
}

async fn livez(State(progress): State<Arc<Progress>>) -> Response {
    verdict(progress.stalled(Instant::now()))
}

async fn readyz(State(progress): State<Arc<Progress>>) -> Response {
    verdict(progress.unready())
}

fn verdict(wrong: Vec<impl std::fmt::Display>) -> Response {
    if wrong.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let mut text = String::new();
    for reason in wrong {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "not ok: {reason}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn scrape(State(meters): State<Arc<Meters>>) -> Response {
    match metrics::render(&meters) {
        Ok(text) => {
            let content_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => {
            tracing::error!("Cannot write the metrics: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
