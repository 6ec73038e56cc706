//! What can be configured.

use secrecy::SecretString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// How registries are reached. Hosts that are not listed are reached over https, without credentials of their own.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Settings of single hosts.
    pub hosts: Vec<HostConfig>,
    /// A `config.json` as `docker login` writes it; its `auths` are used. Credential helpers are not run.
    pub docker_config: Option<PathBuf>,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Which image of an index counts.
    pub platform: PlatformConfig,
    /// Sizes and times.
    pub limits: Limits,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            docker_config: None,
            user_agent: concat!("tagboat/", env!("CARGO_PKG_VERSION")).to_owned(),
            platform: PlatformConfig::default(),
            limits: Limits::default(),
        }
    }
}

/// Settings of one registry.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The host as image references name it, with its port if it has one: `docker.io`, `ghcr.io`, `localhost:5000`.
    pub host: String,
    /// Where the host is really reached: a mirror or a stand-in, `https://mirror.example/prefix`.
    pub endpoint: Option<Url>,
    /// Whether requests and credentials may go over http without TLS. Never a fallback: with `false`, http is refused.
    pub plain_http: bool,
    /// A PEM bundle of certificate authorities to trust for this host besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The user; with `password`, it comes before what `docker_config` says.
    pub username: Option<String>,
    /// The user's password or access token.
    pub password: Option<SecretString>,
    /// Hosts besides those of its own site to which this registry may send us for a token.
    pub token_hosts: Vec<String>,
    /// How many requests a second this host gets at most, and at once.
    pub requests_per_second: NonZeroU32,
    /// Whether manifests are fetched with GET. Docker Hub counts each as a pull, so `None` means: not at Docker Hub
    /// itself, but everywhere else and at a mirror of it.
    pub manifest_get: Option<bool>,
}

impl HostConfig {
    /// The requests a second that a host gets where nothing else is configured.
    pub const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();

    /// The settings that a host has where nothing is configured.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            endpoint: None,
            plain_http: false,
            ca_file: None,
            username: None,
            password: None,
            token_hosts: Vec::new(),
            requests_per_second: Self::REQUESTS_PER_SECOND,
            manifest_get: None,
        }
    }
}

/// A platform, in the words of Go and of OCI indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformConfig {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
}

impl Default for PlatformConfig {
    fn default() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned() }
    }
}

/// The most that is taken from a registry. Each has an error that names it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many tags a page is asked for; registries may give fewer.
    pub page_size: u32,
    /// Bytes of one page of tags.
    pub page_bytes: usize,
    /// Pages of one list.
    pub pages: usize,
    /// Tags of one repository.
    pub tags: usize,
    /// Bytes of a manifest.
    pub manifest_bytes: usize,
    /// Bytes of an image's configuration.
    pub config_bytes: usize,
    /// Bytes of any other blob (a chart).
    pub blob_bytes: usize,
    /// How long one operation may take in all, the wait for the host's rate aside.
    pub operation: Duration,
    /// How long a connection may take to come up.
    pub connect: Duration,
    /// How long the other side may be silent.
    pub read: Duration,
    /// How long an operation waits for the host's rate.
    pub queue: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            page_size: 1000,
            page_bytes: 4 * MIB,
            pages: 100,
            tags: 50_000,
            manifest_bytes: 4 * MIB,
            config_bytes: 8 * MIB,
            blob_bytes: 50 * MIB,
            operation: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            read: Duration::from_secs(15),
            queue: Duration::from_secs(300),
        }
    }
}
