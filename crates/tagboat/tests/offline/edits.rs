//! `tagboat set-image`: one image in a file, byte exact, or nothing.

use crate::place::{AUTOMATED, Place, Ran, release, tagboat};
use rstest::rstest;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

const WEB: &str = "dev:helmrelease/web";

fn set_image(place: &Place, file: &str, workload: &str, container: &str, to: &str) -> Ran {
    let path = place.path(file);
    let arguments = ["--file", path.to_str().unwrap(), "--workload", workload, "--container", container, "--to", to];
    tagboat(&[&["set-image"][..], &arguments[..]].concat())
}

/// Nothing is written, not even the same bytes again.
fn refused(place: &Place, container: &str, to: &str, because: &str) {
    let meta =
        || std::fs::metadata(place.path("web.yaml")).map(|meta| (meta.ino(), meta.mtime_nsec(), meta.len())).unwrap();
    let (before, text) = (meta(), std::fs::read(place.path("web.yaml")).unwrap());
    let ran = set_image(place, "web.yaml", WEB, container, to);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains(because), "{}", ran.stderr);
    assert!(ran.stderr.contains("web.yaml"), "{}", ran.stderr);
    assert_eq!(before, meta());
    assert_eq!(text, std::fs::read(place.path("web.yaml")).unwrap());
}

fn values(yaml: &str) -> Place {
    let place = Place::new();
    let text = release("x", &[AUTOMATED]);
    let (head, _) = text.split_once("    web:\n").unwrap();
    place.write("web.yaml", format!("# a comment\n{head}{yaml}"));
    place
}

#[rstest]
#[case::whole("image: acme/web:OLD # why\n", "acme/web")]
#[case::tag("image: acme/web\ntag: OLD\n", "acme/web")]
#[case::all_three("registry: reg.example.com:5000\nimage: acme/web\ntag: 'OLD'\n", "reg.example.com:5000/acme/web")]
#[case::registry("registry: reg.example.com\nimage: \"acme/web:OLD\"\n", "reg.example.com/acme/web")]
#[case::map("image:\n  repository: acme/web\n  tag: OLD\n  pullPolicy: Always\n", "acme/web")]
#[case::map_of_three("image: {registry: docker.io, repository: acme/web, tag: OLD}\n", "acme/web")]
#[case::map_with_registry("image:\n  repository: acme/web:OLD\n  registry: docker.io\n", "docker.io/acme/web")]
#[case::map_of_one("image:\n  repository: acme/web:OLD\n", "index.docker.io/acme/web")]
#[case::explicit_string("image: acme/web\ntag: !!str OLD\n", "acme/web")]
fn every_shape_at_the_top_and_one_level_down(#[case] yaml: &str, #[case] name: &str) {
    let indent = |by: &str| yaml.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    for (container, yaml) in [
        ("chart-image", indent("    ")),
        ("web", format!("    other:\n      image: acme/other:OLD\n    web:\n{}    last: OLD\n", indent("      "))),
    ] {
        let place = values(&yaml.replace("OLD", "main-1"));
        let before = place.read("web.yaml");
        let ran = set_image(&place, "web.yaml", WEB, container, &format!("{name}:main-22"));
        assert_eq!(ran.status, 0, "{ran:?}\n{before}");
        let after = before.lines().zip(yaml_lines(&place));
        let changed: Vec<(String, String)> =
            after.filter(|(old, new)| old != new).map(|(old, new)| (old.replace("main-1", "main-22"), new)).collect();
        assert_eq!(changed.len(), 1, "{}", place.read("web.yaml"));
        assert_eq!(changed[0].0, changed[0].1);
        let again = set_image(&place, "web.yaml", WEB, container, &format!("{name}:main-22"));
        assert!(again.status == 0 && again.stderr.contains("already"), "{again:?}");
    }
}

fn yaml_lines(place: &Place) -> Vec<String> {
    place.read("web.yaml").lines().map(str::to_owned).collect()
}

#[rstest]
fn a_tag_that_yaml_would_misread_is_quoted(
    #[values(
        "1.10",
        "1e3",
        "yes",
        "null",
        "0123",
        "1_000",
        "2001-01-01",
        "0x1f",
        "0b1",
        "y",
        "off",
        "007",
        "1.",
        "12345678"
    )]
    tag: &str,
) {
    let place = values("    image:\n      repository: acme/web\n      tag: main-1\n");
    let before = place.read("web.yaml");
    assert_eq!(set_image(&place, "web.yaml", WEB, "chart-image", &format!("acme/web:{tag}")).status, 0);
    assert_eq!(place.read("web.yaml"), before.replace("main-1", &format!("\"{tag}\"")));
    let back = set_image(&place, "web.yaml", WEB, "chart-image", "acme/web:main-1");
    assert_eq!((back.status, place.read("web.yaml")), (0, before.replace("main-1", "\"main-1\"")));
}

#[rstest]
#[case::other_repository("    image: acme/web:main-1\n", "chart-image", "acme/api:main-2", "acme/api")]
#[case::no_version("    image: acme/web:main-1\n", "chart-image", "acme/web", "neither tag nor digest")]
#[case::unknown_container("    web:\n      image: acme/web:main-1\n", "voice_web", "acme/web:main-2", "it has web")]
#[case::alias("    a: &t main-1\n    web:\n      image: acme/web\n      tag: *t\n", "web", "acme/web:main-2", "alias")]
#[case::shared_anchor(
    "    web:\n      image: acme/web\n      tag: &t main-1\n    a: *t\n",
    "web",
    "acme/web:main-2",
    "anchored"
)]
#[case::block("    web:\n      image: |-\n        acme/web:main-1\n", "web", "acme/web:main-2", "block scalar")]
#[case::duplicate(
    "    web:\n      image: acme/web:main-1\n      image: acme/web:main-1\n",
    "web",
    "acme/web:main-2",
    "duplicate key"
)]
#[case::number("    web:\n      image: acme/web\n      tag: 1.10\n", "web", "acme/web:main-2", "must be a string")]
#[case::digest(
    "    web:\n      image: acme/web:main-1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
    "web",
    "acme/web:main-2",
    "digest"
)]
fn what_cannot_be_edited_exactly_is_refused(
    #[case] yaml: &str,
    #[case] container: &str,
    #[case] to: &str,
    #[case] because: &str,
) {
    refused(&values(yaml), container, to, because);
}

#[rstest]
#[case::unknown_workload("other:helmrelease/web", "it has dev:helmrelease/web")]
#[case::other_kind("dev:deployment/web", "it has dev:helmrelease/web")]
fn a_workload_that_is_not_there_is_refused(#[case] workload: &str, #[case] because: &str) {
    let place = values("    image: acme/web:main-1\n");
    let ran = set_image(&place, "web.yaml", workload, "chart-image", "acme/web:main-2");
    assert!(ran.status == 1 && ran.stderr.contains(because), "{ran:?}");
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let place = Place::new();
    place.write("latin.yaml", b"a: caf\xe9\n").write("large.yaml", "#".repeat(6 << 20)).write("broken.yaml", "a: [\n");
    for (file, because) in [
        ("nowhere.yaml", "nowhere.yaml"),
        (".", "infra"),
        ("latin.yaml", "byte 6"),
        ("large.yaml", "larger"),
        ("broken.yaml", ":"),
    ] {
        let ran = set_image(&place, file, WEB, "web", "acme/web:main-2");
        assert!(ran.status == 1 && ran.stderr.contains(because), "{file}: {ran:?}");
    }
}

#[rstest]
#[case(&["--workload", "web", "--container", "web", "--to", "acme/web:1"], "web")]
#[case(&["--workload", "dev:web", "--container", "web", "--to", "acme/web:1"], "dev:web")]
#[case(&["--workload", "dev:helmrelease/web", "--container", "web", "--to", "acme/web:a b"], "a b")]
#[case(&["--workload", "dev:helmrelease/web", "--container", "web", "--to", "ACME/web:1"], "lower case")]
#[case(&["--workload", "dev:helmrelease/web", "--to", "acme/web:1"], "--container")]
fn wrong_usage_is_status_2(#[case] arguments: &[&str], #[case] named: &str) {
    let place = values("    image: acme/web:main-1\n");
    let path = place.path("web.yaml");
    let ran = tagboat(&[&["set-image", "--file", path.to_str().unwrap()], arguments].concat());
    assert!(ran.status == 2 && ran.stderr.contains(named), "{ran:?}");
}

#[test]
fn containers_of_all_kinds_in_documents_and_lists() {
    let place = Place::new();
    let containers = |indent: &str| {
        format!(
            "{indent}initContainers:\n{indent}- {{name: init, image: acme/web:main-1}}\n{indent}containers:\n{indent}- name: web\n{indent}  image: 'acme/web:main-1'\n"
        )
    };
    let mut text = String::from("---\n# the first\n");
    for (kind, api) in [("Deployment", "apps/v1"), ("DaemonSet", "apps/v1"), ("StatefulSet", "apps/v1")] {
        text += &format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: web, namespace: dev}}\nspec:\n  template:\n    spec:\n{}---\n",
            containers("      ")
        );
    }
    text += &format!(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: batch/v1\n  kind: CronJob\n  metadata: {{name: web, namespace: dev}}\n  \
         spec:\n    jobTemplate:\n      spec:\n        template:\n          spec:\n{}",
        containers("            ")
    );
    let text = text.trim_end().to_owned();
    let mut expected: Vec<String> = text.lines().map(str::to_owned).collect();
    place.write("web.yaml", &text);
    for kind in ["deployment", "daemonset", "statefulset", "cronjob"] {
        for container in ["init", "web"] {
            let ran = set_image(&place, "web.yaml", &format!("dev:{kind}/web"), container, "acme/web:main-2");
            assert_eq!(ran.status, 0, "{ran:?}");
            let line = expected.iter_mut().find(|line| line.contains("main-1")).unwrap();
            *line = line.replace("main-1", "main-2");
            assert_eq!(place.read("web.yaml"), expected.join("\n"), "{kind} {container}");
        }
    }
}

#[test]
fn line_ends_byte_order_mark_and_missing_last_newline_stay() {
    let place = Place::new();
    for ending in ["\n", "\r\n"] {
        let text = format!("\u{feff}{}", release("main-1", &[AUTOMATED]).trim_end().replace('\n', ending));
        place.write("web.yaml", &text);
        assert_eq!(set_image(&place, "web.yaml", WEB, "web", "acme/web:main-2").status, 0);
        assert_eq!(place.read("web.yaml"), text.replace("main-1", "main-2"));
    }
}

#[test]
fn the_file_keeps_its_permissions_and_a_link_stays_a_link() {
    let place = Place::new();
    place.write("real/web.yaml", release("main-1", &[AUTOMATED]));
    std::fs::set_permissions(place.path("real/web.yaml"), std::fs::Permissions::from_mode(0o604)).unwrap();
    std::os::unix::fs::symlink("real/web.yaml", place.path("web.yaml")).unwrap();
    assert_eq!(set_image(&place, "web.yaml", WEB, "web", "acme/web:main-2").status, 0);
    assert!(std::fs::symlink_metadata(place.path("web.yaml")).unwrap().is_symlink());
    assert_eq!(place.read("real/web.yaml"), release("main-2", &[AUTOMATED]));
    assert_eq!(std::fs::metadata(place.path("real/web.yaml")).unwrap().permissions().mode() & 0o777, 0o604);
    assert_eq!(std::fs::read_dir(place.path("real")).unwrap().count(), 1);
}
