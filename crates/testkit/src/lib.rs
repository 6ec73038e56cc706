//! Real servers on loopback, for tests and the demo.
//!
//! Each server is a value that owns a child process, its own temporary folder and a free port. It is ready when its
//! `start` returns, and gone when the value is dropped, also when a test panics. When the whole process is killed, the
//! kernel kills its servers, and the folders are removed. Third-party programs are built by `cargo xtask components`.
//!
//! ```text
//!  Cluster ── Etcd ◀── ApiServer ◀── ControllerManager, Scheduler, Kwok (node, Pods, logs)
//!  Registry (images without layers) · ChartServer (Helm repository) · GitHttp, GitSsh (bare repositories)
//!  SlackStandIn (incoming webhook; the only one that is not the real thing)
//!  Controller (`tagboat run`, from a binary that the caller names)
//! ```
//!
//! Nothing here uses Tagboat's crates: no test can pass because the product and its test share a mistake.

pub mod components;
pub mod voice_infra;

mod charts;
mod controller;
mod error;
mod git;
mod http;
mod kubernetes;
mod port;
mod process;
mod registry;
mod scratch;
mod slack;
mod tls;

pub use charts::{ChartPackage, ChartServer, package_chart};
pub use controller::{Controller, ControllerOptions};
pub use error::{Error, Result};
pub use git::{Change, Commit, GitHttp, GitSsh, NewCommit, Repository};
pub use http::{Credentials, Fault, Request};
pub use kubernetes::{
    ApiServer, AuditEntry, Cluster, ClusterOptions, ControllerManager, Etcd, Kwok, NODE, Outcome, Scheduler, User,
};
pub use registry::{ImageSpec, Notification, Registry, RegistryAuth, RegistryOptions};
pub use scratch::Scratch;
pub use slack::SlackStandIn;
pub use tls::{Authority, Identity, http_client, install_provider};
