//! What can go wrong with the API server, and how the engine is told.

use std::time::Duration;

use tagboat_engine::ports::{Fault, FaultKind};

/// The longest text taken over from the API server. Longer ones are cut, with a note.
const MAX_MESSAGE: usize = 4096;

/// Why something could not be had from the API server, or not be done there.
///
/// `what` says what was being done, to what: `applying Deployment dev/web`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be made: a bad kubeconfig, or a certificate that cannot be read.
    #[error("making a client for the API server: {}", chain(.0))]
    Client(#[source] Box<kube::Error>),
    /// The API server answered, and the answer is no.
    #[error("{what}: {answer}")]
    Refused {
        /// What was being done.
        what: String,
        /// The answer.
        answer: Box<Refusal>,
    },
    /// No answer came: the connection failed or broke.
    #[error("{what}: the API server is out of reach: {}", chain(.source))]
    Unreachable {
        /// What was being done.
        what: String,
        /// What the client saw.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer came in time.
    #[error("{what}: no answer from the API server within {} s", .after.as_secs())]
    Timeout {
        /// What was being done.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// An awaited state did not come in time.
    #[error("{what} did not happen within {} s; seen last: {seen}", .after.as_secs_f32())]
    Waited {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// What was seen last.
        seen: String,
    },
    /// The answer is longer than Tagboat reads.
    #[error("{what}: the answer is longer than the limit of {limit}")]
    TooLong {
        /// What was being done.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// The answer is not what the API promises.
    #[error("{what}: the answer of the API server cannot be read: {reason}")]
    Unreadable {
        /// What was being done.
        what: String,
        /// What is wrong with it. Never a part of the answer itself.
        reason: String,
    },
    /// The API server serves no such kind.
    #[error(
        "no matches for kind \"{kind}\" in version \"{api_version}\": the API server does not serve it (is its CustomResourceDefinition installed?)"
    )]
    UnknownKind {
        /// `helm.fluxcd.io/v1`
        api_version: String,
        /// `HelmRelease`
        kind: String,
    },
    /// The kind may exist, but the API service behind its group does not answer.
    #[error(
        "kind \"{kind}\" in version \"{api_version}\" is unknown for now: the API service behind this version does not answer"
    )]
    StaleGroup {
        /// `metrics.k8s.io/v1beta1`
        api_version: String,
        /// `PodMetrics`
        kind: String,
    },
    /// An object or a name that can never be sent.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which object, as far as it can be told.
        what: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// Somebody else wrote in between.
    #[error("{what}: {reason}")]
    Conflict {
        /// What was being done.
        what: String,
        /// What came in between.
        reason: String,
    },
    /// An inventory is there, but not whole.
    #[error(
        "the inventory of {source_id} in {namespace} is damaged: {reason}; nothing is pruned until it is written anew"
    )]
    Inventory {
        /// The source whose inventory it is.
        source_id: String,
        /// Tagboat's own namespace.
        namespace: String,
        /// What is wrong.
        reason: String,
    },
}

/// A refusal of the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The reason in one word, such as `NotFound`; empty where the server gave none.
    pub reason: String,
    /// The server's message; for Secrets without anything that could be a value.
    pub message: String,
    /// Fields and what is wrong with them.
    pub causes: Vec<Cause>,
    /// How long the server asked us to wait.
    pub retry_after: Option<Duration>,
    /// What server-side apply has against the object, where that is the reason.
    pub schema: Vec<SchemaFault>,
}

/// One cause of a [`Refusal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldManagerConflict`, …
    pub reason: String,
    /// For people.
    pub message: String,
    /// `spec.replicas`, or `.spec.replicas` for conflicts.
    pub field: String,
}

/// What server-side apply refuses although other ways of writing would take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaFault {
    /// The schema does not know this field.
    Undeclared {
        /// `.spec.template.spec.containers[name="web"].imagez`
        path: String,
    },
    /// Two entries of a list have the same key.
    Duplicate {
        /// The list.
        path: String,
        /// The key, as `[name="A"]`.
        key: String,
    },
    /// Something else, such as a value of the wrong type.
    Other,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.message.is_empty() {
            write!(f, "the API server answered with status {}", self.status)
        } else {
            f.write_str(&self.message)
        }
    }
}

impl Error {
    /// The refusal, where the API server answered with one.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// Whether the API server answered with this status.
    pub(crate) fn is_status(&self, status: u16) -> bool {
        self.refusal().is_some_and(|answer| answer.status == status)
    }

    fn kind(&self) -> FaultKind {
        match self {
            Self::Client(_) | Self::Invalid { .. } => FaultKind::Invalid,
            Self::Refused { answer, .. } => answer.kind(),
            Self::Unreachable { .. } | Self::StaleGroup { .. } => FaultKind::Unavailable,
            Self::Timeout { .. } | Self::Waited { .. } => FaultKind::Timeout,
            Self::TooLong { .. } => FaultKind::Limit,
            Self::Unreadable { .. } | Self::Inventory { .. } => FaultKind::Incomplete,
            Self::UnknownKind { .. } => FaultKind::NotFound,
            Self::Conflict { .. } => FaultKind::Conflict,
        }
    }
}

impl Refusal {
    fn kind(&self) -> FaultKind {
        // A namespace that is going away refuses new objects with 403; that passes.
        if self.causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
            return FaultKind::Conflict;
        }
        // The API server answers 500 where server-side apply cannot read the object: nothing of the server's is broken.
        if !self.schema.is_empty() {
            return FaultKind::Invalid;
        }
        match self.status {
            401 | 403 => FaultKind::Denied,
            404 => FaultKind::NotFound,
            408 | 504 => FaultKind::Timeout,
            409 | 410 => FaultKind::Conflict,
            413 => FaultKind::Limit,
            429 => FaultKind::Throttled,
            500.. => FaultKind::Unavailable,
            _ => FaultKind::Invalid,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let fault = Self::new(error.kind(), error.to_string());
        match error.refusal().and_then(|answer| answer.retry_after) {
            Some(wait) => fault.retry_after(wait),
            None => fault,
        }
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    plain(&text)
}

/// A text of somebody else's, safe in a log line: no control characters, no bidirectional marks, not too long.
pub(crate) fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out: String = text.chars().take(MAX_MESSAGE).map(|c| if hidden(c) { ' ' } else { c }).collect();
    let cut = text.chars().skip(MAX_MESSAGE).count();
    if cut > 0 {
        out.push_str(&format!("… ({cut} more characters)"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16) -> Refusal {
        Refusal {
            status,
            reason: String::new(),
            message: String::new(),
            causes: vec![],
            retry_after: None,
            schema: vec![],
        }
    }

    #[test]
    fn status_decides_the_kind_of_fault() {
        for (status, kind) in [
            (400, FaultKind::Invalid),
            (401, FaultKind::Denied),
            (403, FaultKind::Denied),
            (404, FaultKind::NotFound),
            (409, FaultKind::Conflict),
            (413, FaultKind::Limit),
            (422, FaultKind::Invalid),
            (429, FaultKind::Throttled),
            (500, FaultKind::Unavailable),
            (503, FaultKind::Unavailable),
            (504, FaultKind::Timeout),
        ] {
            assert_eq!(refusal(status).kind(), kind, "{status}");
        }
        assert_eq!(Refusal { schema: vec![SchemaFault::Other], ..refusal(500) }.kind(), FaultKind::Invalid);
    }

    #[test]
    fn texts_of_others_are_made_plain_and_short() {
        assert_eq!(plain("a\n\u{1b}[31mb\u{202e}c"), "a  [31mb c");
        let long = plain(&"x".repeat(MAX_MESSAGE + 7));
        assert!(long.ends_with("… (7 more characters)"), "{long}");
    }
}
