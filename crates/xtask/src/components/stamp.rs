//! A stamp says from what an output was made. It is written after the output and removed before it is made again.

use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

/// The hash of parts, in order. Lengths are part of it, so that parts cannot run into one another.
pub(crate) fn of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the output exists and was made from what `stamp` stands for.
pub(crate) fn is_current(output: &Path, name: &str, stamp: &str) -> bool {
    output.join(name).exists() && std::fs::read_to_string(path(output, name)).is_ok_and(|found| found == stamp)
}

/// Writes the stamp of an output that is complete.
pub(crate) fn write(output: &Path, name: &str, stamp: &str) -> anyhow::Result<()> {
    let path = path(output, name);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, stamp).with_context(|| format!("writing {}", path.display()))
}

/// Forgets an output's stamp, so that a build which is killed half-way does not count as done.
pub(crate) fn remove(output: &Path, name: &str) -> anyhow::Result<()> {
    match std::fs::remove_file(path(output, name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("removing an old stamp"),
        _ => Ok(()),
    }
}

fn path(output: &Path, name: &str) -> PathBuf {
    output.join(".stamps").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_counts_only_while_its_output_exists_and_its_inputs_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = of(&[b"go.mod", b"flags"]);
        write(folder.path(), "etcd", &stamp).unwrap();
        assert!(!is_current(folder.path(), "etcd", &stamp), "the output is missing");
        std::fs::write(folder.path().join("etcd"), "binary").unwrap();
        assert!(is_current(folder.path(), "etcd", &stamp));
        assert!(!is_current(folder.path(), "etcd", &of(&[b"go.modflags"])));
        remove(folder.path(), "etcd").unwrap();
        remove(folder.path(), "etcd").unwrap();
        assert!(!is_current(folder.path(), "etcd", &stamp));
    }
}
