//! Downloads to a file: bounded, with one deadline, conditional where something is known already.

use super::index::Validators;
use super::location::{Credentials, shown};
use crate::Error;
use reqwest::header::{ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;
use tagboat_engine::ports::FaultKind;
use tokio::io::AsyncWriteExt;
use url::Url;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;

/// What a download brought.
#[derive(Debug)]
pub(super) enum Fetched {
    /// What is known is still so.
    NotModified,
    /// The file is there.
    New {
        /// For the next conditional request.
        validators: Validators,
        /// The digest of the bytes, in hexadecimal.
        sha256: String,
    },
}

#[derive(Debug)]
pub(super) struct Http {
    /// For indexes, which compress well.
    compressed: Client,
    /// For archives: some servers call a `.tgz` a compressed answer, and unpacking it would change its digest.
    plain: Client,
    deadline: Duration,
}

impl Http {
    pub(super) fn new(deadline: Duration) -> Result<Self, Error> {
        let build = |gzip: bool| {
            Client::builder()
                .user_agent(concat!("tagboat/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_DEADLINE)
                .timeout(deadline)
                .gzip(gzip)
                .redirect(redirects())
                .build()
                .map_err(|error| Error::Fetch {
                    url: "any chart repository".to_owned(),
                    reason: format!("the HTTP client cannot be set up: {}", chain(&error)),
                    kind: FaultKind::Unavailable,
                    retry_after: None,
                })
        };
        Ok(Self { compressed: build(true)?, plain: build(false)?, deadline })
    }

    /// Fetches `url` into the file `target`, which is replaced only when all of it has come.
    pub(super) async fn download(
        &self,
        url: &Url,
        access: Option<&Credentials>,
        known: &Validators,
        target: &Path,
        limit: u64,
        what: &str,
    ) -> Result<Fetched, Error> {
        let client = if what == "index" { &self.compressed } else { &self.plain };
        let mut request = client.get(url.clone());
        if let Some(etag) = &known.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(modified) = &known.last_modified {
            request = request.header(IF_MODIFIED_SINCE, modified);
        }
        if let Some(access) = access {
            // reqwest marks this header as sensitive and drops it when a redirect leads to another host.
            request = request.basic_auth(&access.username, Some(access.password.expose_secret()));
        }
        let fails = |kind, reason| Error::Fetch { url: shown(url), reason, kind, retry_after: None };
        let transport = |error: reqwest::Error| {
            if error.is_timeout() {
                fails(FaultKind::Timeout, format!("no whole answer within {} s", self.deadline.as_secs()))
            } else {
                fails(FaultKind::Unavailable, chain(&error.without_url()))
            }
        };
        let mut response = request.send().await.map_err(transport)?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::NotModified);
        }
        if !response.status().is_success() {
            return Err(refused(url, response.status(), response.headers()));
        }
        let too_large = || fails(FaultKind::Limit, format!("the {what} is larger than {} MiB, the limit", limit >> 20));
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let validators =
            Validators { etag: text(response.headers(), ETAG), last_modified: text(response.headers(), LAST_MODIFIED) };
        let part = target.with_extension("part");
        let disk = |error: std::io::Error| Error::Cache { path: part.clone(), reason: error.to_string() };
        let mut file = tokio::fs::File::create(&part).await.map_err(disk)?;
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            size += chunk.len() as u64;
            if size > limit {
                drop(file);
                let _ = tokio::fs::remove_file(&part).await;
                return Err(too_large());
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)?;
        drop(file);
        tokio::fs::rename(&part, target).await.map_err(disk)?;
        Ok(Fetched::New { validators, sha256: hex(&hash.finalize()) })
    }
}

/// Few redirects, and never away from TLS.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error(format!("more than {MAX_REDIRECTS} redirects"));
        }
        let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if from_tls && attempt.url().scheme() != "https" {
            return attempt.error("it redirects from https:// to http://, which is not followed");
        }
        attempt.follow()
    })
}

fn refused(url: &Url, status: StatusCode, headers: &HeaderMap) -> Error {
    let kind = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => FaultKind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FaultKind::Denied,
        StatusCode::TOO_MANY_REQUESTS => FaultKind::Throttled,
        _ => FaultKind::Unavailable,
    };
    let retry_after = text(headers, RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    Error::Fetch { url: shown(url), reason: format!("the server answers {status}"), kind, retry_after }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// An error with its causes: reqwest's own text leaves out why a connection failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
