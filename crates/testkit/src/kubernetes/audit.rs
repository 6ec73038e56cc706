use std::path::Path;

use crate::{Error, Result};

/// One answered request, from the API server's audit log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditEntry {
    /// The verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` …
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub uri: String,
    /// Who asked.
    pub user: AuditUser,
    /// The client's name for itself, such as `kubectl/v1.37.2 …`.
    #[serde(default)]
    pub user_agent: String,
    /// What was asked about; absent for paths such as `/version`.
    pub object_ref: Option<AuditObject>,
    /// The answer's status.
    pub response_status: Option<AuditStatus>,
    /// When the request came in, RFC 3339 with microseconds.
    pub request_received_timestamp: jiff::Timestamp,
}

/// The user of an [`AuditEntry`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[non_exhaustive]
pub struct AuditUser {
    /// The user's name.
    #[serde(default)]
    pub username: String,
}

/// The object of an [`AuditEntry`]; fields that do not apply are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditObject {
    /// The API group, empty for the core group.
    pub api_group: String,
    /// The plural resource, such as `deployments`.
    pub resource: String,
    /// The subresource, such as `status`.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name; empty for lists.
    pub name: String,
}

/// The answer of an [`AuditEntry`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[non_exhaustive]
pub struct AuditStatus {
    /// The HTTP status.
    #[serde(default)]
    pub code: u16,
}

impl AuditEntry {
    /// Whether the request was one that changes something.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// What is logged: each answered request of everybody but the cluster's own servers.
pub(crate) fn policy(own_users: &[&str]) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            { "level": "None", "users": own_users },
            { "level": "None", "userGroups": ["system:serviceaccounts:kube-system", "system:nodes"] },
            { "level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"] },
            { "level": "Metadata" },
        ],
    })
}

/// Reads the log; a last line that is still being written is left out.
pub(crate) fn read(log: &Path) -> Result<Vec<AuditEntry>> {
    let text = match std::fs::read_to_string(log) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(format!("reading {}", log.display()))(error)),
    };
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line: &str| {
        serde_json::from_str(line).map_err(|error| Error::Answer {
            what: format!("reading the audit log {}", log.display()),
            answer: format!("{error} in {line}"),
        })
    };
    complete.lines().map(parse).collect()
}
