//! What `tests/components/go.mod` pins, as far as the builds need to know it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

const KUBERNETES: &str = "k8s.io/kubernetes";
const ETCD: &str = "go.etcd.io/etcd/server/v3";

/// The pinned versions.
pub(crate) struct Pins {
    /// The folder of go.mod.
    pub(crate) folder: PathBuf,
    /// go.mod and go.sum, byte for byte.
    pub(crate) files: [Vec<u8>; 2],
    /// Kubernetes' version with its `v`, such as `v1.37.2`.
    pub(crate) kubernetes: String,
    /// etcd's version with its `v`.
    pub(crate) etcd: String,
}

impl Pins {
    /// Reads go.mod and go.sum of `folder`.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
        };
        let (module, sums) = (read("go.mod")?, read("go.sum")?);
        let text = String::from_utf8_lossy(&module);
        let (kubernetes, etcd) = (version(&text, KUBERNETES)?, version(&text, ETCD)?);
        Ok(Self { folder: folder.to_path_buf(), kubernetes, etcd, files: [module, sums] })
    }

    /// The linker flags: without them Kubernetes' programs call themselves `v0.0.0-master`, which charts' version checks read.
    pub(crate) fn linker_flags(&self) -> anyhow::Result<String> {
        let (major, minor) =
            major_minor(&self.kubernetes).context("Kubernetes' pinned version is not vMAJOR.MINOR.PATCH")?;
        let version = "k8s.io/component-base/version";
        Ok(format!(
            "-s -w -X {version}.gitVersion={} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}",
            self.kubernetes
        ))
    }
}

/// Finds `module`'s version in a go.mod's require lines (not in its replace lines, which have an arrow).
fn version(text: &str, module: &str) -> anyhow::Result<String> {
    for line in text.lines() {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        if words.next() == Some(module)
            && let Some(version) = words.next()
            && version.starts_with('v')
        {
            return Ok(version.to_owned());
        }
    }
    bail!("go.mod requires no {module}; it must pin it")
}

/// `v1.37.2` or `1.37.2` as (1, 37).
pub(crate) fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_requirements_and_not_from_replacements() {
        let text =
            "require (\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\nreplace (\n\tk8s.io/api => k8s.io/api v0.37.2\n)\n";
        assert_eq!(version(text, KUBERNETES).unwrap(), "v1.37.2");
        assert!(version(text, "k8s.io/api").is_err());
        assert_eq!(version("require go.etcd.io/etcd/server/v3 v3.7.3\n", ETCD).unwrap(), "v3.7.3");
    }

    #[test]
    fn a_version_has_a_major_and_a_minor_part() {
        assert_eq!(major_minor("v1.37.2"), Some((1, 37)));
        assert_eq!(major_minor("3.7.0-rc.1"), Some((3, 7)));
        assert_eq!(major_minor("devel"), None);
    }
}
