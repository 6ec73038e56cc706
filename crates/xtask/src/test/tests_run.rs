//! `cargo test`, its output passed on as it comes, and read on the way for how long each test program took.

use std::io::{BufRead, BufReader, IsTerminal, PipeReader, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context;

use super::table::{Outcome, Table};
use crate::cargo;
use tagboat_testkit::voice_infra;

/// How long without a line before cargo is asked whether it has ended.
const TICK: Duration = Duration::from_millis(500);

/// Runs all tests of the workspace. One that fails does not hide those after it.
pub(super) fn run(arguments: &[String], table: &mut Table) -> anyhow::Result<Outcome> {
    let mut command = cargo::cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.args(arguments);
    if let Ok(folder) = voice_infra::folder() {
        command.env(voice_infra::VARIABLE, folder);
    }
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    // One pipe for both: cargo names a test program on standard error, the program's own lines are on standard output.
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    command.stdout(writer.try_clone().context("sharing the pipe")?).stderr(writer);
    let mut child = command.spawn().context("cargo cannot be run")?;
    // The command holds the pipe's writing ends, which would keep the pipe open for ever.
    drop(command);
    let lines = lines_of(reader);
    let mut programs = Programs { current: String::new(), table };
    let status = loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => programs.pass_on(&line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break child.wait().context("waiting for cargo")?,
        }
        // A process that a test left behind may have the pipe, too: cargo's end counts, not the pipe's.
        if let Some(status) = child.try_wait().context("waiting for cargo")? {
            while let Ok(line) = lines.recv_timeout(TICK) {
                programs.pass_on(&line);
            }
            break status;
        }
    };
    super::finish(status)
}

/// The lines as they come.
fn lines_of(reader: PipeReader) -> mpsc::Receiver<Vec<u8>> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Which test program runs, and the table for their times.
struct Programs<'a> {
    current: String,
    table: &'a mut Table,
}

impl Programs<'_> {
    fn pass_on(&mut self, line: &[u8]) {
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(line).and_then(|()| output.write_all(b"\n")).and_then(|()| output.flush());
        let line = without_colours(&String::from_utf8_lossy(line));
        if let Some(name) = program_of(&line) {
            self.current = name;
        } else if let Some(took) = time_of(&line) {
            self.table.add_program(std::mem::take(&mut self.current), took);
        }
    }
}

/// `Running tests/git/main.rs (target/debug/deps/git-0123456789abcdef)` as `git: tests/git/main.rs`. The file's name has
/// the crate's name or the test's, whichever cargo built; the source tells the rest.
fn program_of(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} (documentation)"));
    }
    let (source, file) = line.strip_prefix("Running ")?.rsplit_once(" (")?;
    let file = file.trim_end_matches(')').rsplit('/').next()?;
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    Some(format!("{name} ({})", source.trim_start_matches("unittests ")))
}

/// The seconds of `test result: ok. 3 passed; …; finished in 1.25s`.
fn time_of(line: &str) -> Option<Duration> {
    let (_, seconds) = line.strip_prefix("test result: ")?.rsplit_once("finished in ")?;
    let seconds: f64 = seconds.trim_end().strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The line without escape sequences that set colours.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_their_times_are_read_from_cargos_lines() {
        let running =
            "\u{1b}[1m\u{1b}[32m     Running\u{1b}[0m tests/git/main.rs (target/debug/deps/git-0123456789abcdef)";
        assert_eq!(program_of(&without_colours(running)).unwrap(), "git (tests/git/main.rs)");
        let unit = "     Running unittests src/lib.rs (target/debug/deps/tagboat_git-0123456789abcdef)";
        assert_eq!(program_of(unit).unwrap(), "tagboat_git (src/lib.rs)");
        assert_eq!(program_of("   Doc-tests tagboat_git").unwrap(), "tagboat_git (documentation)");
        assert_eq!(program_of("   Compiling tagboat-git v0.1.0"), None);
        let result = "test result: \u{1b}[32mok\u{1b}[0m. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s";
        assert_eq!(time_of(&without_colours(result)), Some(Duration::from_millis(1_250)));
        assert_eq!(time_of("test a ... ok"), None);
    }
}
