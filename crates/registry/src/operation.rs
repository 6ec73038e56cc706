//! The time that one operation may take.

use crate::error::{RegistryError, shown};
use std::future::Future;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// One operation's deadline. Every wait for the other side goes through [`Operation::bound`].
pub(crate) struct Operation {
    after: Duration,
    deadline: Mutex<Instant>,
}

impl Operation {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, deadline: Mutex::new(Instant::now() + after) }
    }

    /// What is left.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    /// Gives back time that was spent waiting for ourselves (the host's rate), not for the other side.
    pub(crate) fn extend(&self, by: Duration) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Waits for the other side, at most until the deadline.
    pub(crate) async fn bound<T>(&self, url: &Url, waiting: impl Future<Output = T>) -> Result<T, RegistryError> {
        tokio::time::timeout_at(self.deadline(), waiting)
            .await
            .map_err(|_| RegistryError::Timeout { url: shown(url), after: self.after })
    }

    fn deadline(&self) -> Instant {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
