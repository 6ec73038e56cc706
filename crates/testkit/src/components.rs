//! Where the third-party components are that `cargo xtask components` builds.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The folder of the built components: `TAGBOAT_COMPONENTS` if it is set, else `components` in the folder that cargo
/// builds into.
pub fn directory() -> PathBuf {
    if let Some(folder) = variable("TAGBOAT_COMPONENTS") {
        return folder;
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.ancestors().nth(2).unwrap_or(manifest);
    // A relative CARGO_TARGET_DIR is relative to where cargo was called; that is the root in all but odd cases.
    let target = variable("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
    target.join("components")
}

/// The path of a component, such as `etcd`, `kubectl` or `tagboat-renderer`.
pub fn path(name: &str) -> Result<PathBuf> {
    let directory = directory();
    let path = directory.join(name);
    if path.exists() { Ok(path) } else { Err(Error::ComponentMissing { name: name.to_owned(), directory }) }
}

/// The path of a program of the operating system; servers are in folders that a user's `PATH` may lack.
pub(crate) fn system(program: &'static str, package: &'static str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/sbin"].iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_absolute() && candidate.is_file())
        .ok_or(Error::ProgramMissing { program, package })
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_is_not_built_is_reported_with_the_command_that_builds_it() {
        let error = path("no-such-component").unwrap_err().to_string();
        assert!(error.contains("no-such-component") && error.contains("cargo xtask components"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_installed_is_reported_with_its_package() {
        let error = system("tagboat-no-such-program", "some-package").unwrap_err().to_string();
        assert!(error.contains("some-package"), "{error}");
    }
}
