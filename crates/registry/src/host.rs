//! One registry: where it is, who we are there, and how much it may be asked.

use crate::auth::AuthState;
use crate::config::{HostConfig, Limits};
use crate::credentials::{Credential, DockerConfig};
use crate::error::RegistryError;
use crate::operation::Operation;
use crate::site::{Reach, Resolver, is_loopback};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::{Certificate, Client, redirect};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tagboat_image::DOCKER_HUB;
use tokio::time::Instant;
use url::Url;

/// Where Docker Hub's registry answers; images name it `docker.io`.
const DOCKER_HUB_REGISTRY: &str = "registry-1.docker.io";

/// What a host may ask us to stay away for; a larger wish is cut to it.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// One registry.
pub(crate) struct Host {
    /// As image references name it.
    pub(crate) name: String,
    /// Where it is reached; the path ends with a slash.
    pub(crate) origin: Url,
    /// Whether http is allowed.
    pub(crate) plain_http: bool,
    /// Hosts besides its own site that may give tokens for it.
    pub(crate) token_hosts: Vec<String>,
    /// Whether manifests are fetched with GET.
    pub(crate) manifest_get: bool,
    /// Sizes and times.
    pub(crate) limits: Limits,
    /// Connections.
    pub(crate) clients: Clients,
    credential: Option<Credential>,
    docker: Arc<DockerConfig>,
    limiter: DefaultDirectRateLimiter,
    paused: Mutex<Option<Instant>>,
    auth: Mutex<AuthState>,
    requests: Mutex<BTreeMap<u16, u64>>,
}

impl Host {
    /// Makes a host of its settings; nothing is asked of it yet.
    pub(crate) fn new(
        config: &HostConfig,
        docker: Arc<DockerConfig>,
        user_agent: &str,
        limits: &Limits,
    ) -> Result<Self, RegistryError> {
        let origin = origin(config)?;
        let credential = match (&config.username, &config.password) {
            (Some(username), Some(password)) => {
                Some(Credential::Password { username: username.clone(), password: password.clone() })
            }
            (None, None) => None,
            _ => return Err(invalid(config, "username", "username and password must be given together")),
        };
        let ca = config.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        Ok(Self {
            name: config.host.clone(),
            // Where the endpoint is https, nothing about the host is http, whatever was allowed.
            plain_http: origin.scheme() == "http",
            token_hosts: config.token_hosts.clone(),
            manifest_get: config.manifest_get.unwrap_or(config.host != DOCKER_HUB || config.endpoint.is_some()),
            limits: limits.clone(),
            clients: Clients::new(&origin, ca, user_agent, limits),
            origin,
            credential,
            docker,
            limiter: RateLimiter::direct(Quota::per_second(config.requests_per_second)),
            paused: Mutex::default(),
            auth: Mutex::default(),
            requests: Mutex::default(),
        })
    }

    /// The credential for a repository. What is configured for the host goes where the host's endpoint is, that is what
    /// was asked for. What a `config.json` has is for exactly the host that it names: a mirror gets its own.
    pub(crate) fn credential(&self, repository: &str) -> Option<&Credential> {
        self.credential.as_ref().or_else(|| self.docker.find(&self.asked_host(), repository))
    }

    /// The host that really gets the requests, as a `config.json` names it.
    fn asked_host(&self) -> String {
        let host = self.origin.host_str().unwrap_or_default();
        match self.origin.port() {
            Some(port) => format!("{host}:{port}"),
            None if host == DOCKER_HUB_REGISTRY => DOCKER_HUB.to_owned(),
            // `example.com:443` is spelled with its port in references, and in what `docker login` wrote for it.
            None if self.name.strip_suffix(":443").is_some_and(|name| name == host) => self.name.clone(),
            None => host.to_owned(),
        }
    }

    /// What was learnt about how it wants to be told who we are.
    pub(crate) fn auth(&self) -> MutexGuard<'_, AuthState> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the host may be asked: for the end of a pause if it comes in time, and for the host's rate.
    pub(crate) async fn ready(&self, operation: &Operation) -> Result<(), RegistryError> {
        let pause = self.pause_left();
        if pause > Duration::ZERO {
            if pause >= operation.remaining() {
                return Err(RegistryError::Throttled { host: self.name.clone(), wait: pause });
            }
            tokio::time::sleep(pause).await;
        }
        let started = Instant::now();
        let turn = tokio::time::timeout(self.limits.queue, self.limiter.until_ready()).await;
        // The wait is of our own making: the host must not lose the time.
        operation.extend(started.elapsed());
        turn.map_err(|_| RegistryError::Queue { host: self.name.clone(), after: self.limits.queue })
    }

    /// Leaves the host alone for this long; other hosts go on.
    pub(crate) fn pause(&self, wait: Duration) -> RegistryError {
        let wait = wait.min(LONGEST_PAUSE);
        let until = Instant::now() + wait;
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.is_none_or(|before| before < until) {
            *paused = Some(until);
            tracing::warn!(
                registry.host = self.name,
                pause_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "the registry asked for fewer requests and is left alone"
            );
        }
        RegistryError::Throttled { host: self.name.clone(), wait }
    }

    fn pause_left(&self) -> Duration {
        let paused = *self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Counts a request by its answer's status; 0 where there was none.
    pub(crate) fn count(&self, status: u16) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    /// Requests so far, by status.
    pub(crate) fn requests(&self) -> BTreeMap<u16, u64> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn invalid(config: &HostConfig, field: &'static str, reason: impl Into<String>) -> RegistryError {
    RegistryError::Config { host: config.host.clone(), field, reason: reason.into() }
}

/// Where the host is reached.
fn origin(config: &HostConfig) -> Result<Url, RegistryError> {
    let mut origin = match &config.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => {
            let authority = if config.host == DOCKER_HUB { DOCKER_HUB_REGISTRY } else { &config.host };
            let scheme = if config.plain_http { "http" } else { "https" };
            Url::parse(&format!("{scheme}://{authority}/"))
                .map_err(|error| invalid(config, "host", format!("{:?} is no host: {error}", config.host)))?
        }
    };
    let wrong = |reason: &str| Err(invalid(config, "endpoint", reason));
    match origin.scheme() {
        "https" => {}
        "http" if config.plain_http => {}
        "http" => return wrong("http needs plain_http: true; without it, only https is used"),
        _ => return wrong("an endpoint begins with https:// (or http://, with plain_http: true)"),
    }
    if !origin.username().is_empty() || origin.password().is_some() {
        return wrong("user and password do not belong into the URL; use username and password");
    }
    if origin.query().is_some() || origin.fragment().is_some() || origin.host().is_none() {
        return wrong("an endpoint is scheme, host, port and path");
    }
    if !origin.path().ends_with('/') {
        origin.set_path(&format!("{}/", origin.path()));
    }
    Ok(origin)
}

/// The authorities in a PEM bundle.
fn certificates(path: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let fail = |reason: String| RegistryError::File { path: path.to_path_buf(), reason };
    let pem = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| fail(format!("no PEM certificates: {error}")))?;
    if found.is_empty() { Err(fail("it holds no PEM certificate".to_owned())) } else { Ok(found) }
}

/// Connections to one host, and to where it sends us. Made when first used: each holds the system's authorities.
pub(crate) struct Clients {
    own: OnceLock<Result<Client, RegistryError>>,
    public: OnceLock<Result<Client, RegistryError>>,
    internal: OnceLock<Result<Client, RegistryError>>,
    build: Box<dyn Fn(Option<Reach>) -> Result<Client, RegistryError> + Send + Sync>,
}

impl Clients {
    fn new(origin: &Url, ca: Vec<Certificate>, user_agent: &str, limits: &Limits) -> Self {
        let origin = origin.clone();
        let user_agent = user_agent.to_owned();
        let (connect, read) = (limits.connect, limits.read);
        let build = move |reach: Option<Reach>| {
            if rustls::crypto::CryptoProvider::get_default().is_none() {
                // Somebody may have been faster; theirs serves as well.
                let _ = rustls::crypto::ring::default_provider().install_default();
            }
            let mut builder = Client::builder()
                .user_agent(&user_agent)
                .redirect(redirect::Policy::none())
                .referer(false)
                .https_only(origin.scheme() == "https")
                .connect_timeout(connect)
                .read_timeout(read)
                .pool_max_idle_per_host(4);
            if !ca.is_empty() {
                builder = builder.tls_certs_merge(ca.iter().cloned());
            }
            if let Some(reach) = reach {
                builder = builder.dns_resolver(Resolver::new(reach));
            }
            if is_loopback(&origin) {
                builder = builder.no_proxy();
            }
            builder.build().map_err(|error| RegistryError::Config {
                host: origin.authority().to_owned(),
                field: "ca_file",
                reason: format!("no HTTP client can be made: {}", crate::answer::causes(&error)),
            })
        };
        Self { own: OnceLock::new(), public: OnceLock::new(), internal: OnceLock::new(), build: Box::new(build) }
    }

    /// For the host itself, wherever its address is.
    pub(crate) fn own(&self) -> Result<&Client, RegistryError> {
        self.own.get_or_init(|| (self.build)(None)).as_ref().map_err(Clone::clone)
    }

    /// For other hosts that it names, as far as it may lead us.
    pub(crate) fn foreign(&self, reach: Reach) -> Result<&Client, RegistryError> {
        let slot = match reach {
            Reach::Public => &self.public,
            Reach::Internal => &self.internal,
        };
        slot.get_or_init(|| (self.build)(Some(reach))).as_ref().map_err(Clone::clone)
    }
}

#[cfg(test)]
impl Host {
    /// A host without credentials.
    pub(crate) fn for_tests(name: &str, plain_http: bool) -> Self {
        let config = HostConfig { plain_http, ..HostConfig::new(name) };
        Self::new(&config, Arc::default(), "test", &Limits::default()).unwrap()
    }
}
