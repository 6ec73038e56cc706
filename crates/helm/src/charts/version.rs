//! Which of a chart's versions is meant.

use super::index::Entry;
use crate::Error;
use semver::{Version, VersionReq};

/// The entry of a version: the one written exactly so, else the newest that the range takes in.
///
/// Ranges are read as Helm reads them: a bare partial version (`1.2`, `1.x`) is all versions that begin so, spaces and
/// commas join, `||` parts alternatives, `a - b` is from a to b. Pre-releases count only where the range names one.
///
/// # Errors
/// [`Error::VersionInvalid`] where nothing is written exactly so and it is no range.
pub(super) fn choose<'a>(entries: &'a [Entry], chart: &str, wanted: &str) -> Result<Option<&'a Entry>, Error> {
    if let Some(exact) = entries.iter().find(|entry| entry.version == wanted) {
        return Ok(Some(exact));
    }
    let alternatives: Vec<VersionReq> = wanted
        .split("||")
        .map(requirement)
        .collect::<Result<_, _>>()
        .map_err(|reason| Error::VersionInvalid { chart: chart.to_owned(), version: wanted.to_owned(), reason })?;
    let fits = |version: &Version| alternatives.iter().any(|range| range.matches(version));
    Ok(entries
        .iter()
        .filter_map(|entry| Some((parse(&entry.version)?, entry)))
        .filter(|(version, _)| fits(version))
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, entry)| entry))
}

/// The newest versions, joined, for a message.
pub(super) fn newest(entries: &[Entry], count: usize) -> String {
    let mut versions: Vec<(Option<Version>, &str)> =
        entries.iter().map(|entry| (parse(&entry.version), entry.version.as_str())).collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.iter().take(count).map(|(_, text)| *text).collect::<Vec<_>>().join(", ")
}

fn parse(text: &str) -> Option<Version> {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

fn requirement(text: &str) -> Result<VersionReq, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty; `*` means any version".to_owned());
    }
    if let Some((from, to)) = text.split_once(" - ") {
        let joined = format!(">={}, <={}", plain(from), plain(to));
        return VersionReq::parse(&joined).map_err(|error| error.to_string());
    }
    // An operator may stand apart from its version: `>= 1.2`.
    let mut comparators: Vec<String> = Vec::new();
    let mut operator = String::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        if word.chars().all(|c| "<>=~^!".contains(c)) {
            operator = word.to_owned();
            continue;
        }
        let split = word.find(|c| !"<>=~^!".contains(c)).unwrap_or(word.len());
        let (sign, version) = word.split_at(split);
        let sign = if sign.is_empty() { std::mem::take(&mut operator) } else { sign.to_owned() };
        let sign = match sign.as_str() {
            "" => "=",
            "=>" => ">=",
            "=<" => "<=",
            "!=" => return Err("`!=` is not supported".to_owned()),
            other => other,
        };
        let version = plain(version);
        comparators.push(if version == "*" { version } else { format!("{sign}{version}") });
    }
    VersionReq::parse(&comparators.join(", ")).map_err(|error| error.to_string())
}

/// Without the leading `v`, and with wildcards as the crate writes them: `1.x` is `1`.
fn plain(version: &str) -> String {
    let version = version.trim();
    let version = version.strip_prefix('v').unwrap_or(version);
    let kept: Vec<&str> = version.split('.').take_while(|part| !matches!(*part, "x" | "X" | "*")).collect();
    if kept.is_empty() { "*".to_owned() } else { kept.join(".") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn entries() -> Vec<Entry> {
        ["0.1.0", "1.0.0", "1.2.0", "1.2.5", "1.3.0-rc.1", "2.0.0", "nightly"]
            .map(|version| Entry { version: version.to_owned(), url: String::new(), digest: None })
            .into()
    }

    #[rstest]
    #[case("1.2.0", Some("1.2.0"))]
    #[case("nightly", Some("nightly"))]
    #[case("1.2", Some("1.2.5"))]
    #[case("1.x", Some("1.2.5"))]
    #[case("1.2.x", Some("1.2.5"))]
    #[case("^1.0.0", Some("1.2.5"))]
    #[case("~1.2.0", Some("1.2.5"))]
    #[case(">= 1.0.0 < 1.2.5", Some("1.2.0"))]
    #[case(">=1.0.0, <2", Some("1.2.5"))]
    #[case("0.1.0 - 1.2.0", Some("1.2.0"))]
    #[case("0.1.x || 1.0.x", Some("1.0.0"))]
    #[case("*", Some("2.0.0"))]
    #[case("v1.0.0", Some("1.0.0"))]
    #[case("^1.3.0-rc.0", Some("1.3.0-rc.1"))]
    #[case("9.9.9", None)]
    fn a_range_takes_its_newest_version(#[case] wanted: &str, #[case] expected: Option<&str>) {
        let entries = entries();
        let found = choose(&entries, "voice", wanted).unwrap();
        assert_eq!(found.map(|entry| entry.version.as_str()), expected);
    }

    #[rstest]
    #[case("")]
    #[case("latest")]
    #[case("!=1.0.0")]
    fn what_is_no_range_is_an_error(#[case] wanted: &str) {
        assert!(matches!(choose(&entries(), "voice", wanted), Err(Error::VersionInvalid { .. })));
    }

    #[test]
    fn the_newest_versions_are_listed_first() {
        assert_eq!(newest(&entries(), 3), "2.0.0, 1.3.0-rc.1, 1.2.5");
    }
}
