//! The Kubernetes types that Tagboat reads and writes.
//!
//! * [`HelmRelease`] `helm.fluxcd.io/v1`, the contract of Flux v1's helm-operator, kept.
//! * [`annotations`]: every annotation and label key, of Flux and of Tagboat, in one place.
//! * [`crds`] generates the CustomResourceDefinitions that `charts/tagboat` installs.

pub mod annotations;
mod helm_release;

pub use helm_release::{
    ChartFileRef, ChartSourceSpec, ConditionType, ExternalSourceRef, HelmRelease, HelmReleaseCondition,
    HelmReleasePhase, HelmReleaseSpec, HelmReleaseStatus, KeyRef, LocalReference, RollbackSpec, SecretReference,
    TestSpec, ValuesFromSource,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The CustomResourceDefinitions that Tagboat needs.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![HelmRelease::crd()]
}

/// The definitions as `charts/tagboat/crds/` has them: one file each, by its name. `cargo xtask generate` writes them.
///
/// # Errors
/// A definition cannot be written as YAML.
pub fn crd_files() -> Result<Vec<(String, String)>, serde_saphyr::SerializeError> {
    crds()
        .iter()
        .map(|crd| {
            let name = format!("{}.yaml", crd.metadata.name.as_deref().unwrap_or(&crd.spec.names.plural));
            let yaml = serde_saphyr::to_string(crd)?;
            Ok((name, format!("# Generated from crates/api by `cargo xtask generate`; do not edit.\n{yaml}")))
        })
        .collect()
}
