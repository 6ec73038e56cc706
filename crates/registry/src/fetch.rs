//! One request to a registry, with all that it takes: retries, authorization and redirects.

use crate::answer::{self, Answer};
use crate::authorize::authorized;
use crate::error::{RegistryError, shown};
use crate::host::Host;
use crate::judge::failure;
use crate::operation::Operation;
use crate::site::same_origin;
use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{ACCEPT, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::SecretString;
use std::time::Duration;
use url::Url;

/// Redirects that are followed for one answer.
const REDIRECTS: usize = 5;

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
        let response = self.judge(operation, response, credential, authorization.as_ref()).await?;
        answer::read(operation, response, request.what, request.limit).await
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

    /// Sends one request, when the host may be asked, and counts it.
    pub(crate) async fn send(
        &self,
        operation: &Operation,
        builder: RequestBuilder,
        url: &Url,
    ) -> Result<Response, RegistryError> {
        self.ready(operation).await?;
        let result = match operation.bound(url, builder.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure(url, error, self.limits.read)),
            Err(timeout) => Err(timeout),
        };
        self.count(result.as_ref().map_or(0, |response| response.status().as_u16()));
        result
    }
}

fn redirect_target(response: &Response) -> Option<&str> {
    let redirects = [301, 302, 303, 307, 308].contains(&response.status().as_u16());
    response.headers().get(LOCATION).filter(|_| redirects)?.to_str().ok()
}
