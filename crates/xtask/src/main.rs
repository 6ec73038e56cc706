//! The project's own commands. `cargo xtask --help` lists them.

mod components;
mod packages;
mod progress;
mod workspace;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the pinned third-party servers and tools that tests and the demo run
    Components(components::Arguments),
    /// Install the system packages that tests and the demo need
    Packages(packages::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Components(arguments) => components::run(&arguments),
        Command::Packages(arguments) => packages::run(&arguments),
    }
}
