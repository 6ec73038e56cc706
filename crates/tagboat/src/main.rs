//! Tagboat: watches image registries, commits the image bump, and makes the cluster match that commit.

mod cli;
mod exit;
mod offline;
mod plan;
mod set_image;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
