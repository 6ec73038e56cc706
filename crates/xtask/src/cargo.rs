//! Calls of cargo, and where it puts what it builds.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use cargo_metadata::MetadataCommand;

use crate::workspace;

/// cargo in the workspace's root, without what the cargo that runs this very program has set for it: some build scripts
/// look at those variables, and would build everything again.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace::root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"].iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command
}

/// The folder that cargo builds into.
pub(crate) fn target_directory() -> anyhow::Result<PathBuf> {
    let metadata = MetadataCommand::new().current_dir(workspace::root()).no_deps().exec().context("cargo metadata")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Builds `tagboat`, by default in the profile of the tests, and says where it is.
pub(crate) fn build_tagboat(release: bool) -> anyhow::Result<PathBuf> {
    let mut arguments = vec!["build", "--package", "tagboat"];
    arguments.extend(release.then_some("--release"));
    let status = cargo(&arguments).status().context("cargo cannot be run")?;
    if !status.success() {
        bail!("`cargo {}` failed with {status}", arguments.join(" "));
    }
    Ok(target_directory()?.join(if release { "release" } else { "debug" }).join("tagboat"))
}
