//! The project's own commands. `cargo xtask --help` lists them.

mod bench;
mod cargo;
mod components;
mod demo;
mod example;
mod generate;
mod installation;
mod packages;
mod progress;
mod soak;
mod status;
mod test;
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
    /// Measure on this machine what Tagboat promises
    Bench(bench::Arguments),
    /// Build the pinned third-party servers and tools that tests and the demo run
    Components(components::Arguments),
    /// Show the whole way of an image on real servers, and stay up to be looked at
    Demo(demo::Arguments),
    /// Write what is made from the code and checked in: the chart's definitions
    Generate,
    /// Install the system packages that tests and the demo need
    Packages(packages::Arguments),
    /// Run all tests several times, also those that take long
    Soak(soak::Arguments),
    /// Check formats, lints and documentation and run all tests, with everything that they need
    Test(test::Arguments),
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let result = match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments).map(done),
        Command::Components(arguments) => components::run(&arguments).map(done),
        Command::Demo(arguments) => demo::run(&arguments).map(done),
        Command::Generate => generate::run().map(done),
        Command::Packages(arguments) => packages::run(&arguments).map(done),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Test(arguments) => Ok(test::run(&arguments)),
    };
    result.unwrap_or_else(|error| {
        progress::say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}
