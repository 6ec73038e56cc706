//! Makes the cluster match a revision: loads its manifests, applies them in stages, keeps the inventory.
//!
//! ```text
//!  files ──▶ load ──▶ Desired { objects, problems } ──▶ stages ──▶ Cluster::apply ──▶ Inventory
//! ```
//!
//! A bad document, or an object that the API server refuses, hurts only itself: everything else is applied, and the
//! revision counts as mirrored with problems. Nothing is pruned here.

mod apply;
mod drift;
mod load;
mod order;

pub use apply::{Mirror, Mirrored};
pub use drift::{content, without_bookkeeping};
pub use load::{Desired, DesiredObject, load};
pub use order::rank;
