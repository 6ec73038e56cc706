//! Which tag is taken: times, gone tags, names, filters.

use crate::place::{AUTOMATED, MAIN, Place, release, rows_of, time};
use rstest::rstest;
use serde_json::json;

fn decided(tag: &str, filter: &str, rows: &[&str]) -> String {
    let place = Place::new();
    let filter = format!("filter.fluxcd.io/web: '{filter}'");
    place.write("web.yaml", release(tag, &[AUTOMATED, &filter])).tags(rows).plan().of("web")
}

const NEWEST: &str = "keep newest";
const OLDER: &str = "keep only-older-tags";

#[rstest]
#[case::newer("main-1", "glob:main-*", &["main-1@1", "main-3@3", "main-2@2", "stage-9@9"], "update newer-tag acme/web:main-3")]
#[case::nothing_better("main-3", "glob:main-*", &["main-1@1", "main-3@3", "stage-9@9"], NEWEST)]
#[case::the_current_alone_and_without_a_time("main-1", "glob:main-*", &["main-1"], NEWEST)]
#[case::no_match("main-1", "glob:nightly-*", &["main-1@1"], "keep no-tag-matches")]
#[case::no_tags_at_all("main-1", "glob:main-*", &[], "keep no-tag-matches")]
#[case::as_old_is_not_newer("main-2", "glob:main-*", &["main-1@5", "main-2@5", "main-3@5"], OLDER)]
#[case::of_equals_the_most_specific("v1", "glob:v*", &["v1@1", "v2@5", "v2.1@5", "v2.1.3@5"], "update newer-tag acme/web:v2.1.3")]
#[case::no_time_is_no_candidate("main-1", "glob:main-*", &["main-1@1", "main-9", "main-2@2"], "update newer-tag acme/web:main-2")]
#[case::no_time_at_all("main-1", "glob:main-*", &["main-1", "main-2"], "blocked tags-without-time")]
#[case::current_without_a_time("main-1", "glob:main-*", &["main-1", "main-2@2"], "update newer-tag acme/web:main-2")]
#[case::current_gone("main-5", "glob:main-*", &["main-1@1", "main-2@2"], "update current-tag-gone acme/web:main-2")]
#[case::current_outside_the_filter("stage-9", "glob:main-*", &["main-1@1", "main-2@2", "stage-9@9"], "update filter-changed acme/web:main-2")]
#[case::latest_is_no_candidate("main-1", "glob:*", &["main-1@1", "latest@9", "main-2@2"], "update newer-tag acme/web:main-2")]
#[case::latest_if_asked_for("main-1", "glob:latest", &["main-1@1", "latest@9"], "update filter-changed acme/web:latest")]
#[case::regexp("v1.0.0", "regexp:^v[0-9]+[.][0-9]+[.][0-9]+$", &["v1.0.0@1", "v1@9", "v1.0.1@3"], "update newer-tag acme/web:v1.0.1")]
#[case::semver("1.2.3", "semver:~1.2", &["1.2.3@9", "1.2.10@2", "1.2.9@5", "1.3.0@8"], "update newer-tag acme/web:1.2.10")]
#[case::semver_needs_no_time("1.2.3", "semver:~1.2", &["1.2.3", "1.2.4"], "update newer-tag acme/web:1.2.4")]
#[case::semver_gone_goes_up("1.2.3", "semver:*", &["1.2.2@9", "1.2.4"], "update current-tag-gone acme/web:1.2.4")]
#[case::semver_gone_never_goes_down("1.2.3", "semver:*", &["1.2.2@9"], OLDER)]
#[case::semver_equal_is_not_higher("1.10", "semver:*", &["1.10@1", "1.10.0@2"], OLDER)]
#[case::invalid_filter("main-1", "semver:abc", &["main-1@1", "main-2@2"], "blocked invalid-filter")]
#[case::invalid_pattern("main-1", "regexp:(", &["main-1@1", "main-2@2"], "blocked invalid-filter")]
#[case::empty_filter("main-1", "", &["main-1@1", "main-2@2"], "blocked invalid-filter")]
#[case::unknown_prefix("main-1", "semvr:1", &["main-1@1", "main-2@2"], "blocked invalid-filter")]
fn one_image(#[case] tag: &str, #[case] filter: &str, #[case] rows: &[&str], #[case] expected: &str) {
    assert_eq!(decided(tag, filter, rows), expected);
}

#[test]
fn created_counts_where_nothing_tells_when_a_tag_was_pushed() {
    let place = Place::new();
    place.write("web.yaml", release("main-1", &[AUTOMATED, MAIN]));
    place.images(&json!({ "acme/web": [
        { "tag": "main-1", "created": time(1), "pushed": time(5) },
        { "tag": "main-2", "created": time(4) },
        { "tag": "main-3", "created": time(6) },
        { "tag": "main-4", "created": time(9), "pushed": time(2) },
    ]}));
    assert_eq!(place.plan().of("web"), "update newer-tag acme/web:main-3");
}

#[test]
fn another_name_of_the_image_that_runs_is_nothing_better() {
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    let place = Place::new();
    place.write("web.yaml", release("v2.1.3", &[AUTOMATED, "filter.fluxcd.io/web: glob:v*"]));
    place.images(&json!({ "acme/web": [
        { "tag": "v2.1.3", "pushed": time(1), "digest": digest("a") },
        { "tag": "v2", "pushed": time(2), "digest": digest("a") },
    ]}));
    assert_eq!(place.plan().of("web"), "keep only-older-tags");
    assert!(place.plan().reason("web").contains("v2"), "{}", place.plan().reason("web"));
}

#[rstest]
#[case("redis", "docker.io/library/redis")]
#[case("docker.io/library/redis", "redis")]
#[case("library/redis", "index.docker.io/library/redis")]
#[case("docker.io/redis", "redis")]
#[case("acme/web", "index.docker.io/acme/web")]
#[case("registry-1.docker.io/acme/web", "acme/web")]
#[case("Registry.example.com:5000/acme/web", "registry.example.com:5000/acme/web")]
fn names_match_in_canonical_form_and_keep_the_files_spelling(#[case] in_the_file: &str, #[case] in_the_tags: &str) {
    let place = Place::new();
    let text = release("main-1", &[AUTOMATED, MAIN]).replace("acme/web", in_the_file);
    place.write("web.yaml", &text).images(&json!({ in_the_tags: rows_of(&["main-1@1", "main-2@2"]) }));
    assert_eq!(place.plan().of("web"), format!("update newer-tag {in_the_file}:main-2"));
    assert_eq!(place.plan_with(&["--write"]).status, 3);
    assert_eq!(place.read("web.yaml"), text.replace("main-1", "main-2"));
}

#[test]
fn two_spellings_of_one_repository_are_one_list() {
    let place = Place::new();
    place.write("web.yaml", release("main-1", &[AUTOMATED, MAIN]));
    place.images(&json!({ "acme/web": rows_of(&["main-1@1"]), "docker.io/acme/web": rows_of(&["main-2@2"]) }));
    assert_eq!(place.plan().of("web"), "update newer-tag acme/web:main-2");
}

#[test]
fn an_image_of_which_nothing_is_known_is_blocked() {
    let place = Place::new();
    place.write("web.yaml", release("main-1", &[AUTOMATED, MAIN])).images(&json!({ "acme/api": [] }));
    let plan = place.plan();
    assert_eq!((plan.status, plan.of("web")), (0, "blocked not-scanned".to_owned()));
    assert!(plan.reason("web").contains("acme/web"), "{}", plan.reason("web"));
}

#[rstest]
#[case::not_json("{\"images\":", "EOF")]
#[case::another_shape("[]", "images")]
#[case::no_images("{}", "images")]
#[case::no_tag(r#"{"images":{"acme/web":[{"pushed":"2020-12-25T16:00:00Z"}]}}"#, "tag")]
#[case::a_bad_time(r#"{"images":{"acme/web":[{"tag":"main-1","pushed":"yesterday"}]}}"#, "yesterday")]
#[case::a_bad_digest(r#"{"images":{"acme/web":[{"tag":"main-1","digest":"md5"}]}}"#, "md5")]
#[case::a_name_with_a_tag(r#"{"images":{"acme/web:1":[]}}"#, "acme/web:1")]
fn a_malformed_file_of_tags_fails_the_whole(#[case] text: &str, #[case] named: &str) {
    let place = Place::new();
    place.write("web.yaml", release("main-1", &[AUTOMATED, MAIN])).tags_file(text);
    let ran = place.tagboat_plan(&["--output", "json"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("tags.json") && ran.stderr.contains(named), "{}", ran.stderr);
}
