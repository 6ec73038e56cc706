//! The cluster: apply, inventory, health, live annotations, the lease.
//!
//! ```text
//!                       ┌─ apply ── desired, ownership, fields     one object, by D8
//!   ApiServer ──────────┼─ definitions                             CRDs: installed, established
//!  (port Cluster)       ├─ health                                  kstatus, and the pods' own words
//!      │                ├─ inventory                               ConfigMaps
//!      │                └─ event                                   events.k8s.io
//!      ├── PolicyWatch  (port LivePolicies)     ┐
//!      ├── ReleaseWatch (port ReleaseObjects)   ┴─ watch           kube's watcher, relisted
//!      └── LeaseFence   (port WriteFence)
//!
//!   all of them over  discovery (kinds) and transport (one request: deadline, limit, refusals)
//! ```
//!
//! Objects are JSON values, so that what Tagboat does not know survives, and one bad object hurts only itself.

mod api_server;
mod apply;
mod definitions;
mod desired;
mod discovery;
mod error;
mod event;
mod fields;
pub mod health;
mod inventory;
mod lease;
mod ownership;
mod policies;
mod refusal;
mod releases;
mod requests;
mod transport;
mod watch;

pub use api_server::{ApiServer, Options};
pub use error::{Cause, Error, Refusal, SchemaFault};
pub use lease::{LeaseFence, LeaseOptions, LeaseState};
pub use policies::PolicyWatch;
pub use releases::ReleaseWatch;
pub use requests::Requests;
