//! What a file of manifests is read as, and what is said about what is wrong in it.

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use rstest::rstest;
use tagboat_manifest::{ManifestFile, Severity, Shape, Workload};

fn read(text: &str) -> ManifestFile {
    ManifestFile::parse("apps/web.yaml", text.as_bytes())
}

fn only(text: &str) -> Workload {
    let mut file = read(text);
    assert_eq!(file.workloads.len(), 1, "{:?}", file.problems);
    file.workloads.remove(0)
}

/// The errors, as people see them.
fn errors(file: &ManifestFile) -> Vec<String> {
    file.problems.iter().filter(|problem| problem.is_error()).map(ToString::to_string).collect()
}

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
}

#[test]
fn documents_lists_and_json_become_objects() {
    let text = format!(
        "# first\n---\n{}---\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Secret, metadata: {{name: b, namespace: x}}}}\n- apiVersion: v1\n  kind: List\n  items:\n  - {{apiVersion: v1, kind: Service, metadata: {{name: c}}}}\n---\n{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"d\"}}}}\n",
        config_map("a")
    );
    let file = read(&text);
    assert_eq!(errors(&file), [""; 0]);
    let ids: Vec<_> = file.objects.iter().map(|object| object.id("shop").to_string()).collect();
    assert_eq!(ids, ["shop:configmap/a", "x:secret/b", "shop:service/c", "shop:pod/d"]);
    let lines: Vec<_> = file.objects.iter().map(|object| object.location.line).collect();
    assert_eq!(lines, [3, 14, 18, 20]);
    assert_eq!(file.objects.iter().map(|object| object.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(file.objects[1].json["metadata"]["namespace"], "x");
}

#[rstest]
#[case("")]
#[case("# only a comment\n")]
#[case("---\n")]
#[case("---\n---\n# x\n...\n")]
#[case("\u{feff}")]
#[case("\r\n\r\n")]
fn a_file_that_says_nothing_is_not_a_problem(#[case] text: &str) {
    assert_eq!(read(text), ManifestFile { path: "apps/web.yaml".to_owned(), ..ManifestFile::default() });
}

#[rstest]
#[case("apiVersion: v1\nkind: A\n", "apps/web.yaml:1:1: document 1 has no metadata.name")]
#[case("apiVersion: v1\nmetadata: {name: a}\n", "apps/web.yaml:1:1: document 1 has no kind")]
#[case("kind: A\nmetadata: {name: a}\n", "apps/web.yaml:1:1: document 1 has no apiVersion")]
#[case("kind: A\napiVersion: v1\nmetadata: {name: }\n", "apps/web.yaml:3:16: document 1 has no metadata.name")]
#[case(
    "kind: A\napiVersion: v1\nmetadata:\n  name: 5\n",
    "apps/web.yaml:4:9: document 1: metadata.name must be a string, got number 5"
)]
#[case("- a\n", "apps/web.yaml:1:1: document 1 is a list, not a Kubernetes object")]
#[case("just text\n", "apps/web.yaml:1:1: document 1 is string \"just text\", not a Kubernetes object")]
#[case(
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}}\n- kind: A\n  apiVersion: v1\n",
    "apps/web.yaml:5:3: document 1, items[1] has no metadata.name"
)]
#[case("a: b: c\n", "apps/web.yaml:1:5: ")]
#[case("a:\n\t- b\n", "apps/web.yaml:2:1: tab used for indent")]
#[case("a: b\n\tc: d\n", "apps/web.yaml:2:1: tab used for indent")]
#[case("a:\n  b: c\n  \td: e\n", "apps/web.yaml:3:3: ")]
#[case("a: *b\n", "apps/web.yaml:1:4: ")]
#[case("a: &a [*a]\n", "apps/web.yaml:1:8: the alias names the collection that it is in, which begins at line 1")]
#[case("{{- if .Values.web }}\nkind: A\n{{- end }}\n", "looks like a Helm template; not a manifest")]
#[case(
    "apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata: {a: {{ .Values.x }}}\n",
    "looks like a Helm template; not a manifest"
)]
fn what_is_no_object_is_told_with_its_place(#[case] text: &str, #[case] expected: &str) {
    let file = read(text);
    let errors = errors(&file);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains(expected), "{errors:?}");
}

#[test]
fn a_bad_document_hurts_only_itself() {
    let text = format!(
        "{}---\na: [unclosed\n---\n{}---\nkind: Nameless\napiVersion: v1\n---\n{}---\na: \"unclosed\n",
        config_map("a"),
        config_map("b"),
        config_map("c")
    );
    let file = read(&text);
    let names: Vec<_> = file.objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let lines: Vec<_> = file.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines.len(), 3, "{:?}", file.problems);
    assert!(lines.is_sorted());
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let file = ManifestFile::parse("x.yaml", b"kind: A\nname: \xff\n");
    assert_eq!(errors(&file), ["x.yaml:2:7: not valid UTF-8 at byte 14"]);
    let file = ManifestFile::parse("x.yaml", b"\xff\xfek\0i\0");
    assert!(errors(&file)[0].contains("UTF-16"), "{:?}", file.problems);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_problem() {
    let text = format!("\u{feff}{}", config_map("a").replace('\n', "\r\n"));
    let file = read(&text);
    assert_eq!(file.problems, []);
    assert_eq!(file.objects[0].name, "a");
}

#[test]
fn of_a_duplicate_key_the_last_counts_and_both_lines_are_told() {
    let file = read(&format!("{}data:\n  a: \"1\"\n  b: x\n  a: \"2\"\n", config_map("a")));
    assert_eq!(file.objects[0].json["data"]["a"], "2");
    let [problem] = &file.problems[..] else { panic!("{:?}", file.problems) };
    assert_eq!(problem.severity, Severity::Warning);
    assert_eq!(problem.to_string(), "apps/web.yaml:8:3: duplicate key \"a\" (first at line 6); the last one counts");
}

#[test]
fn sizes_are_bounded() {
    let large = format!("{}data:\n  a: {}\n", config_map("a"), "x".repeat(1 << 20));
    let file = read(&format!("{large}---\n{}", config_map("b")));
    assert_eq!(file.objects.len(), 1);
    assert!(errors(&file)[0].contains("at most 1048576 are read"), "{:?}", errors(&file));
    let file = ManifestFile::parse("x.yaml", &vec![b'#'; (5 << 20) + 1]);
    assert!(errors(&file)[0].contains("at most 5242880 are read"));
}

#[test]
fn numbers_and_booleans_are_read_as_kubectl_reads_them() {
    let file = read(&format!("{}data: {{a: yes, b: 0644, c: 1.10, d: '1.10', e: 2020-12-25}}\n", config_map("a")));
    let expected = serde_json::json!({"a": true, "b": 420, "c": 1.1, "d": "1.10", "e": "2020-12-25"});
    assert_eq!(file.objects[0].json["data"], expected);
}

fn release(values: &str) -> String {
    let values: String = values.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {{name: voice, namespace: voice-dev}}\nspec:\n  values:\n{values}"
    )
}

#[test]
fn the_images_of_a_release_are_found_one_level_deep_in_order() {
    let workload = only(&release(
        "web: {image: a/web, tag: v1}\nimage: {repository: a/main, tag: v2}\nB: {image: {registry: ghcr.io, repository: a/b, tag: v3}}\ndeep: {down: {image: a/deep:v1}}\nlist: [{image: a/list:v1}]\non: {image: a/on:v1}\nempty: {image: \"\"}\npolicy: {image: {pullPolicy: Always}}\nneither: {repository: a/b, tag: v1}\n",
    ));
    assert_eq!(workload.id.to_string(), "voice-dev:helmrelease/voice");
    let images: Vec<_> = workload
        .containers
        .iter()
        .map(|container| (container.name.as_str(), container.current.as_ref().expect("an image").to_string()))
        .collect();
    let expected = [
        ("chart-image", "a/main:v2"),
        ("B", "ghcr.io/a/b:v3"),
        // `image` is a key of the values too; what is in it is no image of its own.
        ("true", "a/on:v1"),
        ("web", "a/web:v1"),
    ];
    assert_eq!(images, expected.map(|(name, image)| (name, image.to_owned())));
    assert_eq!(workload.containers[1].shape, Shape::RegistryAndTag);
    assert_eq!(workload.containers[3].path, "spec.values.web.tag");
    assert_eq!((workload.containers[3].line, workload.containers[3].column), (6, 30));
}

/// As in Flux: an image that is called `image` is a container of that name.
#[test]
fn an_image_inside_image_is_called_image() {
    let workload = only(&release("image: {image: a/b, tag: v1}\n"));
    assert_eq!(workload.container_names().collect::<Vec<_>>(), ["image"]);
}

#[test]
fn containers_come_before_init_containers() {
    let workload = only(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {initContainers: [{name: i, image: a/i:v1}], containers: [{name: c, image: a/c:v1}, {name: bare}]}}}\n",
    );
    assert_eq!(workload.id.to_string(), "default:deployment/web");
    assert_eq!(workload.container_names().collect::<Vec<_>>(), ["c", "bare", "i"]);
    let problem = workload.containers[1].current.as_ref().expect_err("a problem").to_string();
    assert_eq!(problem, "spec.template.spec.containers[1].image is missing");
}

#[rstest]
#[case("web: {image: a/b, tag: 1.10}", "spec.values.web.tag must be a string, got number 1.1 — quote it")]
#[case("web: {image: a/b, tag: 150}", "spec.values.web.tag must be a string, got number 150 — quote it")]
#[case("web: {image: a/b, tag: yes}", "spec.values.web.tag must be a string, got boolean true — quote it")]
#[case("web: {image: 5}", "spec.values.web.image must be a string, got number 5 — quote it")]
#[case("web: {image: a/b:$(TAG)}", "spec.values.web.image: image \"a/b:$(TAG)\" contains a variable; cannot automate")]
#[case(
    "web: {image: A/b:v1}",
    "spec.values.web.image: invalid image reference \"A/b:v1\": a repository's path is in lower case, found 'A'"
)]
#[case("web: {image: a/b:v1, tag: v2}", "spec.values.web.tag: invalid tag \"v1:v2\"")]
fn an_image_that_cannot_be_told_says_why(#[case] values: &str, #[case] expected: &str) {
    let workload = only(&release(values));
    let problem = workload.containers[0].current.as_ref().expect_err("a problem").to_string();
    assert!(problem.contains(expected), "{problem}");
}

#[rstest]
#[case("apps/v1", "Deployment", true)]
#[case("extensions/v1beta1", "Deployment", true)]
#[case("apps/v1beta2", "StatefulSet", true)]
#[case("batch/v1beta1", "CronJob", true)]
#[case("helm.fluxcd.io/v1", "HelmRelease", true)]
#[case("helm.toolkit.fluxcd.io/v2", "HelmRelease", false)]
#[case("v1", "Pod", false)]
#[case("batch/v1", "Job", false)]
#[case("apps/v1", "ReplicaSet", false)]
fn which_kinds_are_workloads(#[case] api_version: &str, #[case] kind: &str, #[case] is_workload: bool) {
    let file = read(&format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{}}\n"));
    assert_eq!(!file.workloads.is_empty(), is_workload);
    assert_eq!(file.objects.len(), 1);
}

#[rstest]
#[case("voice-dev:helmrelease/voice", "voice-dev:helmrelease/voice")]
#[case("voice-dev:HelmRelease/voice", "voice-dev:helmrelease/voice")]
#[case("<cluster>:namespace/x", "<cluster>:namespace/x")]
fn a_workload_is_named_as_flux_names_it(#[case] text: &str, #[case] display: &str) {
    let id: tagboat_manifest::WorkloadId = text.parse().expect("a name");
    assert_eq!(id.to_string(), display);
}

#[rstest]
#[case("voice")]
#[case("a:b")]
#[case(":b/c")]
#[case("a:/c")]
#[case("a:b/")]
#[case("a b:c/d")]
#[case("../x:c/d")]
fn what_is_no_workload_is_told_the_form(#[case] text: &str) {
    let error = text.parse::<tagboat_manifest::WorkloadId>().expect_err("an error").to_string();
    assert!(error.contains("expected namespace:kind/name"), "{error}");
}
