//! Real servers on loopback, for tests and the demo.
//!
//! Each server is a value that owns a child process, its own temporary folder and a free port. It is ready when its
//! `start` returns, and gone when the value is dropped, also when a test panics; when the whole process is killed, the
//! kernel kills its servers ([`process`](crate) asks for that) and the folders are removed.
//!
//! ```text
//!  Cluster ── Etcd ◀── ApiServer ◀── ControllerManager, Scheduler, Kwok (node, Pods, logs)
//! ```
//!
//! Nothing here knows Tagboat: no test can pass because the product and its test share a mistake.

pub mod components;

mod charts;
mod error;
mod kubernetes;
mod port;
mod process;
mod scratch;
mod tls;

pub use error::{Error, Result};
pub use kubernetes::{
    ApiServer, AuditEntry, Cluster, ClusterOptions, ControllerManager, Etcd, Kwok, NODE, Outcome, Scheduler, User,
};
pub use scratch::Scratch;
pub use tls::{Authority, Identity, http_client, install_provider};
