//! Decides, for each image of each workload, whether and to which tag it moves, and says why.
//!
//! ```text
//!  manifests ─┐
//!  policies  ─┤                        ┌─ update ─▶ commit
//!  tags      ─┼─▶ decide() ─▶ Decision ┼─ keep
//!  line's    ─┘                        ├─ hold     (somebody wants it so)
//!  history                             └─ blocked  (cannot tell; fails closed)
//! ```
//!
//! Pure: everything comes in as values, so that each rule is a row of a table.

mod all;
mod choose;
mod line;
mod reason;

pub use all::{Knowledge, decide_all};
pub use choose::{Image, Tags, decide};
pub use line::{Automation, LineHistory, Pin, read_line};
pub use reason::{Action, Reason};

use serde::{Deserialize, Serialize};
use tagboat_image::{Candidate, Reference};
use tagboat_manifest::WorkloadId;

/// What was decided for one image, and why. The CLI, the dashboard and the log print this value.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The workload.
    pub workload: WorkloadId,
    /// The container.
    pub container: String,
    /// The file that sets it.
    pub file: String,
    /// The line of the value that holds the tag, from 1.
    pub line: usize,
    /// What the file says now, in its own spelling; `None` where it cannot be read.
    pub current: Option<Reference>,
    /// What it is to become, in the file's spelling; only for [`Action::Update`].
    pub target: Option<Reference>,
    /// The candidate behind `target`: its digest and times.
    pub candidate: Option<Candidate>,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    /// What is done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.reason.action()
    }
}

/// A decision as `tagboat plan --output json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    /// `namespace:kind/name`.
    pub workload: String,
    /// The container.
    pub container: String,
    /// The file that sets it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What the file says now; `null` where it cannot be read.
    pub current: Option<String>,
    /// What it is to become; `null` unless `action` is `update`.
    pub target: Option<String>,
    /// `update`, `keep`, `hold` or `blocked`.
    pub action: Action,
    /// Why.
    pub reason: ReasonView,
}

/// A reason as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonView {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub text: String,
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        Self {
            workload: decision.workload.to_string(),
            container: decision.container.clone(),
            file: decision.file.clone(),
            line: decision.line,
            current: decision.current.as_ref().map(ToString::to_string),
            target: decision.target.as_ref().map(ToString::to_string),
            action: decision.action(),
            reason: ReasonView { code: decision.reason.code().to_owned(), text: decision.reason.to_string() },
        }
    }
}

impl Decision {
    /// Turns it into a blocked one: what was decided cannot be carried out.
    pub fn block(&mut self, text: String) {
        self.target = None;
        self.candidate = None;
        self.reason = Reason::NotCommitted { text };
    }
}
