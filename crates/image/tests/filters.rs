//! Filters and the order of what passes them.

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use std::cmp::Ordering;

use jiff::Timestamp;
use proptest::prelude::*;
use rstest::rstest;
use tagboat_image::{Candidate, Filter, Tag, compare, more_specific_first};

fn filter(text: &str) -> Filter {
    Filter::parse(text).expect("a filter")
}

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a tag")
}

#[rstest]
#[case("glob:main-*", "main-1a2b", true)]
#[case("main-*", "main-1a2b", true)]
#[case("glob:main-*", "main-", true)]
#[case("glob:main-*", "my-main-1", false)]
#[case("glob:stage-", "stage-", true)]
#[case("glob:stage-", "stage-v1", false)]
#[case("*", "anything", true)]
#[case("glob:**", "anything", true)]
#[case("glob:*-v*-rc*", "stage-v1-rc2", true)]
#[case("glob:*-v*-rc*", "stage-v1", false)]
#[case("glob:a*a", "a", false)]
#[case("glob:a*a", "aa", true)]
#[case("glob:*ab*ab", "ab", false)]
#[case("glob:*ab*ab", "abab", true)]
#[case("glob:a*b*c", "abbc", true)]
#[case("glob:*c", "abc", true)]
#[case("glob:*c", "cd", false)]
#[case("regexp:^v[0-9]+$", "v12", true)]
#[case("regexp:^v[0-9]+$", "v12a", false)]
#[case("regex:^(v[0-9]+.[0-9]+.[0-9]+)$", "v1.2.3", true)]
#[case("regexp:[0-9]", "v1-unanchored", true)]
#[case("regexp:^[{2000}]+", "v2", false)]
fn a_filter_matches_what_flux_matched(#[case] text: &str, #[case] name: &str, #[case] matches: bool) {
    assert_eq!(filter(text).matches(&tag(name)), matches);
}

#[rstest]
#[case("glob:latest", "latest", true)]
#[case("latest", "latest", true)]
#[case("glob:*", "latest", false)]
#[case("glob:*", "LATEST", false)]
#[case("glob:latest*", "latest", false)]
#[case("regexp:^latest$", "latest", false)]
#[case("glob:*", "main-latest", true)]
fn latest_is_a_candidate_only_where_the_filter_names_it(#[case] text: &str, #[case] name: &str, #[case] admits: bool) {
    assert_eq!(filter(text).admits(&tag(name)), admits);
}

#[rstest]
#[case("", "has no pattern", 1)]
#[case("glob:", "has no pattern", 6)]
#[case("regexp:", "has no pattern", 8)]
#[case("glob: main-*", "no tag contains ' '", 6)]
#[case("glob:[", "no tag contains '['", 6)]
#[case("glob:v?", "no tag contains '?'", 7)]
#[case("glob:ünï", "no tag contains 'ü'", 6)]
#[case("glob:-x", "no tag begins with \"-\"", 6)]
#[case("semvr:~1", "unknown kind of filter \"semvr:\"", 1)]
#[case("Glob:x", "unknown kind of filter \"Glob:\"", 1)]
#[case("glob:glob:x", "no tag contains ':'", 10)]
#[case("regexp:(", "unclosed group", 8)]
#[case("regexp:a[z-a]", "invalid character class range", 10)]
#[case("regexp: ^v1", "no tag contains ' '", 8)]
#[case("regexp:(?:){4294967295}", "repeats 4294967295 times, at most 1000 are allowed", 12)]
#[case("regexp:a{2,99999999999999999999}", "at most 1000 are allowed", 9)]
#[case("regexp:(a{1000}){1000}", "compiles to more than", 8)]
fn a_filter_that_could_never_match_is_refused(#[case] text: &str, #[case] reason: &str, #[case] column: usize) {
    let error = Filter::parse(text).expect_err("an error");
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(error.column(), column, "{error}");
    assert_eq!(error.caret(text), format!("{text}\n{}^", " ".repeat(column - 1)));
}

#[test]
fn an_unknown_kind_of_filter_is_told_the_known_ones() {
    let error = Filter::parse("semvr:~1").expect_err("an error").to_string();
    assert!(error.contains("known are glob:, semver:, regexp: and regex:"), "{error}");
}

#[test]
fn a_pattern_has_a_longest_length() {
    assert!(Filter::parse(&format!("glob:{}", "x".repeat(128))).is_ok());
    assert!(Filter::parse(&format!("glob:{}", "x".repeat(129))).is_err());
    assert!(Filter::parse(&format!("regexp:{}", "x".repeat(1024))).is_ok());
    let error = Filter::parse(&format!("regexp:{}", "x".repeat(1025))).expect_err("an error").to_string();
    assert!(error.contains("at most 1024 are allowed") && error.len() < 400, "{error}");
}

#[rstest]
#[case("main-*", "glob:main-*")]
#[case("glob:main-*", "glob:main-*")]
#[case("regex:^v", "regexp:^v")]
fn a_filter_displays_with_its_prefix(#[case] text: &str, #[case] display: &str) {
    assert_eq!(filter(text).to_string(), display);
    assert_eq!(filter(text).text(), text);
    assert_eq!(filter(text), filter(display));
}

#[test]
fn no_filter_is_the_one_that_matches_all() {
    assert_eq!(Filter::default(), filter("*"));
    assert!(Filter::default().is_any());
}

fn candidate(name: &str, created: Option<&str>, pushed: Option<&str>) -> Candidate {
    let time = |text: Option<&str>| text.map(|text| text.parse::<Timestamp>().expect("a time"));
    Candidate { created: time(created), pushed: time(pushed), ..Candidate::named(tag(name)) }
}

#[test]
fn the_newest_comes_first_by_push_time_where_it_is_known() {
    let mut candidates = [
        candidate("unknown", None, None),
        candidate("retagged", Some("2020-01-01T00:00:00Z"), Some("2020-12-01T00:00:00Z")),
        candidate("built-late", Some("2020-11-01T00:00:00Z"), None),
        candidate("old", Some("2020-10-01T00:00:00Z"), Some("2020-10-02T00:00:00Z")),
    ];
    candidates.sort_by(|a, b| compare(&Filter::any(), a, b));
    let order: Vec<_> = candidates.iter().map(|candidate| candidate.tag.as_str()).collect();
    assert_eq!(order, ["retagged", "built-late", "old", "unknown"]);
}

#[test]
fn of_one_time_the_most_specific_name_comes_first() {
    let time = Some("2020-01-01T00:00:00Z");
    let mut candidates = ["v2", "v2.1", "w", "v2.1.3", "v10", "v2-alpine"].map(|name| candidate(name, time, None));
    candidates.sort_by(|a, b| compare(&Filter::any(), a, b));
    let order: Vec<_> = candidates.iter().map(|candidate| candidate.tag.as_str()).collect();
    assert_eq!(order, ["v10", "v2.1.3", "v2.1", "v2", "v2-alpine", "w"]);
}

/// Every way to lay the pattern over the name.
fn slow_glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(b'*'), _) => slow_glob(&pattern[1..], name) || (!name.is_empty() && slow_glob(pattern, &name[1..])),
        (Some(a), Some(b)) if a == b => slow_glob(&pattern[1..], &name[1..]),
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_glob_agrees_with_trying_every_way(pattern in "[ab*]{1,7}", name in "[ab]{1,9}") {
        prop_assert_eq!(filter(&pattern).matches(&tag(&name)), slow_glob(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn the_order_of_names_is_total(names in proptest::collection::vec("[ab1.-]{0,3}".prop_map(|s| tag(&format!("v{s}"))), 3)) {
        let [a, b, c] = &names[..] else { unreachable!() };
        prop_assert_eq!(more_specific_first(a, b), more_specific_first(b, a).reverse());
        prop_assert_eq!(more_specific_first(a, b) == Ordering::Equal, a == b);
        if more_specific_first(a, b).is_lt() && more_specific_first(b, c).is_lt() {
            prop_assert!(more_specific_first(a, c).is_lt());
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "((glob|regexp|regex|semver):)?\\PC{0,40}") {
        let _ = Filter::parse(&text).map(|filter| filter.matches(&tag("v1.2.3")));
    }
}
