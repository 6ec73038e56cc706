use super::Fault;
use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;

/// Time, so that every decision can be replayed.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock, for what people read and for comparing with times of commits and pushes.
    fn now(&self) -> Timestamp;
    /// Waits on the monotonic clock.
    async fn sleep(&self, wait: Duration);
}

/// The right to write to the outside: the lease, and `mode: observe`.
///
/// Asked right before each external write. It is not a fence by itself (two processes may both believe they hold the
/// lease for a moment); the push's compare-and-swap and Kubernetes' preconditions are what make a late write harmless.
#[async_trait]
pub trait WriteFence: Send + Sync {
    /// `Ok` while this process may write; a fault of kind [`FaultKind::Fenced`](super::FaultKind::Fenced) says why not.
    async fn check(&self) -> Result<(), Fault>;
}
