//! What people and monitors are told: one place that the loops write to and that every reader reads from.
//!
//! ```text
//!   loops ──▶ Board        per source and workload, as of now   ──▶ status API, CLI, dashboard
//!         ──▶ Deployments  the steps of each change, in order   ──▶ one message per outcome, timelines
//!         ──▶ Progress     that the loops still go round        ──▶ /livez, /readyz
//!         ──▶ Meters       counts, gauges, durations            ──▶ /metrics
//! ```
//!
//! Nothing here decides anything, and nothing here knows a clock: times come in with what happened.

mod board;
mod deployments;
mod headline;
mod meters;
mod metric;
mod progress;
mod reporter;
mod view;

pub use board::{Board, DecidedWorkload};
pub use deployments::{Change, Deployments, Step, Told};
pub use headline::AppState;
pub use meters::{ImageLag, Meters, SyncResult};
pub use metric::{Counters, Family, Gauges, Histogram, Kind, Sample, Value};
pub use progress::{Heartbeat, Progress, Readiness, Stalled};
pub use reporter::Reporter;
pub use view::{
    API_VERSION, ChangeView, ContainerView, ControllerView, HealthView, HoldView, ProblemView, ReleaseView, SourceView,
    StatusView, Timeline, WorkloadView,
};
