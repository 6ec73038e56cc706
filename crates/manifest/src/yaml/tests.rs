//! YAML reads as `kubectl` reads it, and edits look at it as everybody does.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::Value;

use super::{MAX_DEPTH, Place, load, stays_a_string, to_json};

/// What `sigs.k8s.io/yaml` 1.6.0, which `kubectl` uses, made of each text: JSON, or an error.
const GOLDEN: &str = include_str!("../../tests/golden/kubectl-yaml-1.6.0.jsonl");

fn json(text: &str) -> Result<Value, String> {
    let mut documents = load(text);
    assert_eq!(documents.len(), 1, "{text:?}");
    let document = documents.remove(0).map_err(|fault| fault.text)?;
    to_json(&Place::root(&document)).map_err(|fault| fault.text)
}

#[test]
fn every_text_is_read_as_kubectl_reads_it() {
    let mut failures = Vec::new();
    let rows: Vec<Value> = GOLDEN.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    for row in &rows {
        let text = row["yaml"].as_str().expect("a text");
        match (json(text), row.get("json")) {
            (Ok(actual), Some(expected)) if same(&actual, expected) => {}
            (Err(_), None) => {}
            // Refused here, and said so: no manifest has been seen with it.
            (Err(error), Some(_)) if error == "the tag !!binary is not supported" => {}
            (actual, expected) => failures.push(format!("{text:?}: expected {expected:?}, got {actual:?}")),
        }
    }
    assert!(rows.len() > 150);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Numbers by value: Go prints 1e3 as 1000.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[rstest]
#[case("1.10")]
#[case("1e3")]
#[case("1E3")]
#[case("12e03")]
#[case("0123")]
#[case("0o17")]
#[case("0x1f")]
#[case("0b11")]
#[case("1_000")]
#[case("1_0.5_0")]
#[case("5.")]
#[case("yes")]
#[case("Off")]
#[case("n")]
#[case("null")]
#[case("True")]
#[case("2020-12-25")]
#[case("190:20:30")]
#[case("1:20")]
#[case("20:30.5")]
#[case("089")]
#[case("20201225")]
#[case("~")]
#[case("")]
fn what_some_reader_would_retype_is_quoted(#[case] text: &str) {
    assert!(!stays_a_string(text));
}

#[rstest]
#[case("1.2.3")]
#[case("v1.10")]
#[case("1.10-rc1")]
#[case("main-1a2b")]
#[case("1a2b")]
#[case("0b12")]
#[case("0xyz")]
#[case("e3")]
#[case("yess")]
#[case("2020-12")]
#[case("2020-12-25-1")]
#[case("1e3f")]
#[case("_1")]
#[case("redis:6")]
#[case("1:99")]
fn what_every_reader_takes_for_a_string_stays_plain(#[case] text: &str) {
    assert!(stays_a_string(text));
}

#[test]
fn aliases_may_not_blow_a_document_up() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let error = json(&text).expect_err("an error");
    assert!(error.contains("YAML expands to more than"), "{error}");
}

#[test]
fn merges_may_not_blow_a_walk_up() {
    let mut text = "m0: &m0 {k: v}\n".to_owned();
    for level in 1..40 {
        text.push_str(&format!("m{level}: &m{level} {{<<: [*m{}, *m{}]}}\n", level - 1, level - 1));
    }
    let document = load(&text).remove(0).expect("a document");
    let last = Place::root(&document).get("m39").expect("the last");
    assert_eq!(last.get("k").and_then(|place| place.str()), Some("v"));
    assert!(last.get("nothing").is_none());
    assert!(json(&text).is_err());
}

#[test]
fn nesting_has_a_limit_in_every_style() {
    let deep = 10_000;
    let block: String = (0..deep).map(|level| format!("{}a:\n", " ".repeat(level % 200))).collect();
    for text in ["[".repeat(deep), "{a: ".repeat(deep), "- ".repeat(deep), block] {
        assert!(load(&text).remove(0).is_err());
    }
    let just = format!("{}1{}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    assert!(json(&just).is_ok());
}

#[test]
fn a_document_that_does_not_parse_leaves_the_others_alone() {
    let text = "a: 1\n---\nb: [\n---\nc: 3\n---\nd: \"x\n---\ne: 5\n";
    let read: Vec<bool> = load(text).iter().map(Result::is_ok).collect();
    assert_eq!(read, [true, false, true, false, true]);
}

proptest! {
    /// I-5: what stays plain is a string to a reader of YAML 1.2 that is not ours, as well.
    #[test]
    fn a_plain_tag_is_a_string_to_another_reader(tag in "[A-Za-z0-9_][A-Za-z0-9._-]{0,5}|[0-9]{1,3}[._eExXob0-9]{0,5}") {
        if stays_a_string(&tag) {
            let text = format!("tag: {tag}\n");
            let ours = json(&text).expect("JSON");
            prop_assert_eq!(&ours["tag"], &Value::from(tag.as_str()));
            let theirs: Value = serde_saphyr::from_str(&text).expect("YAML");
            prop_assert_eq!(&theirs["tag"], &Value::from(tag.as_str()));
        }
    }

    /// I-6: nothing makes the reader panic.
    #[test]
    fn no_text_makes_the_reader_panic(text in "([ \\n\\t&*!|>'\"%@`{}\\[\\],?:#<~-]|[a-c0-9]|---\\n|\\r\\n|é|\u{feff}){0,60}") {
        for document in load(&text).into_iter().flatten() {
            let _ = to_json(&Place::root(&document));
        }
    }
}
