//! One request to a registry, with all that it takes: retries, authorization and redirects.

use crate::answer::{self, Answer, causes};
use crate::auth::{Scheme, TokenAnswer};
use crate::credentials::Credential;
use crate::error::{RegistryError, quoted, shown};
use crate::host::Host;
use crate::operation::Operation;
use crate::site::{is_internal, is_public, literal_address, same_origin, same_site};
use backon::{ExponentialBuilder, Retryable as _};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::Serializer;

/// Redirects that are followed for one answer.
const REDIRECTS: usize = 5;
/// How long a host is left alone that answers 429 without saying for how long.
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);
/// The most that is read of a token server's answer.
const TOKEN_BYTES: usize = 256 * 1024;

/// What is asked of a registry.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) accept: &'static str,
    /// The repository's path: it decides credential and scope.
    pub(crate) repository: &'a str,
    /// What the answer is, for the limit's error.
    pub(crate) what: &'static str,
    /// The most bytes of the answer.
    pub(crate) limit: usize,
}

impl Host {
    /// Asks, and asks again after failures that pass, until the operation's deadline.
    pub(crate) async fn fetch(&self, operation: &Operation, request: &Request<'_>) -> Result<Answer, RegistryError> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(4)
            .with_jitter();
        (|| self.attempt(operation, request))
            .retry(backoff)
            .when(RegistryError::is_momentary)
            .adjust(|error, planned| {
                let wait = match error {
                    RegistryError::Throttled { wait, .. } => planned.map(|_| *wait),
                    _ => planned,
                };
                wait.filter(|wait| *wait < operation.remaining())
            })
            .notify(|error, wait| {
                let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                tracing::debug!(registry.host = self.name, retry_in_ms, error = %error, "a request will be repeated");
            })
            .await
    }

    /// Asks once; after a 401 once more, with what its challenge asks for.
    async fn attempt(&self, operation: &Operation, request: &Request<'_>) -> Result<Answer, RegistryError> {
        let credential = self.credential(request.repository);
        let mut authorization = self.authorization(operation, request, credential).await?;
        let mut response = self.follow(operation, request, authorization.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && same_origin(response.url(), &self.origin)
            && self.learn(response.headers(), request.repository, credential, authorization.is_some())
        {
            drop(response);
            authorization = self.authorization(operation, request, credential).await?;
            response = self.follow(operation, request, authorization.as_ref()).await?;
        }
        let response = self.judge(operation, response, credential).await?;
        answer::read(operation, response, request.what, request.limit).await
    }

    /// Notes what a challenge asks for; whether to ask again with it.
    fn learn(&self, headers: &HeaderMap, repository: &str, credential: Option<&Credential>, was_sent: bool) -> bool {
        let Some(scheme) = Scheme::of(headers) else { return false };
        let mut auth = self.auth();
        let again = match &scheme {
            Scheme::Basic => {
                let repeats = was_sent && auth.scheme.as_ref() == Some(&scheme);
                credential.is_some_and(|credential| credential.basic().is_some()) && !repeats
            }
            // A token may have expired before its time; a new one settles it.
            Scheme::Bearer { .. } => !matches!(credential, Some(Credential::Bearer(_))),
        };
        auth.forget(&scope(repository));
        auth.scheme = Some(scheme);
        again
    }

    /// The `Authorization` that the host is known to want; nothing as long as it has not asked.
    async fn authorization(
        &self,
        operation: &Operation,
        request: &Request<'_>,
        credential: Option<&Credential>,
    ) -> Result<Option<SecretString>, RegistryError> {
        if let Some(Credential::Bearer(token)) = credential {
            return Ok(Some(format!("Bearer {}", token.expose_secret()).into()));
        }
        let scope = scope(request.repository);
        let (scheme, token) = {
            let auth = self.auth();
            (auth.scheme.clone(), auth.token(&scope, Instant::now()))
        };
        match scheme {
            None => Ok(None),
            Some(Scheme::Basic) => Ok(credential.and_then(Credential::basic)),
            Some(Scheme::Bearer { .. }) if token.is_some() => Ok(token.map(|token| token.header())),
            Some(Scheme::Bearer { realm, service }) => {
                self.new_token(operation, request, credential, &realm, service.as_deref(), &scope).await.map(Some)
            }
        }
    }

    /// Fetches a token for a scope. The scope is ours: what a registry asks for in its challenge is not given away.
    async fn new_token(
        &self,
        operation: &Operation,
        request: &Request<'_>,
        credential: Option<&Credential>,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<SecretString, RegistryError> {
        let (mut url, client) = self.token_server(operation, &request.url, realm).await?;
        let service = service.map(|service| ("service", service));
        let builder = match credential {
            Some(Credential::Identity(token)) => {
                let form = Serializer::new(String::new())
                    .extend_pairs([("grant_type", "refresh_token"), ("client_id", "tagboat"), ("scope", scope)])
                    .append_pair("refresh_token", token.expose_secret())
                    .extend_pairs(service)
                    .finish();
                client.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
            _ => {
                url.query_pairs_mut().extend_pairs(service).append_pair("scope", scope);
                authorized(client.get(url.clone()), credential.and_then(Credential::basic).as_ref(), &url)?
            }
        };
        let response = self.send(operation, builder, &url).await?;
        let response = self.judge(operation, response, credential).await?;
        let answer = answer::read(operation, response, "the token", TOKEN_BYTES).await?;
        let now = Instant::now();
        let token = answer.json::<TokenAnswer>()?.token(now).ok_or_else(|| answer.malformed("it gave no token"))?;
        let header = token.header();
        self.auth().keep(scope, token, now);
        Ok(header)
    }

    /// Where a token comes from, if we go there.
    async fn token_server(
        &self,
        operation: &Operation,
        from: &Url,
        realm: &str,
    ) -> Result<(Url, &Client), RegistryError> {
        let refused = |to: String, reason: &str| {
            Err(RegistryError::Refused { url: shown(from), to, what: "a token", reason: reason.to_owned() })
        };
        let Ok(url) = Url::parse(realm) else { return refused(quoted(realm), "that is no URL") };
        if let Err(reason) = self.allowed_scheme(&url) {
            return refused(shown(&url), reason);
        }
        if self.token_hosts.iter().any(|host| host == url.authority() || Some(host.as_str()) == url.host_str()) {
            return Ok((url, self.clients.own()?));
        }
        if !same_site(&self.origin, &url) {
            return refused(
                shown(&url),
                "it is not of the registry's own site; list the host in token_hosts to allow it",
            );
        }
        let client = self.client_for(operation, from, &url, "a token").await?;
        Ok((url, client))
    }

    /// Sends a request and follows redirects. What proves who we are stays at the registry's own origin.
    async fn follow(
        &self,
        operation: &Operation,
        request: &Request<'_>,
        authorization: Option<&SecretString>,
    ) -> Result<Response, RegistryError> {
        let mut url = request.url.clone();
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS {
            let client = self.client_for(operation, &request.url, &url, "the answer").await?;
            if !same_origin(&url, &self.origin) {
                // Once gone, it does not come back: a foreign host must not choose what it is sent to next.
                authorization = None;
            }
            let builder = client.request(request.method.clone(), url.clone()).header(ACCEPT, request.accept);
            let response = self.send(operation, authorized(builder, authorization, &url)?, &url).await?;
            let Some(location) = redirect_target(&response) else { return Ok(response) };
            url = self.next_hop(&url, location)?;
        }
        Err(RegistryError::Refused {
            url: shown(&request.url),
            to: shown(&url),
            what: "the answer",
            reason: format!("more than {REDIRECTS} redirects"),
        })
    }

    /// Where a redirect leads, if we follow it there.
    fn next_hop(&self, from: &Url, location: &str) -> Result<Url, RegistryError> {
        let refused = |to: String, reason: &str| RegistryError::Refused {
            url: shown(from),
            to,
            what: "the answer",
            reason: reason.to_owned(),
        };
        let next = from.join(location).map_err(|_| refused(quoted(location), "that is no URL"))?;
        if from.scheme() == "https" && next.scheme() == "http" {
            return Err(refused(shown(&next), "it leads from https to http"));
        }
        self.allowed_scheme(&next).map_err(|reason| refused(shown(&next), reason))?;
        Ok(next)
    }

    /// What no host may send us to, whatever it is for.
    fn allowed_scheme(&self, url: &Url) -> Result<(), &'static str> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user or password in it");
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.plain_http => Ok(()),
            "http" => Err("it is http, which is not allowed for this registry"),
            _ => Err("it is neither https nor http"),
        }
    }

    /// The connections for a URL: the host's own, or those that reach public addresses only. A registry that is itself
    /// internal may name internal hosts.
    async fn client_for(
        &self,
        operation: &Operation,
        from: &Url,
        url: &Url,
        what: &'static str,
    ) -> Result<&Client, RegistryError> {
        if same_origin(url, &self.origin) || operation.bound(url, is_internal(&self.origin)).await? {
            return self.clients.own();
        }
        if literal_address(url).is_some_and(|address| !is_public(address)) {
            let reason = "it is an internal address and the registry is not".to_owned();
            return Err(RegistryError::Refused { url: shown(from), to: shown(url), what, reason });
        }
        self.clients.foreign()
    }

    /// Sends one request, when the host may be asked, and counts it.
    async fn send(&self, operation: &Operation, builder: RequestBuilder, url: &Url) -> Result<Response, RegistryError> {
        self.ready(operation).await?;
        let result = match operation.bound(url, builder.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure(url, error, self.limits.read)),
            Err(timeout) => Err(timeout),
        };
        self.count(result.as_ref().map_or(0, |response| response.status().as_u16()));
        result
    }

    /// Lets an answer with status 200 through, and makes an error of any other.
    async fn judge(
        &self,
        operation: &Operation,
        response: Response,
        credential: Option<&Credential>,
    ) -> Result<Response, RegistryError> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let url = shown(response.url());
        let retry_after = retry_after(response.headers(), Timestamp::now());
        let answer::Detail { code, text: detail } = answer::detail(operation, response).await;
        let detail = credential.map_or(detail.clone(), |credential| credential.redact(&detail));
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

/// The right that is asked for: to read this repository, and nothing more.
fn scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

fn authorized(
    builder: RequestBuilder,
    authorization: Option<&SecretString>,
    url: &Url,
) -> Result<RequestBuilder, RegistryError> {
    let Some(authorization) = authorization else { return Ok(builder) };
    let mut value = HeaderValue::from_str(authorization.expose_secret()).map_err(|_| RegistryError::Malformed {
        url: shown(url),
        reason: "its token has characters that no header can hold".to_owned(),
        content_type: "none".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(builder.header(AUTHORIZATION, value))
}

fn redirect_target(response: &Response) -> Option<&str> {
    let redirects = [301, 302, 303, 307, 308].contains(&response.status().as_u16());
    response.headers().get(LOCATION).filter(|_| redirects)?.to_str().ok()
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
fn failure(url: &Url, error: reqwest::Error, read: Duration) -> RegistryError {
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
    use crate::config::{HostConfig, Limits};
    use rstest::rstest;
    use std::sync::Arc;

    fn host(name: &str, plain_http: bool) -> Host {
        let config = HostConfig { plain_http, ..HostConfig::new(name) };
        Host::new(&config, Arc::default(), "test", &Limits::default()).unwrap()
    }

    #[rstest]
    #[case::relative("reg.example", false, "/elsewhere?x=1", Ok("https://reg.example/elsewhere?x=1"))]
    #[case::another_host("reg.example", false, "https://cdn.example/x", Ok("https://cdn.example/x"))]
    #[case::downgrade("reg.example", false, "http://reg.example/x", Err("from https to http"))]
    #[case::downgrade_where_http_is_allowed("reg.example", true, "http://reg.example/x", Err("from https to http"))]
    #[case::user("reg.example", false, "https://u:p@cdn.example/x", Err("user or password"))]
    #[case::file("reg.example", false, "file:///etc/passwd", Err("neither https nor http"))]
    fn a_redirect_is_followed_only_where_it_may_lead(
        #[case] name: &str,
        #[case] plain_http: bool,
        #[case] location: &str,
        #[case] expected: Result<&str, &str>,
    ) {
        let from = Url::parse("https://reg.example/v2/a/manifests/x").unwrap();
        match (host(name, plain_http).next_hop(&from, location), expected) {
            (Ok(next), Ok(expected)) => assert_eq!(next.as_str(), expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[rstest]
    #[case::own("https://192.0.43.8/token", Ok(()))]
    #[case::http("http://192.0.43.8/token", Err("http, which is not allowed"))]
    #[case::metadata("https://169.254.169.254/token", Err("not of the registry's own site"))]
    #[case::neighbour("https://192.0.43.9/token", Err("not of the registry's own site"))]
    #[case::listed("https://tokens.example/token", Ok(()))]
    #[case::no_url("/token", Err("no URL"))]
    #[tokio::test]
    async fn a_token_is_fetched_only_at_the_registrys_own_site(
        #[case] realm: &str,
        #[case] expected: Result<(), &str>,
    ) {
        let mut host = host("192.0.43.8", false);
        host.token_hosts.push("tokens.example".to_owned());
        let operation = Operation::new(Duration::from_secs(5));
        match (host.token_server(&operation, &host.origin, realm).await, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, _) => panic!("{:?}", found.map(|(url, _)| url)),
        }
    }

    #[tokio::test]
    async fn a_public_registry_cannot_send_us_to_internal_addresses() {
        let host = host("192.0.43.8", false);
        let operation = Operation::new(Duration::from_secs(5));
        for inside in ["https://169.254.169.254/latest/meta-data", "https://127.0.0.1/", "https://[fd00:ec2::254]/"] {
            let url = Url::parse(inside).unwrap();
            let error = host.client_for(&operation, &host.origin, &url, "the answer").await.unwrap_err();
            assert!(error.to_string().contains("internal address"), "{error}");
        }
        // A name that leads there is caught when it is resolved.
        let client = host.clients.foreign().unwrap();
        let error = client.get("https://localhost/").send().await.unwrap_err();
        assert!(causes(&error).contains("internal addresses only"), "{}", causes(&error));
    }

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
