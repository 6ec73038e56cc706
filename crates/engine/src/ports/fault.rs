use std::time::Duration;

/// Why an adapter could not do what it was asked, in words for people.
///
/// The text never holds a secret: adapters redact before they build it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// What kind of failure this is: it decides whether, and how soon, to try again.
    pub kind: FaultKind,
    /// What was being done, to what, what was found and what is allowed.
    pub text: String,
    /// How long the other side asked us to wait, where it said so.
    pub retry_after: Option<Duration>,
}

/// The kinds of failure that the engine tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The thing asked for does not exist.
    NotFound,
    /// Credentials are missing, wrong, or do not allow this.
    Denied,
    /// The input can never work as it stands: trying again without a change is useless.
    Invalid,
    /// Somebody else changed the thing in between: read again and decide again.
    Conflict,
    /// The other side asked for fewer requests; see [`Fault::retry_after`].
    Throttled,
    /// The other side is out of reach or answers with an error of its own.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// The answer came, but not whole; nothing may be decided on it.
    Incomplete,
    /// A limit of Tagboat's own was reached; the text names it.
    Limit,
    /// This process may not write now: it does not hold the lease, or it only observes.
    Fenced,
}

impl Fault {
    /// A fault of a kind, with its text.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), retry_after: None }
    }

    /// The same fault, with the wait that the other side asked for.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::Throttled
                | FaultKind::Unavailable
                | FaultKind::Timeout
                | FaultKind::Incomplete
                | FaultKind::Conflict
        )
    }
}
