//! Reads tags, times and digests from container registries.
//!
//! [`Registries`] is the engine's `ImageRegistry`: all hosts behind one value. [`RedbTagStore`] is its `TagStore`, a
//! cache on disk that may be deleted at any time.
//!
//! ```text
//!  Registries ──▶ Host (one for each registry: origin, credential, token cache, rate, pause, counters)
//!    tags            │
//!    image           ▼
//!    manifest     Host::fetch ── retries within the operation's deadline
//!                    │  authorize   the scheme learnt from the host's challenge; Basic, or a token for the scope
//!                    │  follow      redirects by hand: credentials stay at the origin, never from https to http
//!                    ▼
//!                 Answer (status 200, whole, within its limit) or RegistryError
//! ```
//!
//! What crosses the boundary is bounded ([`Limits`]), checked against its digest where it has one, and an answer that
//! is not whole is an error, never a shorter answer. A credential belongs to exactly one host (and port); the hosts
//! that a registry names itself (token servers, redirects) are reached only under the rules of `reach` and `site`.

mod answer;
mod auth;
mod authorize;
mod config;
mod credentials;
mod error;
mod fetch;
mod host;
mod image;
mod judge;
mod link;
mod manifest;
mod operation;
mod reach;
mod registries;
mod site;
mod store;
mod tags;

pub use config::{HostConfig, Limits, PlatformConfig, RegistryConfig};
pub use error::RegistryError;
pub use registries::Registries;
pub use store::RedbTagStore;
