//! The project's own commands. `cargo xtask --help` lists them.

mod cargo;
mod components;
mod demo;
mod example;
mod generate;
mod installation;
mod packages;
mod progress;
mod status;
mod workspace;

use std::process::ExitCode;

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
    /// Show the whole way of an image on real servers, and stay up to be looked at
    Demo(demo::Arguments),
    /// Write what is made from the code and checked in: the chart's definitions
    Generate,
    /// Install the system packages that tests and the demo need
    Packages(packages::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Components(arguments) => components::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Generate => generate::run(),
        Command::Packages(arguments) => packages::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
