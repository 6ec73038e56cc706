//! Whole-system stories: the real program against real servers, seen from the outside.

#![allow(unreachable_pub, reason = "tests have no outside")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod asked;
mod bad_input;
mod drift;
mod failure;
mod gate;
mod observe;
mod outage;
mod place;
mod quiet;
mod races;
mod restart;
mod rollback;
mod secrets;
mod shop;
mod ssh;
mod status;
mod story;
mod voice;
