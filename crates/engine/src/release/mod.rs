//! Releases: from a HelmRelease to objects in the cluster and a record in Helm's own format (D9).
//!
//! ```text
//!  ReleaseObject ─▶ Desired ─▶ chart ─▶ history ─▶ plan ─┬─▶ nothing (no rendering, no write)
//!                     (checked)                          ├─▶ wait (somebody else is at work)
//!                                                        └─▶ action: render, resolve, check conflicts,
//!                                                             record pending, hooks, apply, remove, wait, hooks,
//!                                                             record deployed or failed
//! ```
//!
//! A failure never uninstalls anything. It is recorded as Helm records it, shown in the HelmRelease's status with the real
//! error, and tried again with growing waits, under the same revision as long as chart and values are the same. What a
//! crash leaves behind is a pending record of ours, which the next look takes up. A HelmRelease that is deleted leaves its
//! release alone.

mod action;
mod attempts;
mod desired;
mod hooks;
mod objects;
mod outcome;
mod plan;
mod reconcile;
mod record;
mod rendering;
mod report;
mod status;

pub use desired::{Desired, Refusal};
pub use outcome::{Deployed, ReleaseFailure, ReleaseOutcome, ReleaseResult, Released, Stage};
pub use plan::{Action, Plan, plan};
pub use reconcile::{ReleasePorts, ReleaseReconciler};
pub use record::{Inputs, is_ours};
pub use status::{Step, advance};
