//! `cargo xtask components`: builds the servers and tools that `tests/components/go.mod` pins, once.
//!
//! Each output has a stamp, the hash of all that decides its content. A second run compares stamps and does nothing.

mod build;
mod own;
mod pins;
mod stamp;

use std::fs::File;
use std::path::Path;

use anyhow::Context;

use crate::progress::{Step, say};
use crate::workspace;
use build::Component;
use pins::Pins;

/// Arguments of `cargo xtask components`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build everything again, whatever the stamps say
    #[arg(long)]
    force: bool,
    /// Only these components, by name (for example `etcd kube-apiserver`)
    names: Vec<String>,
}

/// Runs `cargo xtask components`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let built = ensure(arguments.force, &arguments.names)?;
    if built == 0 {
        say(&format!("components are up to date in {}", workspace::components().display()));
    }
    Ok(())
}

/// Makes sure that every component is there and current; says how many had to be made.
pub(crate) fn ensure(force: bool, names: &[String]) -> anyhow::Result<usize> {
    let output = workspace::components();
    std::fs::create_dir_all(&output).with_context(|| format!("creating {}", output.display()))?;
    // Two commands at once (a test run beside the demo) must not build the same file.
    let lock = File::create(output.join(".lock")).context("creating the lock file of the components")?;
    if lock.try_lock().is_err() {
        say("another command is building the components; waiting for it");
        lock.lock().context("waiting for the lock of the components")?;
    }
    let pins = Pins::read(&workspace::root().join("tests/components"))?;
    let all = build::all(&pins)?;
    refuse_unknown(&all, names)?;
    let wanted =
        all.into_iter().filter(|component| names.is_empty() || names.iter().any(|name| name == component.name()));

    let mut stale = Vec::new();
    for component in wanted {
        let stamp = component.stamp(&pins)?;
        if force || !stamp::is_current(&output, component.name(), &stamp) {
            stale.push((component, stamp));
        }
    }
    if stale.is_empty() {
        return Ok(0);
    }
    announce(&stale);
    make(&pins, &output, &stale)?;
    Ok(stale.len())
}

fn make(pins: &Pins, output: &Path, stale: &[(Component, String)]) -> anyhow::Result<()> {
    if stale.iter().any(|(component, _)| component.needs_go()) {
        build::require_go()?;
    }
    for (index, (component, stamp)) in stale.iter().enumerate() {
        let step = Step::start(index + 1, stale.len(), component.name());
        stamp::remove(output, component.name())?;
        component.make(pins, output).with_context(|| format!("making the component {}", component.name()))?;
        stamp::write(output, component.name(), stamp)?;
        step.end(component.outcome());
    }
    Ok(())
}

fn announce(stale: &[(Component, String)]) {
    let seconds = stale.iter().map(|(component, _)| component.expected_seconds()).sum::<u64>();
    let time = match seconds.div_ceil(60) {
        0 => String::new(),
        minutes => format!(": up to {minutes} min on two cores, once"),
    };
    say(&format!("making {} of the components in {}{time}", stale.len(), workspace::components().display()));
}

fn refuse_unknown(all: &[Component], names: &[String]) -> anyhow::Result<()> {
    let known: Vec<_> = all.iter().map(Component::name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        anyhow::bail!("there is no component {name:?}; the components are {}", known.join(", "));
    }
    Ok(())
}
