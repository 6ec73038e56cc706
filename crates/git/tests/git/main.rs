//! The adapter against real servers: git over HTTP and SSH, on loopback.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and prints its measurements")]

mod authentication;
mod damage;
mod history;
mod interrupted;
mod push;
mod reading;
mod ssh;
mod support;
mod tls;
mod voice_infra;
mod work_tree;
