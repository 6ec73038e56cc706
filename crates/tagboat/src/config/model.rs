use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// `apply`, or `observe`: decide, compare and report everything, and write nothing anywhere.
    #[serde(default)]
    pub mode: Mode,
    /// Infrastructure repositories.
    pub sources: Vec<Source>,
    /// How registries are reached.
    #[serde(default)]
    pub registries: Registries,
    /// How charts are fetched and rendered.
    #[serde(default)]
    pub helm: Helm,
    /// The cluster.
    #[serde(default)]
    pub cluster: Cluster,
    /// Who is told of deployments.
    #[serde(default)]
    pub notify: Notify,
    /// Where it listens.
    #[serde(default)]
    pub listen: Listen,
    /// A folder for what may be lost: clones, charts, tags.
    #[serde(default = "default_cache")]
    pub cache: PathBuf,
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Commit, apply, release.
    #[default]
    Apply,
    /// Write nothing.
    Observe,
}

/// One infrastructure repository.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Its name, in lower case.
    pub name: String,
    /// Where it is.
    pub git: Git,
    /// The paths that are mirrored; empty for all of it.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The namespace of namespaced objects that name none.
    #[serde(default = "default_namespace")]
    pub default_namespace: String,
}

/// A git repository and branch.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Git {
    /// `https://…`, `ssh://…` or `user@host:path`, without credentials.
    pub url: String,
    /// The branch.
    #[serde(default = "default_branch")]
    pub branch: String,
    /// How long after a fetch the next one begins.
    #[serde(default = "default_git_interval", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub interval: Duration,
    /// Deadline for one fetch or push.
    #[serde(default = "default_git_timeout", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Author and committer of Tagboat's commits.
    #[serde(default)]
    pub author: Author,
    /// Further authors whose commits are automation's, by mail address.
    #[serde(default)]
    pub automation_emails: Vec<String>,
    /// What the remote wants to see.
    #[serde(default)]
    pub credentials: Option<GitCredentials>,
    /// Whether plain `http://` is accepted.
    #[serde(default)]
    pub allow_http: bool,
    /// Certificates to trust besides the system's, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// The author of commits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Author {
    /// The name.
    #[serde(default = "default_author_name")]
    pub name: String,
    /// The mail address.
    #[serde(default = "default_author_email")]
    pub email: String,
}

impl Default for Author {
    fn default() -> Self {
        Self { name: default_author_name(), email: default_author_email() }
    }
}

/// Credentials for git: either a password or an SSH key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitCredentials {
    /// The user name for HTTP; many hosts take any with a token.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with the password or token.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A file with the SSH private key.
    #[serde(default)]
    pub ssh_key_file: Option<PathBuf>,
    /// A file with the trusted host keys, in the format of `known_hosts`.
    #[serde(default)]
    pub known_hosts_file: Option<PathBuf>,
}

/// How registries are reached.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registries {
    /// How long after a scan the next one begins.
    #[serde(default = "default_image_interval", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub interval: Duration,
    /// Settings of single hosts.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// A `config.json` as `docker login` writes it.
    #[serde(default)]
    pub docker_config: Option<PathBuf>,
}

impl Default for Registries {
    fn default() -> Self {
        Self { interval: default_image_interval(), hosts: Vec::new(), docker_config: None }
    }
}

/// One registry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Host {
    /// The host as image references name it, with its port if it has one.
    pub host: String,
    /// Where it is really reached: a mirror or a stand-in.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<url::Url>,
    /// Whether plain HTTP may be used.
    #[serde(default)]
    pub plain_http: bool,
    /// Certificates to trust besides the system's, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The user name.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with the password or token.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Hosts besides those of its own site to which this registry may send for a token.
    #[serde(default)]
    pub token_hosts: Vec<String>,
    /// Whether manifests are fetched with GET, which Docker Hub counts as pulls. Default: everywhere but at Docker Hub.
    #[serde(default)]
    pub manifest_get: Option<bool>,
    /// Requests a second, at most.
    #[serde(default)]
    pub requests_per_second: Option<std::num::NonZeroU32>,
}

/// How charts are fetched and rendered.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Helm {
    /// The renderer's executable. Default: `tagboat-renderer` beside `tagboat`.
    #[serde(default)]
    pub renderer: Option<PathBuf>,
    /// Mirrors of chart repositories.
    #[serde(default)]
    pub mirrors: Vec<ChartMirror>,
    /// Chart repositories with credentials.
    #[serde(default)]
    pub repositories: Vec<ChartRepository>,
}

/// Another place for a chart repository.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChartMirror {
    /// The repository's URL as HelmReleases write it.
    pub repository: String,
    /// Where it is fetched instead.
    pub mirror: String,
}

/// A chart repository with credentials.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChartRepository {
    /// The repository's URL.
    pub url: String,
    /// The user name.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whether plain HTTP may be used.
    #[serde(default)]
    pub plain_http: bool,
}

/// The cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// The namespace of Tagboat's own objects: inventory, lease.
    #[serde(default = "default_own_namespace")]
    pub namespace: String,
    /// Whether Tagboat installs and updates its CustomResourceDefinitions.
    #[serde(default = "yes")]
    pub install_crds: bool,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { namespace: default_own_namespace(), install_crds: true }
    }
}

/// Who is told of deployments.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notify {
    /// Slack.
    #[serde(default)]
    pub slack: Option<Slack>,
}

/// A Slack channel, by an incoming webhook.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slack {
    /// A file with the webhook's URL, which is a secret.
    pub webhook_file: PathBuf,
    /// Whether the webhook may be plain HTTP, on loopback.
    #[serde(default)]
    pub plain_http: bool,
}

/// Where it listens.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    /// Probes and metrics.
    #[serde(default = "default_probes")]
    pub probes: std::net::SocketAddr,
    /// The read API on the pod's loopback, reached by port-forward, without a token.
    #[serde(default = "default_local_api")]
    pub local_api: std::net::SocketAddr,
    /// The read API for everyone with a token that the API server vouches for.
    #[serde(default)]
    pub api: Option<std::net::SocketAddr>,
}

impl Default for Listen {
    fn default() -> Self {
        Self { probes: default_probes(), local_api: default_local_api(), api: None }
    }
}

fn yes() -> bool {
    true
}

fn default_cache() -> PathBuf {
    PathBuf::from("/var/cache/tagboat")
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn default_own_namespace() -> String {
    "tagboat".to_owned()
}

fn default_branch() -> String {
    "main".to_owned()
}

fn default_author_name() -> String {
    "Tagboat".to_owned()
}

fn default_author_email() -> String {
    "tagboat@localhost".to_owned()
}

fn default_git_interval() -> Duration {
    Duration::from_secs(30)
}

fn default_git_timeout() -> Duration {
    Duration::from_secs(60)
}

fn default_image_interval() -> Duration {
    Duration::from_secs(15)
}

fn default_probes() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([0, 0, 0, 0], 8080))
}

fn default_local_api() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], 8081))
}

/// The longest duration that makes sense anywhere here.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |why: &str| {
        serde::de::Error::custom(format!(
            "invalid duration {text:?}: {why}; write it like \"30s\", \"5m\" or \"1h30m\""
        ))
    };
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong("not a duration"))?;
    let duration = Duration::try_from(span).map_err(|_| wrong("it is negative"))?;
    if duration < Duration::from_millis(100) || duration > LONGEST {
        return Err(wrong("it must be between 100ms and 24h"));
    }
    Ok(duration)
}
