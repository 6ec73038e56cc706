//! `tagboat set-image`: edits one image in a file, byte exact, or changes nothing and says why.

use crate::exit::Exit;
use crate::offline;
use anyhow::{Context, Result};
use std::path::PathBuf;
use tagboat_image::Reference;
use tagboat_manifest::WorkloadId;

/// Set one image in a manifest file, touching the bytes of its tag alone.
///
/// Exit status: 0 done, or already so; 1 refused, with the reason on standard error; 2 wrong usage.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file to edit.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The workload, as namespace:kind/name in lower case: voice-dev:helmrelease/voice.
    #[arg(long, value_name = "NS:KIND/NAME")]
    workload: WorkloadId,
    /// The container; for a HelmRelease the key in its values, or chart-image.
    #[arg(long, value_name = "NAME")]
    container: String,
    /// The image to set: the same repository, with another tag or digest.
    #[arg(long, value_name = "REF")]
    to: Reference,
}

/// Runs the command.
///
/// # Errors
/// The edit was refused; the file is as it was.
#[allow(clippy::print_stderr, reason = "this is where the command speaks")]
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let path = &arguments.file;
    let bytes = offline::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| anyhow::anyhow!("not valid UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        .with_context(|| format!("{} was not changed", path.display()))?;
    let edited = tagboat_manifest::set_image(&text, &arguments.workload, &arguments.container, &arguments.to)
        .with_context(|| format!("{} was not changed", path.display()))?;
    if edited.changed {
        offline::replace(path, edited.text.as_bytes())?;
    }
    for image in &edited.images {
        let did =
            if image.changed { format!("{} is now {}", image.from, image.to) } else { format!("already {}", image.to) };
        eprintln!("{}:{}: {did}", path.display(), image.line);
    }
    Ok(Exit::Done)
}
