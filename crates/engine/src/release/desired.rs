//! What a HelmRelease asks for, checked.

use crate::ports::{ChartRequest, ObjectRef, ReleaseObject};
use serde_json::{Map, Value};
use std::time::Duration;
use tagboat_api::HelmRelease;

/// Helm's limit: a release's name becomes part of labels and of object names.
const MAX_NAME: usize = 53;
/// helm-operator's default, in seconds.
const DEFAULT_TIMEOUT: i64 = 300;
/// helm-operator's default.
const DEFAULT_HISTORY: i64 = 10;
/// The largest values, in bytes of JSON.
const MAX_VALUES: usize = 1 << 20;

/// A HelmRelease that can be released.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The HelmRelease.
    pub id: ObjectRef,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// The release's name.
    pub release: String,
    /// The namespace of the release and its records.
    pub namespace: String,
    /// The chart.
    pub chart: ChartRequest,
    /// The user's values, a map.
    pub values: Value,
    /// Whether the release counts as done only when all objects are ready.
    pub wait: bool,
    /// How long a wait or a hook may take.
    pub timeout: Duration,
    /// How many records are kept; 0 keeps all.
    pub max_history: usize,
    /// Whether the chart's `crds/` are left out.
    pub skip_crds: bool,
    /// What the spec asks for and does not get; the release goes on.
    pub warnings: Vec<String>,
}

/// Why a HelmRelease cannot be released as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The chart is not given, or in a way that is not supported.
    #[error("{0}")]
    Chart(String),
    /// Anything else in the spec.
    #[error("{0}")]
    Spec(String),
}

impl Desired {
    /// Reads a HelmRelease.
    ///
    /// # Errors
    /// A field is missing, invalid, or asks for what would change the release and is not supported: guessing would
    /// deploy something else than what was asked for.
    pub fn of(object: &ReleaseObject) -> Result<Self, Refusal> {
        let release =
            object.object.as_ref().map_err(|text| Refusal::Spec(format!("the spec cannot be read: {text}")))?;
        let namespace = object.id.namespace.as_deref().unwrap_or("default");
        let spec = &release.spec;
        let chart = chart_of(release, namespace)?;
        let name = spec.release_name(namespace, &object.id.name);
        check_name(&name, spec.release_name.as_deref().is_some_and(|given| !given.is_empty()))?;
        refuse_unsupported(release)?;
        let values = Value::Object(spec.values.clone().unwrap_or_else(Map::new));
        let size = values.to_string().len();
        if size > MAX_VALUES {
            return Err(Refusal::Spec(format!("spec.values has {size} bytes, at most {MAX_VALUES} are allowed")));
        }
        let timeout = positive("spec.timeout", spec.timeout, DEFAULT_TIMEOUT, 1)?;
        let enabled = |flag: Option<bool>| flag.unwrap_or(false);
        let rollback = spec.rollback.as_ref().is_some_and(|rollback| enabled(rollback.enable));
        let test = spec.test.as_ref().is_some_and(|test| enabled(test.enable));
        Ok(Self {
            id: object.id.clone(),
            generation: release.metadata.generation,
            release: name,
            namespace: spec.target_namespace(namespace).to_owned(),
            chart,
            values,
            wait: spec.wait.unwrap_or(rollback || test),
            timeout: Duration::from_secs(timeout),
            max_history: usize::try_from(positive("spec.maxHistory", spec.max_history, DEFAULT_HISTORY, 0)?)
                .unwrap_or(usize::MAX),
            skip_crds: enabled(spec.skip_crds),
            warnings: warnings_of(release, rollback, test),
        })
    }
}

fn chart_of(release: &HelmRelease, namespace: &str) -> Result<ChartRequest, Refusal> {
    let chart = &release.spec.chart;
    fn given(field: &Option<String>) -> Option<&str> {
        field.as_deref().filter(|text| !text.is_empty())
    }
    if given(&chart.git).is_some() && given(&chart.path).is_some() {
        return Err(Refusal::Chart(
            "charts from git are not supported yet (spec.chart.git); the release is left as it is".to_owned(),
        ));
    }
    let fields = [("repository", &chart.repository), ("name", &chart.name), ("version", &chart.version)];
    let missing: Vec<String> = fields
        .iter()
        .filter(|(_, field)| given(field).is_none())
        .map(|(name, _)| format!("spec.chart.{name}"))
        .collect();
    if !missing.is_empty() {
        return Err(Refusal::Chart(format!(
            "could not find valid chart source configuration for release: {} missing; a chart needs repository, name and version",
            if missing.len() == 1 { format!("{} is", missing[0]) } else { format!("{} are", missing.join(", ")) }
        )));
    }
    let text = |field: &Option<String>| given(field).unwrap_or_default().to_owned();
    Ok(ChartRequest {
        repository: text(&chart.repository),
        name: text(&chart.name),
        version: text(&chart.version),
        namespace: namespace.to_owned(),
    })
}

/// Helm's own rule: a DNS name of at most 53 characters.
fn check_name(name: &str, given: bool) -> Result<(), Refusal> {
    let from = if given {
        "spec.releaseName"
    } else {
        "the default (namespace and name of the HelmRelease, joined by `-`); set spec.releaseName to a shorter one"
    };
    if name.len() > MAX_NAME {
        return Err(Refusal::Spec(format!(
            "the release name {name:?} has {} characters, Helm allows {MAX_NAME}; it is from {from}",
            name.len()
        )));
    }
    let part = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().next_back())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    if !name.split('.').all(part) {
        return Err(Refusal::Spec(format!(
            "the release name {name:?} is not one: only lower-case letters, digits, `-` and `.` are allowed, with a letter \
             or digit at both ends; it is from {from}"
        )));
    }
    Ok(())
}

/// What would give other values than were asked for.
fn refuse_unsupported(release: &HelmRelease) -> Result<(), Refusal> {
    let spec = &release.spec;
    let found = if !spec.values_from.is_empty() {
        "spec.valuesFrom"
    } else if !spec.value_file_secrets.is_empty() {
        "spec.valueFileSecrets"
    } else if spec.reset_values == Some(false) {
        "spec.resetValues: false"
    } else {
        return Ok(());
    };
    Err(Refusal::Spec(format!(
        "{found} is not supported yet, and without it the values would be others; nothing was released"
    )))
}

fn warnings_of(release: &HelmRelease, rollback: bool, test: bool) -> Vec<String> {
    let spec = &release.spec;
    let mut warnings = Vec::new();
    if rollback {
        warnings
            .push("spec.rollback is not supported yet: a failed upgrade stays failed and is tried again".to_owned());
    }
    if test {
        warnings.push("spec.test is not supported yet: the chart's tests are not run".to_owned());
    }
    if spec.force_upgrade == Some(true) {
        warnings.push("spec.forceUpgrade is not supported yet: objects are changed, not replaced".to_owned());
    }
    if spec.chart.chart_pull_secret.is_some() {
        warnings
            .push("spec.chart.chartPullSecret is not supported; credentials are in Tagboat's configuration".to_owned());
    }
    warnings
}

fn positive(field: &str, found: Option<i64>, default: i64, least: i64) -> Result<u64, Refusal> {
    let found = found.unwrap_or(default);
    u64::try_from(found)
        .ok()
        .filter(|_| found >= least)
        .ok_or_else(|| Refusal::Spec(format!("{field} is {found}, it must be at least {least}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, spec: Value) -> ReleaseObject {
        let id = ObjectRef {
            api_version: "helm.fluxcd.io/v1".to_owned(),
            kind: "HelmRelease".to_owned(),
            namespace: Some("voice-dev".to_owned()),
            name: name.to_owned(),
        };
        let object = json!({
            "apiVersion": "helm.fluxcd.io/v1", "kind": "HelmRelease",
            "metadata": {"name": name, "namespace": "voice-dev", "generation": 4}, "spec": spec,
        });
        let object = serde_json::from_value(object).map(Box::new).map_err(|error| error.to_string());
        ReleaseObject { object, id, uid: "u".to_owned() }
    }

    fn chart() -> Value {
        json!({"repository": "https://charts.example.com", "name": "voice", "version": "1.0.0"})
    }

    #[test]
    fn defaults_are_helm_operators() {
        let desired = Desired::of(&object("voice", json!({"chart": chart()}))).unwrap();
        assert_eq!((desired.release.as_str(), desired.namespace.as_str()), ("voice-dev-voice", "voice-dev"));
        assert_eq!((desired.wait, desired.timeout.as_secs(), desired.max_history), (false, 300, 10));
        assert_eq!((desired.values, desired.generation), (json!({}), Some(4)));
        let wait = object("voice", json!({"chart": chart(), "rollback": {"enable": true}}));
        let desired = Desired::of(&wait).unwrap();
        assert!(desired.wait);
        assert_eq!(desired.warnings.len(), 1);
    }

    #[test]
    fn a_name_that_helm_would_refuse_is_refused() {
        let long = "a".repeat(50);
        let text = Desired::of(&object(&long, json!({"chart": chart()}))).unwrap_err().to_string();
        assert!(text.contains("60 characters") && text.contains("spec.releaseName"), "{text}");
        for name in ["Voice", "-voice", "a..b", "a_b"] {
            let spec = json!({"chart": chart(), "releaseName": name});
            assert!(matches!(Desired::of(&object("voice", spec)), Err(Refusal::Spec(_))), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        let refused = |spec: Value| Desired::of(&object("voice", spec)).unwrap_err().to_string();
        assert!(
            refused(json!({"chart": {"git": "git@h:r", "path": "c"}}))
                .contains("charts from git are not supported yet")
        );
        let text = refused(json!({"chart": {"name": "voice"}}));
        assert!(text.contains("spec.chart.repository, spec.chart.version are missing"), "{text}");
        let from = json!({"chart": chart(), "valuesFrom": [{"secretKeyRef": {"name": "s"}}]});
        assert!(refused(from).contains("spec.valuesFrom is not supported yet"));
        assert!(refused(json!({"chart": chart(), "resetValues": false})).contains("spec.resetValues"));
        assert!(refused(json!({"chart": chart(), "timeout": -1})).contains("spec.timeout is -1"));
        assert!(refused(json!({"chart": "text"})).contains("cannot be read"));
    }
}
