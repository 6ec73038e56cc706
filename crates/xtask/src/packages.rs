//! What only the operating system's packages have. One list, for `test`, for the demo and for CI.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::progress::say;

/// A program that tests or the demo run, and the Debian and Ubuntu package that has it.
struct Package {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

/// The one list.
const PACKAGES: &[Package] = &[
    Package { program: "sshd", package: "openssh-server", why: "git over SSH" },
    Package { program: "ssh", package: "openssh-client", why: "git over SSH" },
    Package { program: "git", package: "git", why: "git repositories and their transport" },
    Package { program: "gpg", package: "gnupg", why: "signed commits" },
    Package { program: "strace", package: "strace", why: "what a process really opens and sends" },
    Package { program: "setpriv", package: "util-linux", why: "servers that die with their test" },
];

/// Arguments of `cargo xtask packages`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only say what is missing, and fail if anything is
    #[arg(long)]
    check: bool,
}

/// Runs `cargo xtask packages`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.check {
        let missing = missing();
        if !missing.is_empty() {
            bail!(explanation(&missing, None));
        }
        return Ok(());
    }
    ensure()
}

/// Installs what is missing where that is allowed without a question; else fails with the one command to type.
pub(crate) fn ensure() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        bail!(explanation(&missing, Some("this system has no apt-get")));
    }
    let root = nix::unistd::geteuid().is_root();
    if !root && !sudo_asks_nothing() {
        bail!(explanation(&missing, Some("this user is not root and sudo would ask for a password")));
    }
    let names = names(&missing);
    say(&format!("installing {} with apt-get", names.join(" ")));
    // The index may be missing (fresh image) or stale (package gone from the mirror): update once and try again.
    if apt_get(root, &install(&names))? {
        return verify();
    }
    if apt_get(root, &["update".to_owned()])? && apt_get(root, &install(&names))? {
        return verify();
    }
    bail!(explanation(&missing, Some("apt-get failed, see above")));
}

fn verify() -> anyhow::Result<()> {
    let still = missing();
    if still.is_empty() {
        Ok(())
    } else {
        bail!(explanation(&still, Some("apt-get installed the packages, but the programs are not found")))
    }
}

fn install(names: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["install", "--yes", "--quiet", "--no-install-recommends"].iter().map(|&a| a.to_owned()).collect();
    arguments.extend(names.iter().map(|&name| name.to_owned()));
    arguments
}

fn apt_get(root: bool, arguments: &[String]) -> anyhow::Result<bool> {
    let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
    if root {
        command.env("DEBIAN_FRONTEND", "noninteractive");
    } else {
        command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    let status =
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status().context("apt-get cannot be run")?;
    Ok(status.success())
}

fn sudo_asks_nothing() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn missing() -> Vec<&'static Package> {
    PACKAGES.iter().filter(|package| find(package.program).is_none()).collect()
}

fn names(missing: &[&'static Package]) -> Vec<&'static str> {
    let mut names: Vec<_> = missing.iter().map(|package| package.package).collect();
    names.dedup();
    names
}

fn explanation(missing: &[&'static Package], reason: Option<&str>) -> String {
    let mut text = String::from("programs are missing that tests and the demo need");
    if let Some(reason) = reason {
        text.push_str(&format!(", and {reason}"));
    }
    text.push_str(":\n");
    for package in missing {
        text.push_str(&format!("  {:8} ({}; package {})\n", package.program, package.why, package.package));
    }
    text.push_str(&format!("type:  sudo apt-get install --yes {}", names(missing).join(" ")));
    text
}

/// Finds a program in PATH or where the system keeps its servers (`sshd` is in sbin, which a user's PATH may lack).
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_explained_with_the_one_command_to_type() {
        let text = explanation(&[&PACKAGES[0], &PACKAGES[3]], Some("this system has no apt-get"));
        assert!(text.contains("sshd"), "{text}");
        assert!(text.contains("no apt-get"), "{text}");
        assert!(text.ends_with("type:  sudo apt-get install --yes openssh-server gnupg"), "{text}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_not_found() {
        assert!(find("tagboat-no-such-program").is_none());
        assert!(find("ls").is_some());
    }
}
