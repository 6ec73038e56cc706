//! What can go wrong, and what the engine is told of it.

use std::path::PathBuf;
use std::time::Duration;
use tagboat_engine::ports::{Fault, FaultKind};
use url::Url;

/// Why a registry could not be asked, or its answer not be used. No text holds a secret, and URLs are shown without
/// user and query.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// The configuration of a host is wrong: found when the adapter is made.
    #[error("registry {host}: {field}: {reason}")]
    Config {
        /// The host's settings.
        host: String,
        /// The setting.
        field: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A configured file cannot be read or understood: found when the adapter is made.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or one that broke before the answer.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// The network's reason.
        reason: String,
    },
    /// The server's certificate is not trusted, has expired or names another host. There is no fallback.
    #[error(
        "{url}: no trusted TLS connection: {reason}; configure ca_file if the registry has an authority of its own"
    )]
    Tls {
        /// What was asked.
        url: String,
        /// TLS's reason.
        reason: String,
    },
    /// The operation's deadline passed.
    #[error("{url} gave no whole answer within {} s", after.as_secs())]
    Timeout {
        /// What was asked.
        url: String,
        /// The operation's deadline.
        after: Duration,
    },
    /// The host's configured rate left no room in time.
    #[error("{host} had no room for another request within {} s: raise its requests_per_second", after.as_secs())]
    Queue {
        /// Which host.
        host: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The host asked for fewer requests (429, or 503 with `Retry-After`).
    #[error("{host} asked for fewer requests; nothing is asked of it for {} s", wait.as_secs().max(1))]
    Throttled {
        /// Which host.
        host: String,
        /// How long it is left alone.
        wait: Duration,
    },
    /// The server failed (408 or 5xx).
    #[error("{url} answered {status}{detail}")]
    Server {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's own words, in parentheses.
        detail: String,
    },
    /// A status that has no meaning here.
    #[error("{url} answered {status}{detail}")]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's own words, in parentheses.
        detail: String,
    },
    /// 401 or 403, also with the credentials that are configured.
    #[error("{url} answered {status}{detail}: {used}")]
    Denied {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's own words, in parentheses.
        detail: String,
        /// Which credentials were used, without the secret.
        used: String,
    },
    /// 404.
    #[error("{url} does not exist{detail}")]
    NotFound {
        /// What was asked.
        url: String,
        /// The server's own words, in parentheses.
        detail: String,
    },
    /// The answer broke off.
    #[error("the answer of {url} is not whole: {reason}; nothing of it is used")]
    Incomplete {
        /// What was asked.
        url: String,
        /// How that was seen.
        reason: String,
    },
    /// The answer is not what a registry gives: a login page, another document.
    #[error("{url} did not answer as a registry does: {reason} (content type {content_type})")]
    Malformed {
        /// What was asked.
        url: String,
        /// What was found and what is expected.
        reason: String,
        /// The content type that it stated.
        content_type: String,
    },
    /// A limit of ours.
    #[error("{url}: {what} exceeds the limit of {limit}")]
    Limit {
        /// What was asked.
        url: String,
        /// What is too much.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
    },
    /// The registry sent us somewhere where we do not go: a redirect, a token server, a next page.
    #[error("{url} sent us to {to} for {what}, which is refused: {reason}")]
    Refused {
        /// What was asked.
        url: String,
        /// Where we should have gone.
        to: String,
        /// `a token`, `the next page`, `the answer`.
        what: &'static str,
        /// Which rule forbids it.
        reason: String,
    },
    /// The content does not have the digest that it was asked by.
    #[error("{url} gave content with the digest {found}, not the one asked for")]
    Digest {
        /// What was asked.
        url: String,
        /// The content's digest.
        found: String,
    },
    /// The manifest is of a kind that is not read, or has no image for the platform.
    #[error("the manifest {url} cannot be used: {reason}")]
    Manifest {
        /// What was asked.
        url: String,
        /// What was found and what is allowed.
        reason: String,
    },
    /// Manifests are not fetched from this host.
    #[error("{url} is not fetched: {host} counts each manifest as a pull; set manifest_get to allow it")]
    ManifestGet {
        /// What would have been asked.
        url: String,
        /// Which host.
        host: String,
    },
    /// The tag store on disk failed.
    #[error("tag store {place}: {reason}")]
    Store {
        /// The file, or `in memory`.
        place: String,
        /// The store's reason.
        reason: String,
    },
}

impl RegistryError {
    /// Whether the same request may go through a moment later, so that it is worth asking again within the operation.
    pub(crate) fn is_momentary(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Server { .. } | Self::Incomplete { .. } | Self::Throttled { .. }
        )
    }

    /// The engine's view of it; `doing` says what was being done, to what.
    pub(crate) fn into_fault(self, doing: &str) -> Fault {
        let kind = match &self {
            Self::Config { .. } | Self::File { .. } | Self::Manifest { .. } | Self::ManifestGet { .. } => {
                FaultKind::Invalid
            }
            // A certificate is mended, and a login page goes away, without anything changing here.
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Server { .. }
            | Self::Status { .. }
            | Self::Malformed { .. }
            | Self::Refused { .. }
            | Self::Store { .. } => FaultKind::Unavailable,
            Self::Timeout { .. } => FaultKind::Timeout,
            Self::Throttled { .. } | Self::Queue { .. } => FaultKind::Throttled,
            Self::Denied { .. } => FaultKind::Denied,
            Self::NotFound { .. } => FaultKind::NotFound,
            Self::Incomplete { .. } | Self::Digest { .. } => FaultKind::Incomplete,
            Self::Limit { .. } => FaultKind::Limit,
        };
        let fault = Fault::new(kind, format!("{doing}: {self}"));
        match self {
            Self::Throttled { wait, .. } => fault.retry_after(wait),
            _ => fault,
        }
    }
}

/// A URL for people: no user, no query, no fragment. Everything that shows a URL goes through here.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}{}", url.scheme(), url.path()),
        None => format!("{}://{host}{}", url.scheme(), url.path()),
    }
}

/// Text of another program: one printable line of bounded length.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut line: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    line
}

/// Marks that reorder what is displayed.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_user_and_query() {
        let url = Url::parse("https://user:canary@reg.example:8443/v2/a/b/tags/list?token=canary#canary").unwrap();
        assert_eq!(shown(&url), "https://reg.example:8443/v2/a/b/tags/list");
    }

    #[test]
    fn a_servers_words_are_one_printable_line() {
        let words = quoted(&format!("\u{1b}[31mred\u{202e}\n{}", "x".repeat(500)));
        assert!(!words.contains(['\n', '\u{1b}', '\u{202e}']), "{words:?}");
        assert_eq!(words.chars().count(), 201);
    }
}
