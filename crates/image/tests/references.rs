//! References: what they parse to, what they refuse, and that they print what they read.

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use proptest::prelude::*;
use rstest::rstest;
use tagboat_image::{Digest, Reference, Repository, Tag};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[rstest]
#[case("redis", "docker.io", "library/redis", "redis")]
#[case("docker.io/redis", "docker.io", "library/redis", "redis")]
#[case("docker.io/library/redis", "docker.io", "library/redis", "redis")]
#[case("library/redis", "docker.io", "library/redis", "redis")]
#[case("index.docker.io/mozilla/commonvoice", "docker.io", "mozilla/commonvoice", "mozilla/commonvoice")]
#[case("registry-1.docker.io/mozilla/commonvoice", "docker.io", "mozilla/commonvoice", "mozilla/commonvoice")]
#[case("Docker.IO/mozilla/commonvoice", "docker.io", "mozilla/commonvoice", "mozilla/commonvoice")]
#[case("docker.io/library/a/b", "docker.io", "library/a/b", "library/a/b")]
#[case("ghcr.io/a", "ghcr.io", "a", "ghcr.io/a")]
#[case("GHCR.io/a/b__c/d--e", "ghcr.io", "a/b__c/d--e", "ghcr.io/a/b__c/d--e")]
#[case("localhost/web", "localhost", "web", "localhost/web")]
#[case("localhost:5000/web", "localhost:5000", "web", "localhost:5000/web")]
#[case("registry:5000/web", "registry:5000", "web", "registry:5000/web")]
#[case("[::1]:5000/web", "[::1]:5000", "web", "[::1]:5000/web")]
#[case("registry/web", "docker.io", "registry/web", "registry/web")]
fn a_repository_has_one_canonical_form(
    #[case] text: &str,
    #[case] host: &str,
    #[case] path: &str,
    #[case] display: &str,
) {
    let repository = Repository::parse(text).expect("a repository");
    assert_eq!((repository.host(), repository.path()), (host, path));
    assert_eq!(repository.to_string(), display);
    assert_eq!(Repository::parse(display).expect("its own display"), repository);
    assert_eq!(Repository::parse(&repository.canonical()).expect("its canonical form"), repository);
}

#[rstest]
#[case("a/b:v1", "a/b", Some("v1"), None)]
#[case("docker.io/a/b:v1", "docker.io/a/b", Some("v1"), None)]
#[case("host:5000/a/b", "host:5000/a/b", None, None)]
#[case("host:5000/a/b:v1", "host:5000/a/b", Some("v1"), None)]
#[case(&format!("a/b@{DIGEST}"), "a/b", None, Some(DIGEST))]
#[case(&format!("a/b:v1@{DIGEST}"), "a/b", Some("v1"), Some(DIGEST))]
fn a_reference_keeps_its_spelling(
    #[case] text: &str,
    #[case] name: &str,
    #[case] tag: Option<&str>,
    #[case] digest: Option<&str>,
) {
    let reference = Reference::parse(text).expect("a reference");
    assert_eq!(reference.name(), name);
    assert_eq!(reference.tag().map(Tag::as_str), tag);
    assert_eq!(reference.digest().map(Digest::as_str), digest);
    assert_eq!(reference.to_string(), text);
}

#[rstest]
#[case("", "is empty")]
#[case("UPPER/x", "lower case, found 'U'")]
#[case("a//b", "a component of the path is empty")]
#[case("/a", "a component of the path is empty")]
#[case("a/", "a component of the path is empty")]
#[case("x:", "a tag is empty")]
#[case("x@sha256:zz", "invalid digest \"sha256:zz\"")]
#[case("x@md5:d41d8cd98f00b204e9800998ecf8427e", "invalid digest")]
#[case("http://reg/x", "invalid image reference \"http://reg/x\": remove the scheme \"http://\"")]
#[case("oci://reg/x:v1", "remove the scheme \"oci://\"")]
#[case("a/b:$(TAG)", "contains a variable; cannot automate")]
#[case("a/b:${TAG}", "contains a variable; cannot automate")]
#[case("$REGISTRY/b:v1", "contains a variable; cannot automate")]
#[case("a/b:{{ .Values.tag }}", "contains a variable; cannot automate")]
#[case("a:1:2", "found ':'")]
#[case("a b", "found ' '")]
#[case("a/-b", "must begin and end with a letter or digit")]
#[case("a/b._c", "must begin and end with a letter or digit")]
#[case("a/b___c", "must begin and end with a letter or digit")]
#[case("-host.io/a", "is not a host name")]
#[case("host:port/a", "is not a port number")]
#[case("host:99999/a", "is not a port number")]
#[case("[::1/a", "bracket is not closed")]
#[case("a:\u{202e}v1", "invalid tag \"\\u{202e}v1\"")]
fn a_malformed_reference_is_told_what_is_wrong(#[case] text: &str, #[case] reason: &str) {
    let error = Reference::parse(text).expect_err("an error").to_string();
    assert!(error.contains(reason), "{error}");
}

#[rstest]
#[case("-x")]
#[case(".x")]
#[case("../../x")]
#[case("$(id)")]
#[case("x;rm")]
#[case("<script>")]
#[case("@here")]
#[case("x\nSigned-off-by: x")]
#[case("x y")]
#[case("\u{1b}[0m")]
#[case("ünïcode")]
#[case(&"x".repeat(129))]
fn what_is_no_tag_does_not_become_one(#[case] text: &str) {
    let error = Tag::new(text).expect_err("an error").to_string();
    assert!(!error.contains(char::is_control), "{error:?}");
    assert!(error.len() < 600);
}

#[test]
fn a_repository_with_a_tag_is_not_a_repository() {
    for text in ["a/b:v1".to_owned(), format!("a/b@{DIGEST}")] {
        let error = Repository::parse(&text).expect_err("an error").to_string();
        assert!(error.contains("expected a repository without tag and digest"), "{error}");
    }
    let error = Repository::parse("https://docker.io/a").expect_err("an error").to_string();
    assert!(error.contains("remove the scheme"), "{error}");
}

#[test]
fn a_new_tag_drops_the_old_digest() {
    let reference = Reference::parse(&format!("docker.io/a/b:v1@{DIGEST}")).expect("a reference");
    let tag = Tag::new("v2").expect("a tag");
    assert_eq!(reference.with_tag(&tag).to_string(), "docker.io/a/b:v2");
    let other = Reference::parse("a/b:v3").expect("a reference");
    assert_eq!(reference.with_version_of(&other).to_string(), "docker.io/a/b:v3");
}

/// Names of repositories; without a host, the first component must not look like one.
fn repositories() -> impl Strategy<Value = String> {
    let hosts = [
        "docker\\.io",
        "index\\.docker\\.io",
        "registry-1\\.docker\\.io",
        "localhost",
        "[a-z]{1,5}\\.[a-z]{2,3}",
        "[a-z]{2,5}:[1-9][0-9]{1,3}",
    ];
    let component = "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}";
    let regex = |pattern: String| proptest::string::string_regex(&pattern).expect("a pattern");
    prop_oneof![
        regex(format!("({})/{component}(/{component}){{0,2}}", hosts.join("|"))),
        regex(format!("[a-z0-9]{{1,6}}(/{component}){{0,2}}")),
    ]
}

proptest! {
    /// I-7: parse and print are inverse, whatever the spelling.
    #[test]
    fn printing_is_the_inverse_of_parsing(
        name in repositories(),
        tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"),
        digest in proptest::option::of("(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"),
    ) {
        let mut text = name.clone();
        if let Some(tag) = &tag { text.push(':'); text.push_str(tag); }
        if let Some(digest) = &digest { text.push('@'); text.push_str(digest); }
        let reference = Reference::parse(&text).expect("a reference");
        prop_assert_eq!(reference.to_string(), text);
        prop_assert_eq!(reference.name(), name);
    }

    /// I-7: canonical forms are equal exactly where registry and repository are.
    #[test]
    fn canonical_forms_say_which_repository_it_is(a in repositories(), b in repositories()) {
        let (x, y) = (Repository::parse(&a).expect("a repository"), Repository::parse(&b).expect("a repository"));
        prop_assert_eq!(x == y, x.canonical() == y.canonical());
        prop_assert_eq!(x == y, x.to_string() == y.to_string());
        prop_assert_eq!(Repository::parse(&x.to_string()).expect("its display"), x);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn a_tag_is_what_the_specification_says(text in "[A-Za-z0-9._ :/-]{0,4}") {
        let bytes = text.as_bytes();
        let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let expected = bytes.first().is_some_and(word) && bytes.iter().all(|b| word(b) || matches!(b, b'.' | b'-'));
        prop_assert_eq!(Tag::new(text.as_str()).is_ok(), expected);
    }
}
