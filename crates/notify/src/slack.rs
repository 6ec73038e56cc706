use crate::error::NotifyError;
use crate::message::{MessageOptions, message};
use crate::text::one_line;
use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, Url, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;
use tagboat_engine::ports::{Deployment, Fault, Notifier};
use tokio::time::{Instant, sleep, timeout_at};

/// How a webhook is used.
#[derive(Debug, Clone)]
pub struct SlackOptions {
    /// How long one message may take, tries and waits included.
    pub deadline: Duration,
    /// How often a message is tried within that.
    pub tries: u32,
    /// Whether plain `http` may be used to another machine. To this machine it always may.
    pub allow_http: bool,
    /// What messages say.
    pub message: MessageOptions,
}

impl Default for SlackOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(10), tries: 3, allow_http: false, message: MessageOptions::default() }
    }
}

/// A Slack incoming webhook. Its address is its password: it is never printed, only its host is.
pub struct SlackWebhook {
    url: SecretString,
    host: String,
    client: Client,
    options: SlackOptions,
}

impl std::fmt::Debug for SlackWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlackWebhook").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The wait before the second try where Slack names none; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// As much of an answer is read: Slack's are one word.
const ANSWER: usize = 512;

impl SlackWebhook {
    /// A webhook at an address.
    ///
    /// # Errors
    /// The address is none, or is not `https`; the HTTP client cannot be set up.
    pub fn new(url: SecretString, options: SlackOptions) -> Result<Self, NotifyError> {
        let bad = |reason| NotifyError::Address { reason };
        let parsed = Url::parse(url.expose_secret().trim()).map_err(|_| bad("is not a URL"))?;
        let host = parsed.host_str().ok_or(bad("has no host"))?.to_owned();
        match parsed.scheme() {
            "https" => {}
            "http" if options.allow_http || is_loopback(&parsed) => {}
            "http" => return Err(bad("is http")),
            _ => return Err(bad("is neither https nor http")),
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad("holds a user or password"));
        }
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(options.deadline.min(Duration::from_secs(5)))
            .timeout(options.deadline)
            .user_agent(concat!("tagboat/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| NotifyError::Client { host: host.clone(), source: source.without_url() })?;
        Ok(Self { url: SecretString::from(parsed.as_str()), host, client, options })
    }

    async fn send(&self, body: &Value) -> Result<(), NotifyError> {
        let deadline = Instant::now() + self.options.deadline;
        let mut wait = FIRST_WAIT;
        let mut tried = 0;
        loop {
            tried += 1;
            let (error, pause) = match timeout_at(deadline, self.post(body)).await {
                Ok(Posted::Accepted) => return Ok(()),
                Ok(Posted::Final(error)) => return Err(error),
                Ok(Posted::Again(error)) => (error, None),
                Ok(Posted::Later(error, asked)) => (error, Some(asked)),
                Err(_) => {
                    return Err(NotifyError::Deadline { host: self.host.clone(), deadline: self.options.deadline });
                }
            };
            let pause = pause.unwrap_or(wait);
            if tried >= self.options.tries || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(slack.host = %self.host, retry.wait_ms = pause.as_millis(), "Trying a message again: {error}");
            sleep(pause).await;
            wait *= 2;
        }
    }

    async fn post(&self, body: &Value) -> Posted {
        let request = self.client.post(self.url.expose_secret()).json(body);
        match request.send().await {
            Ok(response) => self.answer(response).await,
            // After the request was sent nobody knows whether Slack took it; sending it again could say it twice.
            Err(error) if error.is_connect() => Posted::Again(self.unreachable(error)),
            Err(error) => Posted::Final(self.unreachable(error)),
        }
    }

    async fn answer(&self, mut response: Response) -> Posted {
        let status = response.status();
        if status.is_success() {
            return Posted::Accepted;
        }
        let asked = retry_after(&response);
        let mut answer = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            answer.extend_from_slice(&chunk);
            if answer.len() >= ANSWER {
                answer.truncate(ANSWER);
                break;
            }
        }
        let word = one_line(&String::from_utf8_lossy(&answer));
        let word = if word.is_empty() { "no text".to_owned() } else { word };
        let (host, code) = (self.host.clone(), status.as_u16());
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = asked.unwrap_or(Duration::from_secs(1));
                Posted::Later(NotifyError::Throttled { host, wait }, wait)
            }
            status if status.is_server_error() => {
                let error = NotifyError::Server { host, status: code, word };
                match asked {
                    Some(wait) => Posted::Later(error, wait),
                    None => Posted::Again(error),
                }
            }
            _ => Posted::Final(NotifyError::Refused { host, status: code, hint: hint(&word), word }),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> NotifyError {
        let error = error.without_url();
        // The outermost text is "error sending request"; what helps is at the end of the chain.
        let mut reason: &dyn std::error::Error = &error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        NotifyError::Unreachable { host: self.host.clone(), reason: reason.to_string() }
    }
}

/// What became of one try.
enum Posted {
    Accepted,
    /// Not accepted; after a while it may be.
    Again(NotifyError),
    /// Not accepted; Slack says when it may be.
    Later(NotifyError, Duration),
    /// Not accepted, or not known; to be left at that.
    Final(NotifyError),
}

/// What some of Slack's words mean for the operator.
fn hint(word: &str) -> Option<&'static str> {
    Some(match word {
        "no_service" | "no_team" | "invalid_token" => "the webhook was removed: create a new one",
        "channel_is_archived" => "its channel is archived",
        "channel_not_found" => "its channel is gone",
        "action_prohibited" | "posting_to_general_channel_denied" => "the workspace's rules do not allow it",
        _ => return None,
    })
}

/// `Retry-After` in seconds, as Slack sends it.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[async_trait]
impl Notifier for SlackWebhook {
    async fn notify(&self, deployment: &Deployment) -> Result<(), Fault> {
        let body = message(deployment, &self.options.message);
        self.send(&body).await.map_err(|error| error.fault())
    }
}
