//! `tagboat status`: how everything stands, on one screen.

mod read;
mod table;

use crate::exit::Exit;
use anyhow::{Context, Result};
use std::io::IsTerminal;
use std::path::PathBuf;
use tagboat_engine::report::AppState;

/// Show all workloads with images: what runs, since when, healthy or why not, and what holds it.
///
/// Reads from the controller by a port-forward through the API server, with your own kubeconfig, or from --address.
/// Exit status: 0; with --exit-code 3 where something is failed or blocked; 4 not permitted; 7 out of reach.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only this namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    controller: Controller,
    /// table: for people; wide: with files and reasons; json: everything.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    output: Output,
    /// End with 3 where something is failed or blocked.
    #[arg(long)]
    exit_code: bool,
}

/// Where the controller is found.
#[derive(Debug, clap::Args)]
pub struct Controller {
    /// Read from this address instead of by port-forward: http://127.0.0.1:8081.
    #[arg(long, value_name = "URL", env = "TAGBOAT_ADDRESS")]
    address: Option<url::Url>,
    /// A file with a bearer token for --address: kubectl create token NAME --audience tagboat.
    #[arg(long, value_name = "FILE", env = "TAGBOAT_TOKEN_FILE", requires = "address")]
    token_file: Option<PathBuf>,
    /// Certificates to trust besides the system's, for --address.
    #[arg(long, value_name = "FILE", requires = "address")]
    ca_file: Option<PathBuf>,
    /// The kubeconfig; else KUBECONFIG, or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace that the controller runs in; else all are searched for its label.
    #[arg(long, value_name = "NAMESPACE", env = "TAGBOAT_NAMESPACE")]
    controller_namespace: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Wide,
    Json,
}

/// Runs the command.
///
/// # Errors
/// The controller could not be asked.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the command speaks")]
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let mut status = match runtime.block_on(read::status(&arguments.controller)) {
        Ok(status) => status,
        Err(refused) => {
            eprintln!("error: {refused:#}");
            if let Some(hint) = refused.hint() {
                eprintln!("hint: {hint}");
            }
            return Ok(refused.exit());
        }
    };
    if let Some(namespace) = &arguments.namespace {
        status.items.retain(|item| item.workload.namespace() == Some(namespace));
    }
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Output::Table | Output::Wide => {
            let colour =
                std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            print!("{}", table::render(&status, arguments.output == Output::Wide, colour));
        }
    }
    let attention = status.items.iter().any(|item| matches!(item.state, AppState::Failed | AppState::Blocked));
    Ok(if arguments.exit_code && attention { Exit::Difference } else { Exit::Done })
}
