//! Bodies, taken whole and within a limit.

use crate::error::{RegistryError, quoted, shown};
use crate::operation::Operation;
use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

/// What is read of an error's body.
const ERROR_BYTES: usize = 16 * 1024;

/// A whole answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Where it came from in the end.
    pub(crate) url: Url,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, within the limit that the request named.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The content type that it states.
    pub(crate) fn content_type(&self) -> &str {
        content_type(&self.headers)
    }

    /// The body as JSON. Registries state all sorts of content types for it, so the body decides.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, RegistryError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let begins_as_json = self.body.first().is_none_or(|byte| matches!(byte, b'{' | b'['));
            if error.is_eof() && begins_as_json {
                let reason = format!("its JSON ends after {} bytes", self.body.len());
                return RegistryError::Incomplete { url: shown(&self.url), reason };
            }
            let reason = format!("no JSON of the expected shape at {}:{}", error.line(), error.column());
            self.malformed(reason)
        })
    }

    /// The error for an answer that is not what a registry gives.
    pub(crate) fn malformed(&self, reason: impl Into<String>) -> RegistryError {
        RegistryError::Malformed {
            url: shown(&self.url),
            reason: reason.into(),
            content_type: quoted(self.content_type()),
        }
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none")
}

/// Reads a body to its end, or fails: with more bytes than the limit, or fewer than the server announced.
pub(crate) async fn read(
    operation: &Operation,
    mut response: Response,
    what: &'static str,
    limit: usize,
) -> Result<Answer, RegistryError> {
    let url = response.url().clone();
    let too_much = || RegistryError::Limit { url: shown(&url), what, limit };
    if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        return Err(too_much());
    }
    let headers = response.headers().clone();
    let mut body = BytesMut::new();
    while let Some(chunk) = operation.bound(&url, response.chunk()).await?.map_err(|error| broken_off(&url, error))? {
        if body.len() + chunk.len() > limit {
            return Err(too_much());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { url, headers, body: body.freeze() })
}

fn broken_off(url: &Url, error: reqwest::Error) -> RegistryError {
    RegistryError::Incomplete { url: shown(url), reason: causes(&error.without_url()) }
}

/// An error and what caused it, in one line. The innermost cause is what tells people something.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = cause.source();
    }
    quoted(&parts.join(": "))
}

/// What an error's body says, as a registry or as anything else.
#[derive(Debug, Default)]
pub(crate) struct Detail {
    /// The first error's code, in capitals; empty where the body is no registry's.
    pub(crate) code: String,
    /// The server's words in parentheses with a blank before them, or nothing.
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// Reads what an error's body says, as far as it comes; that it cannot be read is no further error.
pub(crate) async fn detail(operation: &Operation, mut response: Response) -> Detail {
    let is_html = content_type(response.headers()).starts_with("text/html");
    let url = response.url().clone();
    let mut body = Vec::new();
    while body.len() < ERROR_BYTES
        && let Ok(Ok(Some(chunk))) = operation.bound(&url, response.chunk()).await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(ERROR_BYTES);
    detail_of(&body, is_html)
}

fn detail_of(body: &[u8], is_html: bool) -> Detail {
    let first = serde_json::from_slice::<Errors>(body).ok().and_then(|parsed| parsed.errors.into_iter().next());
    if let Some(OneError { code, message }) = first {
        let message = message.unwrap_or_default();
        let text = format!(" ({}{}{})", quoted(&code), if message.is_empty() { "" } else { ": " }, quoted(&message));
        return Detail { code: code.to_ascii_uppercase(), text };
    }
    let text = String::from_utf8_lossy(body);
    // Docker Hub says so in several shapes, not always with the status 429.
    let throttled = text.to_ascii_lowercase().contains("toomanyrequests");
    let code = if throttled { "TOOMANYREQUESTS" } else { "" }.to_owned();
    let text = match text.trim() {
        "" => String::new(),
        _ if is_html => " (an HTML page)".to_owned(),
        text => format!(" ({})", quoted(text)),
    };
    Detail { code, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::registry(
        r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#,
        false,
        "NAME_UNKNOWN",
        " (NAME_UNKNOWN: repository name not known)"
    )]
    #[case::no_message(r#"{"errors":[{"code":"DENIED"}]}"#, false, "DENIED", " (DENIED)")]
    #[case::hub_pull_limit(
        r#"{"message":"toomanyrequests: You have reached your pull rate limit."}"#,
        false,
        "TOOMANYREQUESTS",
        r#" ({"message":"toomanyrequests: You have reached your pull rate limit."})"#
    )]
    #[case::quay("true", false, "", " (true)")]
    #[case::page("<html>a login page</html>", true, "", " (an HTML page)")]
    #[case::nothing("", false, "", "")]
    fn an_errors_words_are_found(#[case] body: &str, #[case] html: bool, #[case] code: &str, #[case] text: &str) {
        let detail = detail_of(body.as_bytes(), html);
        assert_eq!((detail.code.as_str(), detail.text.as_str()), (code, text));
    }
}
