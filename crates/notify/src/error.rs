use std::time::Duration;
use tagboat_engine::ports::{Fault, FaultKind};

/// Why a message was not delivered. No variant holds the webhook's path, which is its secret.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The configured address is not one that may be used; at start only.
    #[error("the Slack webhook's address {reason}; allowed is https://HOST/PATH, and http only for this machine")]
    Address {
        /// What is wrong with it, without the address.
        reason: &'static str,
    },
    /// The HTTP client could not be set up; at start only.
    #[error("cannot set up the HTTP client for {host}: {source}")]
    Client {
        /// The webhook's host.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// Nothing came back: no connection, or it broke.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// The webhook's host.
        host: String,
        /// The innermost cause.
        reason: String,
    },
    /// The deadline passed before the message was accepted.
    #[error("{host} did not accept the message within {} s", deadline.as_secs())]
    Deadline {
        /// The webhook's host.
        host: String,
        /// How long it was given.
        deadline: Duration,
    },
    /// Slack asks for patience that goes beyond the deadline.
    #[error("{host} asks to wait {} s before the next message", wait.as_secs())]
    Throttled {
        /// The webhook's host.
        host: String,
        /// How long to wait.
        wait: Duration,
    },
    /// Slack answers with a fault of its own, also after further tries.
    #[error("{host} answers with status {status}: {word}")]
    Server {
        /// The webhook's host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it says, made harmless.
        word: String,
    },
    /// Slack will not have this message or this webhook.
    #[error("{host} refuses the message with status {status}: {word}{}", .hint.map(|hint| format!(" ({hint})")).unwrap_or_default())]
    Refused {
        /// The webhook's host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// Slack's word for it, made harmless.
        word: String,
        /// What that word means for the operator, where it is known.
        hint: Option<&'static str>,
    },
}

impl NotifyError {
    /// What the engine is told.
    pub(crate) fn fault(&self) -> Fault {
        let kind = match self {
            Self::Address { .. } | Self::Client { .. } => FaultKind::Invalid,
            Self::Unreachable { .. } | Self::Server { .. } => FaultKind::Unavailable,
            Self::Deadline { .. } => FaultKind::Timeout,
            Self::Throttled { .. } => FaultKind::Throttled,
            Self::Refused { status: 401 | 403 | 404 | 410, .. } => FaultKind::Denied,
            Self::Refused { .. } => FaultKind::Invalid,
        };
        let fault = Fault::new(kind, self.to_string());
        match self {
            Self::Throttled { wait, .. } => fault.retry_after(*wait),
            _ => fault,
        }
    }
}
