//! What holds for every edit: the bytes around the value stay (I-1), the value is a string to every reader (I-5), the
//! next reading finds it, and no text makes the reader or the edit panic (I-6).

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use proptest::prelude::*;
use serde_json::Value;
use tagboat_image::Reference;
use tagboat_manifest::{ManifestFile, WorkloadId, set_image};

const NAME: &str = "ghcr.io/a/b";

/// A way to write the value and what is around it, with `@` where the value is.
fn layouts() -> impl Strategy<Value = (&'static str, bool)> {
    proptest::sample::select(vec![
        ("    web:\n      image: @\n", true),
        ("    web:\n      image:    @   # why\n      z: 1\n", true),
        ("    web: {image: @, z: [1, 2]}\n", true),
        ("    web:\n      image: ghcr.io/a/b\n      tag: @\n", false),
        ("    web:\n      tag: @ # first\n      registry: ghcr.io\n      image: a/b\n", false),
        ("    web:\n      image:\n        repository: ghcr.io/a/b\n\n        tag: @\n", false),
        ("    web: {image: {registry: ghcr.io, repository: a/b, tag: @}}\n", false),
        ("    \"web\":\n        image: &mine @\n", true),
    ])
}

/// What stands before and after: other documents, comments, marks.
fn surroundings() -> impl Strategy<Value = (String, String)> {
    let before = proptest::sample::select(vec![
        "",
        "# a comment\n\n",
        "---\n",
        "%YAML 1.1\n---\n",
        "\u{feff}# marked\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: é}\ndata:\n  image: ghcr.io/a/b:old\n---\n",
        "- not\n- an object\n---\n",
        "broken: [\n---\n",
    ]);
    let after = proptest::sample::select(vec![
        "",
        "    other: |\n      image: ghcr.io/a/b:old\n       tag: x\n",
        "    dup: 1\n    dup: 2\n",
        "  trailing:   \n\n\n# end",
        "...\n",
        "---\nanother: document\n",
        "---\nbroken: \"\n",
    ]);
    (before, after).prop_map(|(before, after)| (before.to_owned(), after.to_owned()))
}

fn tags() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_][A-Za-z0-9._-]{0,8}",
        "[0-9]{1,4}(\\.[0-9]{1,3}){0,2}",
        "[0-9]{1,2}[eE_xob][0-9a-f]{1,3}",
        "(yes|no|on|off|y|n|true|null|~?|0777|2020-12-25|1_000)"
            .prop_filter("a tag", |text| !text.is_empty() && !text.contains('~')),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn an_edit_changes_the_value_and_no_other_byte(
        (layout, whole) in layouts(),
        (before, after) in surroundings(),
        quote in proptest::sample::select(vec!["", "\"", "'", "!!str "]),
        windows in any::<bool>(),
        old in "old-[a-z0-9]{0,6}",
        new in tags(),
    ) {
        let value = |tag: &str| if whole && layout.contains("ghcr.io") { tag.to_owned() }
            else if whole { format!("{NAME}:{tag}") } else { tag.to_owned() };
        let written = |text: &str| match quote {
            "!!str " => format!("!!str {text}"),
            quote => format!("{quote}{text}{quote}"),
        };
        let file = |scalar: &str| {
            let text = format!(
                "{before}apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata:\n  name: voice\nspec:\n  values:\n{}{after}",
                layout.replace('@', scalar),
            );
            if windows { text.replace('\n', "\r\n") } else { text }
        };
        let text = file(&written(&value(&old)));
        let workload: WorkloadId = "default:helmrelease/voice".parse().expect("a name");
        let to = Reference::parse(&format!("{NAME}:{new}")).expect("a reference");
        let edited = set_image(&text, &workload, "web", &to).expect("an edit");

        // I-1: as if it had been written so, or, where it must be, with quotes.
        let quoted = file(&format!("\"{}\"", value(&new)));
        let plain = file(&written(&value(&new)));
        prop_assert!(edited.text == plain || (quote.is_empty() && edited.text == quoted), "{}", edited.text);

        // The next reading finds it.
        let read = ManifestFile::parse("x.yaml", edited.text.as_bytes());
        let workload = read.workloads_named(&workload).next().expect("the workload");
        prop_assert_eq!(workload.container("web").expect("the container").current.as_ref().expect("an image"), &to);

        // I-5: and it is a string to a reader of YAML 1.2, without its quotes being ours to trust.
        let line = edited.images[0].line;
        let scalar = edited.text.lines().nth(line - 1).expect("the line");
        if let Some((_, scalar)) = scalar.split_once(": ").filter(|_| !scalar.contains('{') && quote != "!!str ") {
            let theirs: Value = serde_saphyr::from_str(&format!("v: {scalar}\n")).expect("YAML");
            prop_assert!(theirs["v"].is_string(), "{scalar}");
        }
    }

    #[test]
    fn no_text_makes_reading_or_editing_panic(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "apiVersion: helm.fluxcd.io/v1\n", "kind: HelmRelease\n", "metadata: {name: voice}\n", "metadata:\n", "  name: voice\n",
            "spec:\n", "  values:\n", "    image: a/b:v1\n", "    web: &x\n", "      image: a/b\n", "      tag: v1\n", "      tag: *x\n",
            "      <<: *x\n", "---\n", "...\n", "items:\n", "- ", "kind: List\n", "{{ x }}\n", "\t", "\"", "'", "| \n", "\u{feff}", "\r\n",
            "[", "]", "{", "}", ", ", ": ", "!!str ", "&a ", "*a ", "# c\n", "%TAG ! x\n",
        ]), 0..24),
    ) {
        let text = pieces.concat();
        let file = ManifestFile::parse("x.yaml", text.as_bytes());
        let to = Reference::parse("a/b:v2").expect("a reference");
        for workload in &file.workloads {
            for container in &workload.containers {
                if let Ok(edited) = set_image(&text, &workload.id, &container.name, &to) {
                    let again = ManifestFile::parse("x.yaml", edited.text.as_bytes());
                    prop_assert_eq!(again.objects.len(), file.objects.len());
                    prop_assert_eq!(again.problems.len(), file.problems.len());
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ManifestFile::parse("x.yaml", &bytes);
    }
}

fn annotated(annotations: String) -> String {
    format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\n  annotations:\n{annotations}")
}

/// I-6: time is in proportion to size, also for what is meant to be slow.
#[test]
fn reading_takes_time_in_proportion() {
    let lines = 15_000;
    let texts = [
        (0..lines).map(|line| format!("key{line}: value\n")).collect::<String>(),
        "a: 1\n".repeat(lines),
        format!("a: &a {{x: 1}}\nb:\n{}", "- *a\n".repeat(lines)),
        format!("a: &a {{x: 1}}\nb:\n{}", "  <<: *a\n".repeat(lines)),
        "---\n- [\n".repeat(lines),
        format!("a: \"{}\"\n", "\\n".repeat(lines)),
        "- - - - - - - -\n".repeat(lines / 2),
        "a: b: c\n---\n".repeat(lines / 2),
        annotated((0..lines).map(|line| format!("    fluxcd.io/tags.c{line}: x\n")).collect()),
        annotated((0..lines).map(|line| format!("    filter.fluxcd.io/c{line}: x\n")).collect()),
        annotated(format!("    <<: {{}}\n{}", "    fluxcd.io/locked: x\n".repeat(lines))),
    ];
    for text in texts {
        let start = std::time::Instant::now();
        let _ = ManifestFile::parse("x.yaml", text.as_bytes());
        let took = start.elapsed();
        println!("{took:?} for {:?}…", &text[..20]);
        // A debug build on a busy machine; quadratic time would be minutes.
        assert!(took.as_secs() < 5, "{took:?} for {:?}…", &text[..20]);
    }
}
