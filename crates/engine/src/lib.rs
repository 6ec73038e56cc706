//! Decides what runs where: the ports and the logic over them.
//!
//! ```text
//!  scan ──tags──▶ decide ──decision──▶ commit ──revision──▶ mirror ──objects──▶ release ──outcome──▶ report
//! ```
//!
//! Each step hands the next a value that can be printed. Nothing here knows a network, a disk or a clock: those are
//! [`ports`].

pub mod commit;
pub mod decide;
pub mod health;
pub mod mirror;
pub mod policy;
pub mod ports;
pub mod release;
pub mod releases;
pub mod report;
pub mod scan;
pub mod source;
