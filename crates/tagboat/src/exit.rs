//! Exit statuses, the same for every subcommand.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was used wrongly.
    Usage = 2,
    /// There is a difference.
    Difference = 3,
    /// Not permitted.
    Denied = 4,
    /// The controller or the cluster is out of reach.
    Unreachable = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
