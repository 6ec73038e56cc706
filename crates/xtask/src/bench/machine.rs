//! What the figures were measured on.

use std::process::Command;

use anyhow::{Context, ensure};
use jiff::Timestamp;

use crate::workspace;

/// The machine, the commit and the date.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory: String,
    pub(super) system: String,
    pub(super) commit: String,
    pub(super) time: Timestamp,
}

impl Machine {
    /// Reads all of it.
    pub(super) fn read() -> anyhow::Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("reading {path}"));
        let processor =
            value(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let memory = value(&read("/proc/meminfo")?, "MemTotal").context("/proc/meminfo has no MemTotal")?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor,
            memory: gibibytes(&memory)?,
            system: format!("Linux {}", read("/proc/sys/kernel/osrelease")?.trim()),
            commit: commit()?,
            time: Timestamp::now(),
        })
    }
}

/// The value of the first line `name : value`.
fn value(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// `16384000 kB` as `15.6 GiB`.
fn gibibytes(text: &str) -> anyhow::Result<String> {
    let number = text.split(' ').next().unwrap_or_default();
    let kibibytes: f64 = number.parse().with_context(|| format!("{text:?} is no amount of memory"))?;
    Ok(format!("{:.1} GiB", kibibytes / 1024.0 / 1024.0))
}

/// The commit, and whether tracked files differ from it.
fn commit() -> anyhow::Result<String> {
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(if changed { format!("{head} with local changes") } else { head })
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let result = Command::new("git").args(arguments).current_dir(workspace::root()).output().context("running git")?;
    ensure!(
        result.status.success(),
        "`git {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&result.stderr)
    );
    Ok(String::from_utf8_lossy(&result.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(
            value("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n", "model name").unwrap(),
            "Some CPU @ 2 GHz"
        );
        assert_eq!(value("MemTotal:       16384000 kB\n", "MemTotal").unwrap(), "16384000 kB");
        assert_eq!(gibibytes("16384000 kB").unwrap(), "15.6 GiB");
        assert!(gibibytes("much").is_err());
    }
}
