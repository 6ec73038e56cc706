use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One Helm release: which chart, with which values, under which name.
///
/// Fields, defaults and meaning are those of helm-operator 1.4.4.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "helm.fluxcd.io",
    version = "v1",
    kind = "HelmRelease",
    plural = "helmreleases",
    shortname = "hr",
    shortname = "hrs",
    namespaced,
    status = "HelmReleaseStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Release","type":"string","jsonPath":".status.releaseName","description":"The name of the Helm release."}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase","description":"What is being done, or was done last."}"#,
    printcolumn = r#"{"name":"ReleaseStatus","type":"string","jsonPath":".status.releaseStatus","description":"Helm's own word for the release's status."}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type==\"Released\")].message","description":"How the last release went."}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct HelmReleaseSpec {
    /// Where the chart comes from: a Helm repository (`repository`, `name`, `version`) or git (`git`, `ref`, `path`).
    pub chart: ChartSourceSpec,
    /// The release's name, at most 53 characters. Default: `<namespace>-<name>`, or
    /// `<namespace>-<targetNamespace>-<name>` where the target namespace differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_name: Option<String>,
    /// The namespace of the release and its records. Default: the HelmRelease's own. It must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
    /// `v3` (or absent). Kept so that existing objects stay valid; Helm 2 releases are not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "helm_version_schema")]
    pub helm_version: Option<String>,
    /// How many revisions to keep; 0 keeps all. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_history: Option<i64>,
    /// Seconds that an install, an upgrade or an uninstall may take. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Whether to wait until all objects are ready. Default: only with `rollback.enable` or `test.enable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
    /// Replace objects on upgrade instead of changing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_upgrade: Option<bool>,
    /// `false` starts from the values of the last release. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_values: Option<bool>,
    /// Do not install the chart's `crds/`.
    #[serde(default, rename = "skipCRDs", skip_serializing_if = "Option::is_none")]
    pub skip_crds: Option<bool>,
    /// Do not check rendered objects against the API server's schema.
    #[serde(default, rename = "disableOpenAPIValidation", skip_serializing_if = "Option::is_none")]
    pub disable_open_api_validation: Option<bool>,
    /// Values; they win over `valuesFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object_schema")]
    pub values: Option<Map<String, Value>>,
    /// Where further values come from, in order; later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values_from: Vec<ValuesFromSource>,
    /// Deprecated: Secrets of the HelmRelease's namespace whose key `values.yaml` is read before `valuesFrom`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub value_file_secrets: Vec<LocalReference>,
    /// What to do when an upgrade fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackSpec>,
    /// Whether to run the chart's tests after an install or upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestSpec>,
}

/// Where a chart comes from. Git wins where `git` and `path` are both given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartSourceSpec {
    /// A git URL: `https://`, `ssh://` or `user@host:path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// Branch, tag or commit. Default: `master`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// The chart's folder in the git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A Secret with `username` and `password` for git over HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
    /// Do not fetch the dependencies of a chart from git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_dep_update: Option<bool>,
    /// The URL of a Helm repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The chart's name in the Helm repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The chart's version: exact, or a semver range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A Secret with `username` and `password` for the Helm repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart_pull_secret: Option<LocalReference>,
}

/// Names an object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalReference {
    /// The object's name.
    pub name: String,
}

/// Names a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// The Secret's name.
    pub name: String,
    /// Its namespace. Default: the HelmRelease's own; another one only where the configuration allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// One further source of values: exactly one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValuesFromSource {
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_source_ref: Option<ExternalSourceRef>,
    /// A file of the chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart_file_ref: Option<ChartFileRef>,
}

/// A key of a ConfigMap or Secret that holds YAML.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRef {
    /// The object's name.
    pub name: String,
    /// Its namespace. Default: the HelmRelease's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The key. Default: `values.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A URL that answers with YAML.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExternalSourceRef {
    /// `https://…`
    pub url: String,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A values file inside the chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChartFileRef {
    /// Relative to the chart's folder; it may not leave it.
    pub path: String,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// What to do when an upgrade fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackSpec {
    /// Roll back to the last deployed revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,
    /// Try the upgrade again after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<bool>,
    /// How often to try again; 0 without end. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<i64>,
    /// Replace objects instead of changing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    /// Restart the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recreate: Option<bool>,
    /// Run no hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_hooks: Option<bool>,
    /// Seconds that a rollback may take. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Wait until all objects are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

/// Whether to run the chart's tests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestSpec {
    /// Run them after every install and upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,
    /// A failed test fails nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_failures: Option<bool>,
    /// Seconds that a test may take. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Remove the test pods afterwards. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<bool>,
}

/// How a release stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmReleaseStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is being done, or was done last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<HelmReleasePhase>,
    /// The release's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_name: Option<String>,
    /// Helm's own word for the release's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_status: Option<String>,
    /// The chart revision last released with success: the chart's version, or a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The chart revision last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// Rollbacks since the last success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_count: Option<i64>,
    /// One for each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<HelmReleaseCondition>,
}

/// One aspect of how a release stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmReleaseCondition {
    /// Which aspect.
    #[serde(rename = "type")]
    pub type_: ConditionType,
    /// `True`, `False` or `Unknown`.
    #[schemars(schema_with = "condition_status_schema")]
    pub status: String,
    /// When it was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time_schema")]
    pub last_update_time: Option<Timestamp>,
    /// When `status` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time_schema")]
    pub last_transition_time: Option<Timestamp>,
    /// One word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people; the real error, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The aspects of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionType {
    /// The chart is at hand.
    ChartFetched,
    /// Helm's install or upgrade went through.
    Deployed,
    /// All of it went through, tests included.
    Released,
    /// It was rolled back.
    RolledBack,
    /// The chart's tests passed.
    Tested,
}

/// What is being done with a release, or was done last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are helm-operator's and say what they mean")]
pub enum HelmReleasePhase {
    ChartFetched,
    ChartFetchFailed,
    Installing,
    Upgrading,
    Deployed,
    DeployFailed,
    Testing,
    TestFailed,
    Tested,
    Succeeded,
    RollingBack,
    RolledBack,
    RollbackFailed,
    Failed,
}

impl HelmReleaseSpec {
    /// The release's name, by helm-operator's rule (section 1.1 of its reference).
    pub fn release_name(&self, namespace: &str, name: &str) -> String {
        match (&self.release_name, &self.target_namespace) {
            (Some(given), _) if !given.is_empty() => given.clone(),
            (_, Some(target)) if !target.is_empty() && target != namespace => {
                format!("{namespace}-{target}-{name}")
            }
            _ => format!("{namespace}-{name}"),
        }
    }

    /// The namespace of the release and its records.
    pub fn target_namespace<'a>(&'a self, namespace: &'a str) -> &'a str {
        self.target_namespace.as_deref().filter(|target| !target.is_empty()).unwrap_or(namespace)
    }
}

fn schema(value: Value) -> schemars::Schema {
    schemars::Schema::try_from(value).unwrap_or_default()
}

fn any_object_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema(serde_json::json!({"type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true}))
}

fn helm_version_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema(serde_json::json!({"type": "string", "nullable": true, "enum": ["v2", "v3"]}))
}

fn condition_status_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema(serde_json::json!({"type": "string", "enum": ["True", "False", "Unknown"]}))
}

fn date_time_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema(serde_json::json!({"type": "string", "nullable": true, "format": "date-time"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: Value) -> HelmReleaseSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn release_name_defaults_as_in_helm_operator() {
        let plain = spec(serde_json::json!({"chart": {}}));
        assert_eq!(plain.release_name("voice-dev", "voice"), "voice-dev-voice");
        let elsewhere = spec(serde_json::json!({"chart": {}, "targetNamespace": "web"}));
        assert_eq!(elsewhere.release_name("voice-dev", "voice"), "voice-dev-web-voice");
        let same = spec(serde_json::json!({"chart": {}, "targetNamespace": "voice-dev"}));
        assert_eq!(same.release_name("voice-dev", "voice"), "voice-dev-voice");
        let named = spec(serde_json::json!({"chart": {}, "releaseName": "voice"}));
        assert_eq!(named.release_name("voice-dev", "voice"), "voice");
    }

    #[test]
    fn crd_is_structural_and_keeps_values_whole() {
        let crd = serde_json::to_value(crate::crds().remove(0)).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        assert_eq!(spec["properties"]["values"]["x-kubernetes-preserve-unknown-fields"], true);
        assert_eq!(spec["required"], serde_json::json!(["chart"]));
        assert_eq!(crd["spec"]["names"]["shortNames"], serde_json::json!(["hr", "hrs"]));
    }
}
