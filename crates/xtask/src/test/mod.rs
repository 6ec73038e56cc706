//! `cargo xtask test`: formats, lints, documentation and all tests, with everything that they need.
//!
//! The first step that fails ends it with that step's status; the table of where the time went comes in any case.

mod duration;
mod table;
mod tests_run;

use std::process::{Command, ExitCode, ExitStatus};
use std::time::Instant;

use anyhow::Context;

use crate::progress::say;
use crate::{cargo, components, packages, workspace};
use table::{Outcome, Row, Table};
use tagboat_testkit::voice_infra;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `cargo test --workspace`
    #[arg(last = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

/// A step: its name in the table, and what it does.
struct Step<'a> {
    name: &'static str,
    run: Box<Act<'a>>,
}

type Act<'a> = dyn Fn(&mut Table) -> anyhow::Result<Outcome> + 'a;

/// Runs `cargo xtask test`.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let missing = voice_infra::folder().err();
    if let Some(missing) = &missing {
        say(&format!("note: tests against a real repository's history will not run: {missing}"));
    }
    let steps = steps(arguments);
    let total = steps.len();
    let mut table = Table::default();
    let mut status = ExitCode::SUCCESS;
    let mut failed = false;
    for (index, step) in steps.into_iter().enumerate() {
        if failed {
            table.add(Row { name: step.name, took: None, outcome: Outcome::NotRun });
            continue;
        }
        say(&format!("\n[{}/{total}] {}", index + 1, step.name));
        let started = Instant::now();
        let outcome = (step.run)(&mut table).unwrap_or_else(|error| {
            say(&format!("error: {error:#}"));
            Outcome::Failed(1)
        });
        if let Outcome::Failed(code) = outcome {
            status = ExitCode::from(code);
            failed = true;
        }
        table.add(Row { name: step.name, took: Some(started.elapsed()), outcome });
    }
    say(&format!("\n{}", table.render()));
    if let Some(missing) = missing {
        say(&format!("not run: tests against a real repository's history ({missing})"));
    }
    status
}

fn steps(arguments: &Arguments) -> Vec<Step<'_>> {
    let cargo_step = |name, line: &'static [&'static str]| Step {
        name,
        run: Box::new(move |_: &mut Table| finish(cargo::cargo(line).status().context("cargo cannot be run")?)),
    };
    vec![
        Step { name: "system packages", run: Box::new(|_| packages::ensure().map(|()| Outcome::Passed)) },
        cargo_step("format: cargo fmt", &["fmt", "--all", "--check"]),
        Step {
            name: "components (Go)",
            run: Box::new(|_| {
                components::ensure(false, &[]).map(|built| if built == 0 { Outcome::UpToDate } else { Outcome::Passed })
            }),
        },
        Step { name: "renderer: go vet", run: Box::new(|_| go("vet")) },
        Step { name: "renderer: go test", run: Box::new(|_| go("test")) },
        cargo_step("lints: cargo clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
        Step { name: "documentation: cargo doc", run: Box::new(|_| documentation()) },
        Step { name: "tests: cargo test", run: Box::new(|table| tests_run::run(&arguments.rest, table)) },
    ]
}

fn go(verb: &str) -> anyhow::Result<Outcome> {
    let mut go = Command::new("go");
    go.args([verb, "./..."]).current_dir(workspace::root().join("crates/helm/renderer"));
    finish(
        go.env("GOWORK", "off")
            .env("CGO_ENABLED", "0")
            .status()
            .with_context(|| format!("`go {verb}` cannot be run"))?,
    )
}

fn documentation() -> anyhow::Result<Outcome> {
    let mut doc = cargo::cargo(&["doc", "--workspace", "--no-deps"]);
    finish(doc.env("RUSTDOCFLAGS", "--deny warnings").status().context("cargo cannot be run")?)
}

/// A child's end as an outcome. One that a signal ended has no status of its own.
fn finish(status: ExitStatus) -> anyhow::Result<Outcome> {
    if status.success() {
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::Failed(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
