//! Each component: what it is made from, how, and how long that takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::pins::Pins;
use super::{own, stamp};
use crate::{packages, workspace};

/// Programs of `tests/components/go.mod`: name, Go package, seconds that its build takes on two cores after the ones
/// before it (they share most of what they compile).
const PROGRAMS: &[(&str, &str, u64)] = &[
    ("etcd", "go.etcd.io/etcd/server/v3", 60),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 400),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl", 80),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", 150),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", 20),
    ("kwok", "sigs.k8s.io/kwok/cmd/kwok", 20),
    ("registry", "github.com/distribution/distribution/v3/cmd/registry", 60),
    ("helm", "helm.sh/helm/v4/cmd/helm", 30),
];

/// Files that KWOK's module carries and its binary does not, joined into one of ours.
const JOINED: &[(&str, &[&str])] = &[
    (
        "kwok-stages.yaml",
        &[
            "kustomize/stage/node/fast/node-initialize.yaml",
            "kustomize/stage/node/heartbeat/node-heartbeat.yaml",
            "kustomize/stage/pod/fast/pod-ready.yaml",
            "kustomize/stage/pod/fast/pod-complete.yaml",
            "kustomize/stage/pod/fast/pod-delete.yaml",
        ],
    ),
    (
        "kwok-crds.yaml",
        &[
            "kustomize/crd/bases/kwok.x-k8s.io_logs.yaml",
            "kustomize/crd/bases/kwok.x-k8s.io_clusterlogs.yaml",
            "kustomize/crd/bases/kwok.x-k8s.io_portforwards.yaml",
        ],
    ),
];

const RENDERER: &str = "tagboat-renderer";

/// One output in the components' folder.
pub(crate) enum Component {
    /// A program built from the pinned modules.
    Program { name: &'static str, package: &'static str, seconds: u64 },
    /// The user's own binary, linked to.
    Own { name: &'static str, path: PathBuf },
    /// Files of KWOK's module, joined.
    Joined { name: &'static str, sources: &'static [&'static str] },
    /// Tagboat's own renderer, which is Go.
    Renderer { folder: PathBuf },
}

/// Every component, in the order in which they are made.
pub(crate) fn all(pins: &Pins) -> anyhow::Result<Vec<Component>> {
    let mut all = Vec::new();
    for &(name, package, seconds) in PROGRAMS {
        all.push(match own::find(name, pins)? {
            Some(path) => Component::Own { name, path },
            None => Component::Program { name, package, seconds },
        });
    }
    all.extend(JOINED.iter().map(|&(name, sources)| Component::Joined { name, sources }));
    let folder = workspace::root().join("crates/helm/renderer");
    if folder.join("go.mod").is_file() {
        all.push(Component::Renderer { folder });
    }
    Ok(all)
}

/// Fails with what to install where the Go tool is missing.
pub(crate) fn require_go() -> anyhow::Result<()> {
    if packages::find("go").is_none() {
        bail!(
            "the components are written in Go, and there is no `go` in PATH; install Go 1.26 or later \
             (https://go.dev/doc/install), or set KUBEBUILDER_ASSETS for etcd, kube-apiserver and kubectl"
        );
    }
    Ok(())
}

impl Component {
    /// The output's file name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Program { name, .. } | Self::Own { name, .. } | Self::Joined { name, .. } => name,
            Self::Renderer { .. } => RENDERER,
        }
    }

    /// Whether it takes the Go tool to make it.
    pub(crate) fn needs_go(&self) -> bool {
        !matches!(self, Self::Own { .. })
    }

    /// How long it takes at most on two cores with nothing in Go's cache.
    pub(crate) fn expected_seconds(&self) -> u64 {
        match self {
            Self::Program { seconds, .. } => *seconds,
            Self::Own { .. } | Self::Joined { .. } => 0,
            Self::Renderer { .. } => 40,
        }
    }

    /// What a progress line says when it is done.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Program { .. } | Self::Renderer { .. } => "built",
            Self::Own { .. } => "found (your own)",
            Self::Joined { .. } => "copied",
        }
    }

    /// The hash of all that decides the output.
    pub(crate) fn stamp(&self, pins: &Pins) -> anyhow::Result<String> {
        let [module, sums] = &pins.files;
        Ok(match self {
            Self::Program { package, .. } => {
                stamp::of(&[b"program", package.as_bytes(), module, sums, pins.linker_flags()?.as_bytes()])
            }
            Self::Own { path, .. } => {
                let metadata = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
                let modified = metadata.modified().ok().map(|time| format!("{time:?}")).unwrap_or_default();
                stamp::of(&[b"own", path.as_os_str().as_encoded_bytes(), modified.as_bytes()])
            }
            Self::Joined { sources, .. } => stamp::of(&[b"joined", sources.join("\n").as_bytes(), module, sums]),
            Self::Renderer { folder } => sources_stamp(folder)?,
        })
    }

    /// Makes it.
    pub(crate) fn make(&self, pins: &Pins, output: &Path) -> anyhow::Result<()> {
        match self {
            Self::Program { name, package, .. } => {
                go_build(&pins.folder, &pins.linker_flags()?, &output.join(name), package)
            }
            Self::Own { name, path } => link(path, &output.join(name)),
            Self::Joined { name, sources } => join(&pins.folder, sources, &output.join(name)),
            Self::Renderer { folder } => go_build(folder, "-s -w", &output.join(RENDERER), "."),
        }
    }
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    // A go.work above the repository would pull these modules into another project's versions.
    command.current_dir(folder).env("GOWORK", "off").env("CGO_ENABLED", "0").stdin(Stdio::null());
    command
}

fn go_build(folder: &Path, flags: &str, output: &Path, package: &str) -> anyhow::Result<()> {
    // A link to a user's own binary, left from an earlier run, must not be written through.
    if output.is_symlink() {
        fs::remove_file(output)?;
    }
    let result = go(folder)
        .args(["build", "-trimpath", "-ldflags", flags, "-o"])
        .arg(output)
        .arg(package)
        .output()
        .context("`go build` cannot be run")?;
    if !result.status.success() {
        bail!(
            "`go build {package}` in {} failed:\n{}",
            folder.display(),
            String::from_utf8_lossy(&result.stderr).trim_end()
        );
    }
    Ok(())
}

fn link(path: &Path, output: &Path) -> anyhow::Result<()> {
    let path = fs::canonicalize(path)?;
    if output.is_symlink() || output.exists() {
        fs::remove_file(output)?;
    }
    std::os::unix::fs::symlink(&path, output)
        .with_context(|| format!("linking {} to {}", output.display(), path.display()))
}

fn join(folder: &Path, sources: &[&str], output: &Path) -> anyhow::Result<()> {
    let module = kwok_module(folder)?;
    let mut joined = String::new();
    for source in sources {
        let path = module.join(source);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if !text.starts_with("---") {
            joined.push_str("---\n");
        }
        joined.push_str(text.trim_end());
        joined.push('\n');
    }
    fs::write(output, joined).with_context(|| format!("writing {}", output.display()))
}

fn kwok_module(folder: &Path) -> anyhow::Result<PathBuf> {
    // `download` unpacks the module where it is not yet, and says where it is.
    let result = go(folder)
        .args(["mod", "download", "-json", "sigs.k8s.io/kwok"])
        .output()
        .context("`go mod download` cannot be run")?;
    if !result.status.success() {
        bail!("`go mod download sigs.k8s.io/kwok` failed:\n{}", String::from_utf8_lossy(&result.stderr).trim_end());
    }
    let answer: serde_json::Value =
        serde_json::from_slice(&result.stdout).context("`go mod download -json` printed no JSON")?;
    answer["Dir"].as_str().map(PathBuf::from).context("`go mod download -json` named no folder for sigs.k8s.io/kwok")
}

/// The hash of a Go module's own files: every `.go`, `go.mod` and `go.sum` below the folder, with its name.
fn sources_stamp(folder: &Path) -> anyhow::Result<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("reading {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "go" || e == "mod" || e == "sum") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut parts: Vec<Vec<u8>> = vec![b"renderer".to_vec()];
    for file in files {
        parts.push(file.strip_prefix(folder).unwrap_or(&file).as_os_str().as_encoded_bytes().to_vec());
        parts.push(fs::read(&file).with_context(|| format!("reading {}", file.display()))?);
    }
    Ok(stamp::of(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_renderers_stamp_follows_its_sources_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("go.mod"), "module x").unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/a.go"), "package a").unwrap();
        let first = sources_stamp(folder.path()).unwrap();
        fs::write(folder.path().join("README.md"), "words").unwrap();
        assert_eq!(sources_stamp(folder.path()).unwrap(), first);
        fs::write(folder.path().join("inner/a.go"), "package b").unwrap();
        assert_ne!(sources_stamp(folder.path()).unwrap(), first);
    }

    #[test]
    fn every_component_has_a_name_of_its_own() {
        let pins = Pins::read(&workspace::root().join("tests/components")).unwrap();
        let names: Vec<_> = all(&pins).unwrap().iter().map(|component| component.name().to_owned()).collect();
        assert!(names.contains(&"kwok-stages.yaml".to_owned()), "{names:?}");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len(), "a name stands once");
    }
}
