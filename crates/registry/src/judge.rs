//! What an answer that is no answer means.

use crate::answer::{self, causes};
use crate::credentials::Credential;
use crate::error::{RegistryError, shown};
use crate::host::Host;
use crate::operation::Operation;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;
use url::Url;

/// How long a host is left alone that answers 429 without saying for how long.
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);

impl Host {
    /// Lets an answer with status 200 through, and makes an error of any other.
    pub(crate) async fn judge(
        &self,
        operation: &Operation,
        response: Response,
        credential: Option<&Credential>,
        sent: Option<&SecretString>,
    ) -> Result<Response, RegistryError> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let url = shown(response.url());
        let retry_after = retry_after(response.headers(), Timestamp::now());
        let answer::Detail { code, text: detail } = answer::detail(operation, response).await;
        let detail = credential.map_or(detail.clone(), |credential| credential.redact(&detail));
        let detail = match sent.and_then(|header| header.expose_secret().split_once(' ')) {
            Some((_, value)) if !value.is_empty() => detail.replace(value, "[redacted]"),
            _ => detail,
        };
        let is_throttled = status == StatusCode::TOO_MANY_REQUESTS
            || code == "TOOMANYREQUESTS"
            || (status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some());
        if is_throttled {
            return Err(self.pause(retry_after.unwrap_or(DEFAULT_PAUSE)));
        }
        let number = status.as_u16();
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let used = credential.map_or_else(
                    || {
                        "no credentials are configured for it, and without them it does not exist or may not be read"
                            .to_owned()
                    },
                    Credential::describe,
                );
                RegistryError::Denied { url, status: number, detail, used }
            }
            StatusCode::NOT_FOUND => RegistryError::NotFound { url, detail },
            StatusCode::REQUEST_TIMEOUT => RegistryError::Server { url, status: number, detail },
            _ if status.is_server_error() => RegistryError::Server { url, status: number, detail },
            _ => RegistryError::Status { url, status: number, detail },
        })
    }
}

/// How long to wait, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// Why no answer came.
pub(crate) fn failure(url: &Url, error: reqwest::Error, read: Duration) -> RegistryError {
    let error = error.without_url();
    let url = shown(url);
    if is_tls(&error) {
        return RegistryError::Tls { url, reason: causes(&error) };
    }
    if error.is_timeout() && !error.is_connect() {
        return RegistryError::Timeout { url, after: read };
    }
    RegistryError::Unreachable { url, reason: causes(&error) }
}

/// Whether TLS failed. Its error hides in an `io::Error`, which does not name it as its source.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| is_tls(inner)) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("60", Some(60))]
    #[case(" 0 ", Some(0))]
    #[case("Wed, 11 Nov 2026 10:00:30 GMT", Some(30))]
    #[case("Wed, 11 Nov 2026 09:00:00 GMT", Some(0))]
    #[case("soon", None)]
    #[case("-5", None)]
    fn the_wait_is_read_in_seconds_or_as_a_date(#[case] value: &str, #[case] expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        let now = "2026-11-11T10:00:00Z".parse().unwrap();
        assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs));
    }
}
