//! The command line: arguments in, one subcommand each, exit status out.

use crate::exit::Exit;
use crate::{plan, run as controller, set_image, status};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// GitOps continuous delivery: from a new image tag to a commit to the running release.
#[derive(Debug, Parser)]
#[command(name = "tagboat", version, propagate_version = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(controller::Arguments),
    Status(status::Arguments),
    Plan(plan::Arguments),
    SetImage(set_image::Arguments),
}

/// Runs the command line and tells the exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are no errors; clap prints those to standard output.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    let result = match parsed.command {
        Command::Run(arguments) => controller::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::SetImage(arguments) => set_image::run(&arguments),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            report(&error);
            Exit::Failed.into()
        }
    }
}

/// Prints an error with its causes, on standard error.
#[allow(clippy::print_stderr, reason = "this is where the command line speaks")]
pub fn report(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
