//! Charts, their rendering by Helm's library, and Helm's release records.
//!
//! ```text
//!  ChartRepositories ──archive──▶ HelmRenderer ──────▶ (engine's release logic) ──────▶ HelmRecords
//!  index.yaml, .tgz, cache        │  ▲  frames on                                      Secrets in Helm's
//!  on disk, mirrors               ▼  │  its pipes                                      own format
//!                              tagboat-renderer (renderer/, a Go program)
//! ```
//!
//! * [`ChartRepositories`] is the engine's `ChartSource` for Helm repositories over HTTP.
//! * [`HelmRenderer`] is its `Renderer`: it owns the child process around Helm's own library.
//! * [`HelmRecords`] is its `ReleaseStore`: what it writes, `helm list`, `history`, `get`, `rollback` and `uninstall` read.

mod charts;
mod error;
mod records;
mod renderer;

pub use charts::{ChartRepositories, ChartRepositoriesOptions, Credentials};
pub use error::Error;
pub use records::HelmRecords;
pub use renderer::{HelmRenderer, RendererOptions};
