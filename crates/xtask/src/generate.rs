//! `cargo xtask generate`: files that are made from the code and checked in.

use crate::workspace;
use anyhow::{Context, Result};
use std::fs;

/// Writes the definitions of Tagboat's kinds into the chart.
pub(crate) fn run() -> Result<()> {
    let folder = workspace::root().join("charts/tagboat/crds");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in tagboat_api::crd_files().context("cannot write a definition as YAML")? {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
