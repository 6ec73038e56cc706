//! Challenges, and what a host was seen to ask for.

use http_auth::ChallengeRef;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// A token is taken as expired this long before it is, so that it does not expire on its way.
const MARGIN: Duration = Duration::from_secs(10);
/// What a token without `expires_in` lives (distribution's token specification).
const DEFAULT_LIFETIME: u64 = 60;
/// What no token is kept beyond.
const MAX_LIFETIME: u64 = 3600;

/// How a host wants to be told who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// User and password with each request.
    Basic,
    /// A token of this server.
    Bearer {
        /// The token server, as the challenge has it.
        realm: String,
        /// The service to name there.
        service: Option<String>,
    },
}

impl Scheme {
    /// The scheme that the challenges of an answer ask for; Bearer where there is a choice.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let values: Vec<&str> =
            headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
        let challenges: Vec<ChallengeRef<'_>> =
            values.iter().filter_map(|value| http_auth::parse_challenges(value).ok()).flatten().collect();
        let named = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme));
        if let Some(bearer) = named("bearer") {
            let parameter = |wanted: &str| {
                let found = bearer.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.to_unescaped())
            };
            return Some(Self::Bearer { realm: parameter("realm")?, service: parameter("service") });
        }
        named("basic").map(|_| Self::Basic)
    }
}

/// What a token server answers.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// A token and when to stop using it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    value: SecretString,
    expires: Instant,
}

impl TokenAnswer {
    /// The token in it, its life counted from its receipt: the server's clock may be another.
    pub(crate) fn token(self, now: Instant) -> Option<Token> {
        let value = self.token.into_iter().chain(self.access_token).find(|token| !token.is_empty())?;
        let lifetime = Duration::from_secs(self.expires_in.unwrap_or(DEFAULT_LIFETIME).min(MAX_LIFETIME));
        // A very short life is used to its half: a margin longer than it would make each request fetch a token.
        let expires = now + lifetime.saturating_sub(MARGIN).max(lifetime / 2);
        Some(Token { value: value.into(), expires })
    }
}

impl Token {
    /// The value of the `Authorization` header.
    pub(crate) fn header(&self) -> SecretString {
        format!("Bearer {}", self.value.expose_secret()).into()
    }
}

/// What was learnt about one host: its scheme, and a token for each scope (a scope has one credential).
#[derive(Debug, Default)]
pub(crate) struct AuthState {
    pub(crate) scheme: Option<Scheme>,
    tokens: HashMap<String, Token>,
}

impl AuthState {
    /// A token for the scope that has not expired.
    pub(crate) fn token(&self, scope: &str, now: Instant) -> Option<Token> {
        self.tokens.get(scope).filter(|token| token.expires > now).cloned()
    }

    /// Keeps a token; expired ones go, so that the map does not grow with time.
    pub(crate) fn keep(&mut self, scope: &str, token: Token, now: Instant) {
        self.tokens.retain(|_, token| token.expires > now);
        self.tokens.insert(scope.to_owned(), token);
    }

    /// Drops a token that the host refused.
    pub(crate) fn forget(&mut self, scope: &str) {
        self.tokens.remove(scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        headers
    }

    #[rstest]
    #[case::hub(
        &[r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#],
        Some(Scheme::Bearer { realm: "https://auth.docker.io/token".into(), service: Some("registry.docker.io".into()) })
    )]
    #[case::basic(&[r#"Basic realm="Registry Realm""#], Some(Scheme::Basic))]
    #[case::either(
        &[r#"Basic realm="r""#, r#"bearer Realm="https://r/t""#],
        Some(Scheme::Bearer { realm: "https://r/t".into(), service: None })
    )]
    #[case::no_realm(&[r#"Bearer service="x""#], None)]
    #[case::unknown(&["Negotiate"], None)]
    #[case::none(&[], None)]
    fn the_scheme_is_read_from_the_challenge(#[case] values: &[&str], #[case] expected: Option<Scheme>) {
        assert_eq!(Scheme::of(&headers(values)), expected);
    }

    #[test]
    fn a_token_is_dropped_before_it_expires() {
        let answer: TokenAnswer = serde_json::from_str(r#"{"access_token":"t","expires_in":300}"#).unwrap();
        let start = Instant::now();
        let mut state = AuthState::default();
        state.keep("a", answer.token(start).unwrap(), start);
        assert!(state.token("a", start + Duration::from_secs(289)).is_some());
        assert!(state.token("a", start + Duration::from_secs(291)).is_none());
        assert!(state.token("b", start).is_none());
    }

    #[test]
    fn an_answer_without_a_token_gives_none() {
        let answer: TokenAnswer = serde_json::from_str(r#"{"token":"","expires_in":1}"#).unwrap();
        assert!(answer.token(Instant::now()).is_none());
    }
}
