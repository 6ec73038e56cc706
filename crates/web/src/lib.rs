//! What Tagboat serves over HTTP: probes, metrics, and the read API.
//!
//! ```text
//!   kubelet, Prometheus ──▶ probes listener    /livez /readyz /metrics      says nothing about workloads
//!   kubectl port-forward ─▶ loopback listener  /api/v1/status               reached through the API server: RBAC there
//!   people, CI ───────────▶ token listener     /api/v1/status               a token for the audience `tagboat`
//! ```
//!
//! Who may read through the token listener is said by Kubernetes: the token is checked by a TokenReview for the audience
//! `tagboat`, and its user by a SubjectAccessReview for the verb `get` on the resource `status` of the group
//! `tagboat.dev`. That resource exists only as a name in roles:
//!
//! ```yaml
//! apiVersion: rbac.authorization.k8s.io/v1
//! kind: ClusterRole
//! metadata: {name: tagboat-reader}
//! rules:
//! - {apiGroups: [tagboat.dev], resources: [status], verbs: [get]}
//! ```
//!
//! Every listener bounds connections, requests and their time, so that a slow or hostile client of one takes nothing from
//! the others.

mod access;
mod api;
mod error;
mod guard;
mod listener;
mod metrics;
mod probes;

pub use access::{AUDIENCE, Access, Refusal, TokenAccess};
pub use api::status_api;
pub use error::WebError;
pub use listener::{Bound, Limits};
pub use probes::probes;
