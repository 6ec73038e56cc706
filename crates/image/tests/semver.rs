//! `semver:` filters agree with Masterminds/semver 3.1.1, on answers that the Go library gave once.
//!
//! `golden/masterminds-semver-3.1.1.tsv` has the versions tried, those that parse, those in order (the highest first),
//! and then one line for each constraint: the constraint, quoted, and the versions that satisfy it, or `!` if the library
//! refuses it.

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;

use tagboat_image::{Candidate, Filter, Tag, compare};

const GOLDEN: &str = include_str!("golden/masterminds-semver-3.1.1.tsv");

fn row(name: &str) -> Vec<Tag> {
    let line = GOLDEN.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')).expect("the row");
    line.split(' ').map(|text| Tag::new(text).expect("a tag")).collect()
}

#[test]
fn every_constraint_is_read_as_the_go_library_reads_it() {
    let versions = row("versions");
    let mut tried = 0;
    let mut failures = Vec::new();
    for line in GOLDEN.lines().skip(3) {
        let (quoted, expected) = line.split_once('\t').expect("two columns");
        let constraint: String = serde_json::from_str(quoted).expect("a quoted constraint");
        tried += 1;
        let actual = match Filter::parse(&format!("semver:{constraint}")) {
            Err(_) => "!".to_owned(),
            Ok(filter) => {
                let matching = versions.iter().filter(|version| filter.matches(version));
                matching.map(Tag::as_str).collect::<Vec<_>>().join(" ")
            }
        };
        if actual != expected {
            let (a, e): (BTreeSet<_>, BTreeSet<_>) = (actual.split(' ').collect(), expected.split(' ').collect());
            failures.push(format!(
                "{quoted}: too many {:?}, missing {:?}",
                a.difference(&e).collect::<Vec<_>>(),
                e.difference(&a).collect::<Vec<_>>()
            ));
        }
    }
    assert!(tried > 400, "{tried} constraints");
    assert!(failures.is_empty(), "{} of {tried}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_version_is_in_its_place() {
    let filter = Filter::parse("semver:*").expect("a filter");
    assert!(filter.is_ordered_by_version());
    let mut candidates: Vec<_> = row("parse").into_iter().map(Candidate::named).collect();
    candidates.sort_by(|a, b| compare(&filter, a, b));
    assert_eq!(candidates.into_iter().map(|candidate| candidate.tag).collect::<Vec<_>>(), row("order"));
}

#[test]
fn what_is_no_version_is_never_taken() {
    let parsing = row("parse");
    for tag in row("versions").iter().filter(|tag| !parsing.contains(tag)) {
        for constraint in ["semver:*", "semver:>=0-0", "semver:!=9"] {
            assert!(!Filter::parse(constraint).expect("a filter").matches(tag), "{constraint} {tag}");
        }
    }
}

#[test]
fn a_malformed_constraint_is_shown_its_place() {
    for (text, column) in [
        ("semver:>=1.x.y.z", 13),
        ("semver:1.2.3 || ", 17),
        ("semver:>=1, <>2", 14),
        ("semver: 1 - 2 foo", 15),
        ("semver:1.xx", 8),
        ("semver:", 8),
    ] {
        let error = Filter::parse(text).expect_err("an error");
        assert_eq!(error.column(), column, "{error}");
    }
}
