//! Tagboat: watches image registries, commits the image bump, and makes the cluster match that commit.
#![allow(unreachable_pub, reason = "a binary has no outside: `pub` marks what a module offers the others")]

mod cli;
mod config;
mod exit;
mod offline;
mod plan;
mod run;
mod set_image;
mod status;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
