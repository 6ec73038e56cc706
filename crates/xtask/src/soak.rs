//! `cargo xtask soak`: all tests again and again, also those that take too long for every day. What fails only now and
//! then fails here.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use crate::progress::say;
use crate::{cargo, components, packages};

/// Arguments of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many times
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Passed on to each round's test programs, such as the beginning of a test's name
    #[arg(last = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

/// Runs `cargo xtask soak`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    packages::ensure()?;
    components::ensure(false, &[])?;
    for round in 1..=arguments.rounds {
        say(&format!("\n[{round}/{}] all tests, with those that are ignored otherwise", arguments.rounds));
        let started = Instant::now();
        let mut command = cargo::cargo(&["test", "--workspace", "--no-fail-fast", "--", "--include-ignored"]);
        let status = command.args(&arguments.rest).status().context("cargo cannot be run")?;
        let took = started.elapsed().as_secs();
        if !status.success() {
            say(&format!("round {round} failed after {took} s"));
            return Ok(ExitCode::FAILURE);
        }
        say(&format!("round {round} passed in {took} s"));
    }
    Ok(ExitCode::SUCCESS)
}
