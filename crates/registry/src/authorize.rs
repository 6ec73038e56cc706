//! Who we are at a host: what its challenge asks for, and tokens from its token server.

use crate::answer;
use crate::auth::{Scheme, TokenAnswer};
use crate::credentials::Credential;
use crate::error::{RegistryError, quoted, shown};
use crate::fetch::Request;
use crate::host::Host;
use crate::operation::Operation;
use crate::site::same_site;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::Serializer;

/// The most that is read of a token server's answer.
const TOKEN_BYTES: usize = 256 * 1024;

impl Host {
    /// Notes what a challenge asks for; whether to ask again with it.
    pub(crate) fn learn(
        &self,
        headers: &HeaderMap,
        repository: &str,
        credential: Option<&Credential>,
        was_sent: bool,
    ) -> bool {
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
    pub(crate) async fn authorization(
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
        let basic = credential.and_then(Credential::basic);
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
                authorized(client.get(url.clone()), basic.as_ref(), &url)?
            }
        };
        let response = self.send(operation, builder, &url).await?;
        let response = self.judge(operation, response, credential, basic.as_ref()).await?;
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
}

/// The right that is asked for: to read this repository, and nothing more.
fn scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// Puts an `Authorization` on a request, marked so that nothing logs it.
pub(crate) fn authorized(
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

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::time::Duration;

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
        let mut host = Host::for_tests("192.0.43.8", false);
        host.token_hosts.push("tokens.example".to_owned());
        let operation = Operation::new(Duration::from_secs(5));
        match (host.token_server(&operation, &host.origin, realm).await, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, _) => panic!("{:?}", found.map(|(url, _)| url)),
        }
    }
}
