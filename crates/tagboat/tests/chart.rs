//! The chart, rendered by the real `helm` and applied to a real API server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tagboat_testkit::Cluster;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/tagboat")
}

fn read_yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// Stands for a configuration with one repository.
const CONFIG: &str = "
config:
  sources:
  - name: infrastructure
    git:
      url: https://git.example.com/team/infrastructure.git
      credentials: {username: tagboat, passwordFile: /etc/tagboat/secrets/git/password}
";

/// Everything that can be set at once, apart from the configuration.
const FULL: &str = r#"
image: {tag: "1.2.3", pullPolicy: Always}
imagePullSecrets: [{name: pull}]
secrets: {git: tagboat-git, registry: tagboat-registry, slack: tagboat-slack, extra: [{name: charts, secret: charts}]}
api: {enabled: true}
networkPolicy: {enabled: true, metricsFrom: [{namespaceSelector: {}}], apiFrom: [{podSelector: {}}]}
podLabels: {team: platform}
podAnnotations: {example.com/owner: platform}
tolerations: [{operator: Exists}]
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy.example.com:3128"}]
"#;

fn values(texts: &[&str]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), texts.concat()).unwrap();
    file
}

/// A namespace that refuses every pod that does not meet the standard `restricted`.
async fn restricted(cluster: &Cluster, prefix: &str) -> String {
    let namespace = cluster.namespace(prefix).await.unwrap();
    let label = ["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"];
    cluster.kubectl(&label).await.unwrap();
    namespace
}

async fn install(cluster: &Cluster, namespace: &str, texts: &[&str]) -> tagboat_testkit::Result<String> {
    let (chart, values) = (chart(), values(texts));
    let (chart, values) = (chart.to_str().unwrap(), values.path().to_str().unwrap());
    cluster.helm(&["install", "tagboat", chart, "--namespace", namespace, "--values", values]).await
}

async fn can(cluster: &Cluster, account: &str, namespace: &str, verb: &str, resource: &str) -> bool {
    let user = format!("--as=system:serviceaccount:{account}");
    let review = ["--namespace", namespace, "auth", "can-i", verb, resource, &user];
    // `no` comes with exit status 1.
    cluster.kubectl(&review).await.is_ok_and(|answer| answer.trim() == "yes")
}

#[tokio::test]
async fn it_runs_where_pods_must_be_restricted() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = restricted(cluster, "chart").await;
    let kubectl = async |arguments: &[&str]| {
        let all = [&["--namespace", namespace.as_str()], arguments].concat();
        cluster.kubectl(&all).await
    };
    kubectl(&["run", "loose", "--image=example.org/loose:1"]).await.expect_err("the namespace refuses loose pods");

    let notes = install(cluster, &namespace, &[CONFIG, FULL]).await.unwrap();
    assert!(notes.contains("watches 1 repository."), "{notes}");
    kubectl(&["rollout", "status", "deployment/tagboat", "--timeout=60s"]).await.unwrap();
    let crd = cluster.kubectl(&["get", "crd", "helmreleases.helm.fluxcd.io", "--output=name"]).await.unwrap();
    assert_eq!(crd.trim(), "customresourcedefinition.apiextensions.k8s.io/helmreleases.helm.fluxcd.io");

    let config = kubectl(&["get", "configmap", "tagboat", r"--output=jsonpath={.data.config\.yaml}"]).await.unwrap();
    let config = read_yaml(&config);
    assert_eq!(config["cluster"]["namespace"], namespace.as_str());
    assert_eq!(config["sources"][0]["name"], "infrastructure");
    assert_eq!(config["notify"]["slack"]["webhookFile"], "/etc/tagboat/secrets/slack/webhook");
    assert_eq!(config["registries"]["dockerConfig"], "/etc/tagboat/secrets/registry/config.json");
    assert_eq!(config["listen"]["api"], "0.0.0.0:8082");
}

#[tokio::test]
async fn tagboat_takes_the_configuration_that_the_chart_makes() {
    let cluster = Cluster::shared().await.unwrap();
    let (chart, values) = (chart(), values(&[CONFIG, FULL]));
    let (chart, values) = (chart.to_str().unwrap(), values.path().to_str().unwrap());
    let show = ["template", "tagboat", chart, "--show-only", "templates/configmap.yaml", "--values", values];
    let object = read_yaml(&cluster.helm(&show).await.unwrap());
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), object["data"]["config.yaml"].as_str().unwrap()).unwrap();
    let check = |path: &Path| {
        let mut command = assert_cmd::Command::cargo_bin("tagboat").unwrap();
        command.args(["run", "--check", "--config"]).arg(path).assert()
    };
    check(file.path()).success();

    std::fs::write(file.path(), "sources: []\nnonsense: 1\n").unwrap();
    check(file.path()).failure();
}

#[tokio::test]
async fn the_cluster_profile_may_do_everything_and_the_namespaced_one_only_there() {
    let cluster = Cluster::shared().await.unwrap();
    let own = restricted(cluster, "chart-cluster").await;
    install(cluster, &own, &[CONFIG]).await.unwrap();
    let account = format!("{own}:tagboat");
    assert!(can(cluster, &account, "default", "escalate", "clusterroles").await);

    let (own, tenant) = (restricted(cluster, "chart-own").await, cluster.namespace("chart-tenant").await.unwrap());
    let profile = format!("rbac: {{profile: namespaced, namespaces: [{tenant}]}}\n");
    install(cluster, &own, &[CONFIG, &profile]).await.unwrap();
    let account = format!("{own}:tagboat");
    for (namespace, verb, resource, expected) in [
        (tenant.as_str(), "patch", "deployments.apps", true),
        (&tenant, "create", "secrets", true),
        (&own, "patch", "configmaps", true),
        (&own, "patch", "deployments.apps", false),
        ("default", "list", "helmreleases.helm.fluxcd.io", true),
        ("default", "patch", "helmreleases.helm.fluxcd.io", false),
        ("default", "get", "secrets", false),
        ("default", "create", "clusterroles", false),
    ] {
        let allowed = can(cluster, &account, namespace, verb, resource).await;
        assert_eq!(allowed, expected, "{verb} {resource} in {namespace}");
    }
}

#[tokio::test]
async fn a_mistake_in_the_values_is_named_before_anything_is_installed() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace("chart-mistake").await.unwrap();
    for (texts, expected) in [
        (&["rbac: {profile: cluster}"][..], "missing property 'sources'"),
        (&[CONFIG, "rbac: {profile: tenant}"], "'/rbac/profile'"),
        (&[CONFIG, "images: {}"], "'images' not allowed"),
        (&[CONFIG, "rbac: {profile: namespaced}"], "rbac.namespaces must name at least one namespace"),
        (&[CONFIG, "serviceAccount: {create: false}"], "serviceAccount.name is needed"),
    ] {
        let error = install(cluster, &namespace, texts).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{texts:?}: {error}");
    }
    let left = cluster.kubectl(&["--namespace", &namespace, "get", "deployments", "--output=name"]).await.unwrap();
    assert_eq!(left.trim(), "");
}

/// The paths of all values: a map's keys, down to what is no map or empty.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                paths(value, &path, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_readme_describes_each_value_and_no_other() {
    let mut found = BTreeSet::new();
    paths(&read_yaml(&std::fs::read_to_string(chart().join("values.yaml")).unwrap()), "", &mut found);
    // A pod's resources are the user's own map; they are described as one.
    found.retain(|path| !path.starts_with("resources."));
    found.insert("resources".to_owned());
    let readme = std::fs::read_to_string(chart().join("README.md")).unwrap();
    let described: BTreeSet<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(path, _)| path.to_owned()))
        .collect();
    assert_eq!(described, found);
}
