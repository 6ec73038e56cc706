//! Counts what is asked of the API server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, Uri};

/// Requests sent so far, by Kubernetes' verb.
#[derive(Debug, Default)]
pub struct Requests {
    read: AtomicU64,
    watch: AtomicU64,
    create: AtomicU64,
    update: AtomicU64,
    patch: AtomicU64,
    delete: AtomicU64,
    other: AtomicU64,
}

impl Requests {
    pub(crate) fn count(&self, method: &Method, uri: &Uri) {
        let watch =
            uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")));
        let counter = match *method {
            Method::GET if watch => &self.watch,
            Method::GET | Method::HEAD => &self.read,
            Method::POST => &self.create,
            Method::PUT => &self.update,
            Method::PATCH => &self.patch,
            Method::DELETE => &self.delete,
            _ => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts: `read` (get and list), `watch`, `create`, `update`, `patch`, `delete`, `other`.
    pub fn by_verb(&self) -> BTreeMap<&'static str, u64> {
        [
            ("read", &self.read),
            ("watch", &self.watch),
            ("create", &self.create),
            ("update", &self.update),
            ("patch", &self.patch),
            ("delete", &self.delete),
            ("other", &self.other),
        ]
        .map(|(verb, counter)| (verb, counter.load(Ordering::Relaxed)))
        .into()
    }

    /// Requests that could change something.
    pub fn writes(&self) -> u64 {
        let counts = self.by_verb();
        ["create", "update", "patch", "delete", "other"].iter().filter_map(|verb| counts.get(verb)).sum()
    }
}
