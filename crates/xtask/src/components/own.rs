//! A user's own etcd, kube-apiserver and kubectl, taken instead of a build of a quarter of an hour.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::bail;

use super::pins::{Pins, major_minor};
use crate::{packages, workspace};

/// The components that may be the user's own.
pub(crate) const NAMES: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// The user's own binary of a component: from the folder that `KUBEBUILDER_ASSETS` names (all three must be there, in
/// whatever version, as the user asked for them by name), else from `PATH` if its minor version is the pinned one.
pub(crate) fn find(name: &str, pins: &Pins) -> anyhow::Result<Option<PathBuf>> {
    if !NAMES.contains(&name) {
        return Ok(None);
    }
    if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()) {
        return from_assets(Path::new(&folder), name).map(Some);
    }
    let pinned = major_minor(if name == "etcd" { &pins.etcd } else { &pins.kubernetes });
    Ok(packages::find(name).filter(|path| {
        // Whoever has the built components in PATH, as the demo proposes, has not brought an own one.
        !is_below(path, &workspace::components()) && pinned.is_some() && reported_version(path) == pinned
    }))
}

fn is_below(path: &Path, folder: &Path) -> bool {
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => path.starts_with(folder),
        _ => false,
    }
}

fn from_assets(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let missing: Vec<_> = NAMES.into_iter().filter(|name| !folder.join(name).is_file()).collect();
    if !missing.is_empty() {
        bail!(
            "KUBEBUILDER_ASSETS is {}, which lacks {}; it must have {}, or must not be set",
            folder.display(),
            missing.join(", "),
            NAMES.join(", ")
        );
    }
    Ok(folder.join(name))
}

/// Asks a binary for its version. `kubectl` has a subcommand for it, the servers a flag.
fn reported_version(path: &Path) -> Option<(u32, u32)> {
    let kubectl = path.file_name().is_some_and(|name| name == "kubectl");
    let arguments: &[&str] = if kubectl { &["version", "--client"] } else { &["--version"] };
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace()
        .find(|word| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()))
        .and_then(major_minor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn program(folder: &Path, name: &str, prints: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_binary_says_its_version() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(reported_version(&program(folder.path(), "kube-apiserver", "Kubernetes v1.37.2")), Some((1, 37)));
        assert_eq!(reported_version(&program(folder.path(), "kubectl", "Client Version: v1.36.0")), Some((1, 36)));
        assert_eq!(reported_version(&program(folder.path(), "etcd", "etcd Version: 3.7.3")), Some((3, 7)));
        assert_eq!(reported_version(&program(folder.path(), "other", "no idea")), None);
    }

    #[test]
    fn a_built_component_in_path_is_nobodys_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = program(folder.path(), "etcd", "");
        assert!(is_below(&path, folder.path()));
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(!is_below(&path, elsewhere.path()));
    }

    #[test]
    fn assets_must_be_complete() {
        let folder = tempfile::tempdir().unwrap();
        program(folder.path(), "etcd", "");
        let error = from_assets(folder.path(), "etcd").unwrap_err().to_string();
        assert!(error.contains("lacks kube-apiserver, kubectl;"), "{error}");
        program(folder.path(), "kube-apiserver", "");
        program(folder.path(), "kubectl", "");
        assert_eq!(from_assets(folder.path(), "etcd").unwrap(), folder.path().join("etcd"));
    }
}
