//! `tagboat plan` and `tagboat set-image` as people and CI jobs run them: the built program, folders and work trees on
//! disk, no cluster and no network.

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod edits;
mod manifests;
mod pins;
mod place;
mod plan;
mod replay;
mod tags;
