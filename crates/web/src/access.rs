use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The audience that a token must be made for: `kubectl create token NAME --audience tagboat`. A token that was made for
/// the API server is refused, so that nobody sends one here.
pub const AUDIENCE: &str = "tagboat";
/// The API group of the resource that is asked for.
const GROUP: &str = "tagboat.dev";
/// The resource that is asked for.
const RESOURCE: &str = "status";

/// Why a request is not answered. Nothing about what exists can be learnt from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No token, or one that is not valid for this audience.
    Unauthenticated,
    /// The token's user may not do this.
    Forbidden,
    /// The API server could not be asked.
    Unavailable,
}

/// Who may read.
#[derive(Debug)]
pub enum Access {
    /// Whoever reaches the listener: it is on loopback.
    Loopback,
    /// Whom Kubernetes allows to, by a token.
    Token(TokenAccess),
}

type TokenHash = [u8; 32];
/// What was found out of a token, and when.
type Verdict = (Result<(), Refusal>, Instant);

/// Asks Kubernetes who a token's owner is and whether that one may read.
///
/// A verdict is kept for a short time under the token's hash, so that a dashboard that asks every few seconds costs two
/// requests a minute, and a flood of one bad token costs two requests in all. Tokens themselves are not kept.
pub struct TokenAccess {
    client: Client,
    verdicts: Mutex<HashMap<TokenHash, Verdict>>,
}

impl std::fmt::Debug for TokenAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAccess").finish_non_exhaustive()
    }
}

/// How long a verdict counts: as long as a revoked permission may go on.
const VERDICT: Duration = Duration::from_secs(30);
/// So many verdicts are kept; beyond that all are forgotten.
const VERDICTS: usize = 1000;
/// How long the API server may take for each of the two questions.
const QUESTION: Duration = Duration::from_secs(4);
/// Longer than any token that Kubernetes makes.
const TOKEN: usize = 16 * 1024;

impl TokenAccess {
    /// Asks through this client, which needs `create` on `tokenreviews` and `subjectaccessreviews`
    /// (the ClusterRole `system:auth-delegator`).
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, verdicts: Mutex::default() }
    }

    /// Whether the bearer of this token may read.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self, token: &str) -> Result<(), Refusal> {
        if token.is_empty() || token.len() > TOKEN {
            return Err(Refusal::Unauthenticated);
        }
        let key: TokenHash = Sha256::digest(token).into();
        let now = Instant::now();
        if let Some(verdict) = self.known(&key, now) {
            return verdict;
        }
        let verdict = self.ask(token).await;
        if verdict != Err(Refusal::Unavailable) {
            let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            if verdicts.len() >= VERDICTS {
                verdicts.clear();
            }
            verdicts.insert(key, (verdict, now));
        }
        verdict
    }

    fn known(&self, key: &TokenHash, now: Instant) -> Option<Result<(), Refusal>> {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        match verdicts.get(key) {
            Some((verdict, at)) if now.saturating_duration_since(*at) < VERDICT => Some(*verdict),
            Some(_) => {
                verdicts.remove(key);
                None
            }
            None => None,
        }
    }

    async fn ask(&self, token: &str) -> Result<(), Refusal> {
        let user = self.user(token).await?;
        let name = user.username.clone().unwrap_or_default();
        let allowed = self.allowed(user).await?;
        if !allowed {
            tracing::info!(user.name = %name, "Refused to show the status: the user may not get status.tagboat.dev");
            return Err(Refusal::Forbidden);
        }
        Ok(())
    }

    async fn user(&self, token: &str) -> Result<UserInfo, Refusal> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![AUDIENCE.to_owned()]) },
            ..TokenReview::default()
        };
        let review =
            ask("tokenreviews", Api::<TokenReview>::all(self.client.clone()).create(&review_params(), &review)).await?;
        let status = review.status.unwrap_or_default();
        // An authenticator that knows no audiences leaves them out; its tokens are the API server's, not ours.
        let ours = status.audiences.unwrap_or_default().iter().any(|audience| audience == AUDIENCE);
        match status.user {
            Some(user) if status.authenticated == Some(true) && ours => Ok(user),
            _ => Err(Refusal::Unauthenticated),
        }
    }

    async fn allowed(&self, user: UserInfo) -> Result<bool, Refusal> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username,
                groups: user.groups,
                uid: user.uid,
                extra: user.extra,
                resource_attributes: Some(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    resource: Some(RESOURCE.to_owned()),
                    verb: Some("get".to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let review = ask("subjectaccessreviews", reviews.create(&review_params(), &review)).await?;
        Ok(review.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}

fn review_params() -> PostParams {
    PostParams::default()
}

/// Waits for an answer of the API server, at most so long; why there is none is for the log, not for the caller.
async fn ask<T>(what: &str, question: impl Future<Output = kube::Result<T>>) -> Result<T, Refusal> {
    match tokio::time::timeout(QUESTION, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::warn!(review.kind = what, "Cannot check who asks for the status: {error}");
            Err(Refusal::Unavailable)
        }
        Err(_) => {
            tracing::warn!(review.kind = what, "Cannot check who asks for the status: no answer within 4 s");
            Err(Refusal::Unavailable)
        }
    }
}
