//! YAML documents, the workloads and images in them, policies, and the byte-exact edit.
//!
//! Everything here is pure: text in, values or text out.
//!
//! ```text
//!   bytes ──▶ yaml (events → nodes with byte spans) ──▶ ManifestFile { objects, workloads, problems }
//!                     │                                               │
//!                     │                                     Workload { containers, policies }
//!                     ▼                                               │ a decision
//!             set_images: splice the scalars' bytes  ◀────────────────┘
//!                     └──▶ read again: exactly those values differ, or nothing is changed
//! ```
//!
//! Reading follows what `kubectl` reads (YAML 1.1 as go-yaml has it: `yes` is a boolean, `0644` is octal, of a duplicate
//! key the last wins). Locating and reading are the same pass over the same nodes, so they cannot disagree.

mod edit;
mod file;
mod id;
mod images;
mod objects;
pub mod policy;
mod problem;
mod workload;
mod yaml;

pub use edit::{Change, EditError, Edited, EditedImage, ImageName, set_image, set_images};
pub use file::{Location, ManifestFile, Object};
pub use id::{WorkloadId, WorkloadIdError};
pub use policy::{Combined, FilterProblem, Ignore, LiveOverride, Policies, PolicyProblem};
pub use problem::{Problem, Severity};
pub use workload::{Annotation, Container, ImageProblem, Shape, Workload, WorkloadKind};
pub use yaml::Obstacle;
