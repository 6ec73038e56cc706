//! Annotation and label keys.

/// Flux's own prefix: `fluxcd.io/automated`, `fluxcd.io/tag.<container>`.
pub const FLUX_PREFIX: &str = "fluxcd.io/";
/// Flux's older prefix; the same vocabulary. Where both are given, [`FLUX_PREFIX`] wins.
pub const FLUX_LEGACY_PREFIX: &str = "flux.weave.works/";
/// `filter.fluxcd.io/<container>` means `fluxcd.io/tag.<container>`.
pub const FILTER_PREFIX: &str = "filter.fluxcd.io/";
/// Tagboat's own prefix.
pub const TAGBOAT_PREFIX: &str = "tagboat.dev/";

/// Stops the automation of what it is on (D6).
pub const PAUSED: &str = "tagboat.dev/paused";
/// Stops mirror and release of what it is on, and its automation (D6).
pub const SUSPEND: &str = "tagboat.dev/suspend";
/// The source that applied an object.
pub const SOURCE: &str = "tagboat.dev/source";

/// Helm's mark of who owns an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`] on a release's objects.
pub const MANAGED_BY_HELM: &str = "Helm";
/// The release that an object belongs to.
pub const HELM_RELEASE_NAME: &str = "meta.helm.sh/release-name";
/// The namespace of the release that an object belongs to.
pub const HELM_RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
/// `keep`: the object stays when the release drops it.
pub const HELM_RESOURCE_POLICY: &str = "helm.sh/resource-policy";
/// helm-operator's mark: which HelmRelease an object came from, `<namespace>:helmrelease/<name>`.
pub const ANTECEDENT: &str = "helm.fluxcd.io/antecedent";
