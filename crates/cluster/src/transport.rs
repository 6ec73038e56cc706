//! One request to the API server: built, sent with a deadline, its answer read up to a limit and its refusals sorted.
//!
//! Requests are made here and not through `kube::Api`, because the answer's `Warning` and `Retry-After` headers, the
//! impersonated user and the size limit are wanted, and because objects stay plain JSON.

use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::error::{Error, plain};
use crate::refusal;

/// How long one request may take, answer included.
pub(crate) const REQUEST: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The body formats of writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Format {
    Json,
    Apply,
    JsonPatch,
    MergePatch,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            // JSON is YAML.
            Self::Apply => "application/apply-patch+yaml",
            Self::JsonPatch => "application/json-patch+json",
            Self::MergePatch => "application/merge-patch+json",
        }
    }
}

/// One request.
pub(crate) struct Call<'a> {
    /// For errors: `applying Deployment dev/web`.
    pub(crate) what: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<(Format, &'a Value)>,
    pub(crate) accept: Option<&'static str>,
    /// The service account to impersonate, `namespace/name`.
    pub(crate) run_as: Option<&'a str>,
    /// Whether the object is a Secret, so that nothing of the server's message may be shown.
    pub(crate) secret: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(what: impl Into<String>, method: Method, path: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            accept: None,
            run_as: None,
            secret: false,
        }
    }

    pub(crate) fn query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub(crate) fn body(mut self, format: Format, value: &'a Value) -> Self {
        self.body = Some((format, value));
        self
    }

    pub(crate) fn run_as(mut self, run_as: Option<&'a str>) -> Self {
        self.run_as = run_as;
        self
    }

    pub(crate) fn secret(mut self, secret: bool) -> Self {
        self.secret = secret;
        self
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) value: Value,
    /// The texts of the `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

/// The way to the API server.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) client: Client,
}

impl Transport {
    /// Sends a request and reads its answer.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        let what = call.what.clone();
        match tokio::time::timeout(REQUEST, self.exchange(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout { what, after: REQUEST }),
        }
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Answer, Error> {
        let Call { what, secret, .. } = &call;
        let invalid = |reason: String| Error::Invalid { what: what.clone(), reason };
        let mut request = Request::builder().method(call.method.clone()).uri(uri(&call.path, &call.query));
        request = request.header(header::ACCEPT, call.accept.unwrap_or("application/json"));
        let mut bytes = Vec::new();
        if let Some((format, value)) = call.body {
            request = request.header(header::CONTENT_TYPE, format.content_type());
            bytes = serde_json::to_vec(value).map_err(|error| invalid(error.to_string()))?;
        }
        for (name, value) in impersonation(call.run_as).map_err(&invalid)? {
            request = request.header(name, value);
        }
        let request = request.body(kube::client::Body::from(bytes)).map_err(|error| invalid(error.to_string()))?;
        let unreachable = |source| Error::Unreachable { what: what.clone(), source: Box::new(source) };
        let response = self.client.send(request).await.map_err(unreachable)?;
        let (parts, body) = response.into_parts();
        let body = match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Error::TooLong { what: what.clone(), limit: format!("{} MiB", MAX_ANSWER >> 20) });
            }
            Err(error) => return Err(unreachable(kube::Error::Service(error))),
        };
        if !parts.status.is_success() {
            let answer = Box::new(refusal::read(parts.status.as_u16(), &parts.headers, &body, *secret));
            return Err(Error::Refused { what: what.clone(), answer });
        }
        // The parser's own text gives a position and a category, and could quote a bit of the answer: leave that out.
        let value = serde_json::from_slice(&body).map_err(|error| Error::Unreadable {
            what: what.clone(),
            reason: format!("no JSON at line {}, column {}", error.line(), error.column()),
        })?;
        Ok(Answer { value, warnings: refusal::warnings(&parts.headers) })
    }
}

fn uri(path: &str, query: &[(&'static str, String)]) -> String {
    let mut uri = path.to_owned();
    for (index, (key, value)) in query.iter().enumerate() {
        uri.push(if index == 0 { '?' } else { '&' });
        uri.push_str(key);
        uri.push('=');
        uri.extend(utf8_percent_encode(value, SEGMENT));
    }
    uri
}

/// A name as a segment of a path, by the API server's own rule for such names.
pub(crate) fn segment(name: &str) -> Result<String, String> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '%']) || name.len() > 253 {
        return Err(format!(
            "the name {:?} is not one: it may be neither empty, `.` nor `..`, have no `/` or `%`, and at most 253 characters",
            plain(name)
        ));
    }
    Ok(utf8_percent_encode(name, SEGMENT).to_string())
}

/// The headers that make the API server see a service account, with the groups such an account has.
fn impersonation(run_as: Option<&str>) -> Result<Vec<(&'static str, String)>, String> {
    let Some(account) = run_as else { return Ok(Vec::new()) };
    let (namespace, name) = account
        .split_once('/')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'))
        .ok_or_else(|| format!("the service account {:?} is not one: expected namespace/name", plain(account)))?;
    Ok(vec![
        ("impersonate-user", format!("system:serviceaccount:{namespace}:{name}")),
        ("impersonate-group", "system:serviceaccounts".to_owned()),
        ("impersonate-group", format!("system:serviceaccounts:{namespace}")),
        ("impersonate-group", "system:authenticated".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(segment("system:node?x=1#y").unwrap(), "system:node%3Fx%3D1%23y");
        for bad in ["", ".", "..", "a/b", "a%2fb"] {
            assert!(segment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_whole_service_accounts_are_impersonated() {
        assert_eq!(impersonation(Some("dev/deployer")).unwrap()[0].1, "system:serviceaccount:dev:deployer");
        for bad in ["deployer", "/deployer", "dev/", "a/b/c"] {
            assert!(impersonation(Some(bad)).is_err(), "{bad}");
        }
    }
}
