//! `tagboat run`: the controller.

mod adapters;
mod clock;
mod controller;
mod fence;
mod logging;
mod memory;

use crate::cli::report;
use crate::config;
use crate::exit::Exit;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Run the controller: watch registries and repositories, commit, mirror and release.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "TAGBOAT_CONFIG", default_value = "/etc/tagboat/config.yaml")]
    config: PathBuf,
    /// A kubeconfig; without it, the pod's own service account. Exec plugins are refused.
    #[arg(long, value_name = "FILE", env = "TAGBOAT_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// This replica's name, for the lease and events.
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "tagboat")]
    instance: String,
    /// How much is logged: error, warn, info, debug, trace, or a filter such as tagboat_git=debug.
    #[arg(long, value_name = "LEVEL", env = "TAGBOAT_LOG", default_value = "info")]
    log_level: String,
    /// json: one object a line. text: for people.
    #[arg(long, value_name = "FORMAT", env = "TAGBOAT_LOG_FORMAT", value_enum, default_value_t = logging::Format::Json)]
    log_format: logging::Format,
    /// Only check the configuration and end.
    #[arg(long)]
    check: bool,
}

/// Runs the command. A configuration that cannot be used is wrong usage: status 2, every problem on a line.
///
/// # Errors
/// Something that is needed from the start is missing.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let config = match config::read(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            report(&error);
            return Ok(Exit::Usage);
        }
    };
    if arguments.check {
        return Ok(Exit::Done);
    }
    memory::use_one_arena();
    logging::start(&arguments.log_level, arguments.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let identity = format!("{}-{}", arguments.instance, std::process::id());
    runtime.block_on(controller::run(&config, arguments.kubeconfig.as_deref(), &identity))?;
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    Ok(Exit::Done)
}
