//! A year's edits in one process: the test that makes them measures them, too.

use anyhow::{Context, bail};

use super::report::Figure;
use crate::cargo;
use tagboat_testkit::voice_infra;

const TEST: &str = "every_decision_of_2020_gives_the_commit_that_flux_made_or_less";

/// Runs the test in the release build and reads its line.
pub(super) fn measure() -> anyhow::Result<Figure> {
    let name = "images set in a year's history, in one process".to_owned();
    let folder = match voice_infra::folder() {
        Ok(folder) => folder,
        Err(missing) => return Ok(Figure { name, value: format!("not measured: {missing}"), aim: AIM }),
    };
    let mut test = cargo::cargo(&["test", "--release", "--package", "tagboat-manifest", "--test", "voice_history"]);
    test.args(["--", "--nocapture", "--exact", TEST]).env(voice_infra::VARIABLE, folder);
    let result = test.output().context("cargo cannot be run")?;
    if !result.status.success() {
        bail!("the test {TEST} failed:\n{}", String::from_utf8_lossy(&result.stderr).trim_end());
    }
    let text = String::from_utf8_lossy(&result.stdout);
    let (edits, took) = read(&text).with_context(|| format!("the test {TEST} said nothing of its time:\n{text}"))?;
    Ok(Figure { name, value: format!("{edits} in {took}"), aim: AIM })
}

const AIM: &str = "658 in under 200 ms";

/// Number and time of `658 of 666 decisions byte for byte, edited in 81.5ms`; the time is that of all decisions.
fn read(text: &str) -> Option<(String, String)> {
    let line = text.lines().find(|line| line.contains(" byte for byte, edited in "))?;
    let (numbers, took) = line.split_once(" decisions byte for byte, edited in ")?;
    // With `--nocapture` the line may follow `test NAME ... ` on the same line.
    let mut words = numbers.rsplit(' ');
    let (all, exact) = (words.next()?, words.nth(1)?);
    Some((format!("{all} ({exact} byte for byte)"), rounded(took.trim())))
}

/// `81.512345ms` as `82 ms`; other units stay as they are.
fn rounded(took: &str) -> String {
    match took.strip_suffix("ms").and_then(|number| number.parse::<f64>().ok()) {
        Some(milliseconds) => format!("{milliseconds:.0} ms"),
        None => took.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_line_is_read() {
        let text = "running 1 test\ntest x ... 658 of 666 decisions byte for byte, edited in 81.512345ms\nok\n";
        assert_eq!(read(text).unwrap(), ("666 (658 byte for byte)".into(), "82 ms".into()));
        assert_eq!(read("ok"), None);
        assert_eq!(rounded("1.2s"), "1.2s");
    }
}
