//! `cargo xtask bench`: the figures that Tagboat promises, measured on this machine against local servers.
//!
//! Each figure is a module: [`lag`] from a push to the Deployment, [`edits`] of a year, [`rest`] for what a controller
//! costs that has nothing to do.

mod edits;
mod lag;
mod machine;
mod report;
mod rest;

use std::path::PathBuf;

use anyhow::Context;

use crate::progress::Step;
use crate::{cargo, components, packages, workspace};
use machine::Machine;
use report::Report;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write the figures into this file as well
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "docs/BENCHMARKS.md")]
    write: Option<PathBuf>,
    /// How many tags are pushed, one after the other
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Runs `cargo xtask bench`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    packages::ensure()?;
    components::ensure(false, &[])?;
    let machine = Machine::read()?;
    let binary = cargo::build_tagboat(true)?;
    let runtime = tokio::runtime::Runtime::new().context("starting the async runtime")?;
    let mut report = Report::new(machine);

    let step = Step::start(1, 3, "a year's edits");
    report.add(edits::measure()?);
    step.end("measured");
    let step = Step::start(2, 3, &format!("{} tags, from the push to the Deployment", arguments.rounds));
    report.add_all(runtime.block_on(lag::measure(&binary, arguments.rounds))?);
    step.end("measured");
    let step = Step::start(3, 3, "a controller at rest (about two minutes)");
    report.add_all(runtime.block_on(rest::measure(&binary))?);
    step.end("measured");

    let text = report.render();
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    if let Some(file) = &arguments.write {
        let file = workspace::root().join(file);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}
