//! From the configuration to the adapters.

use crate::config::{Config, GitCredentials, Host, Source};
use anyhow::{Context, Result, bail};
use secrecy::SecretString;
use std::path::Path;
use std::sync::Arc;
use tagboat_engine::decide::Automation;
use tagboat_engine::ports::{Clock, Person, SourceId};
use tagboat_git::{Credentials, GitConfig, KnownHosts, Repository, SecretValue};
use tagboat_helm::{ChartRepositories, ChartRepositoriesOptions, HelmRenderer, RendererOptions};
use tagboat_notify::{SlackOptions, SlackWebhook};
use tagboat_registry::{HostConfig, RedbTagStore, Registries, RegistryConfig};

/// How many repositories the tag store remembers.
const REMEMBERED: usize = 5_000;
/// Proxy settings that the network part of git may see.
const PROXIES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"];

/// The client configuration for the API server.
pub async fn kubernetes(kubeconfig: Option<&Path>) -> Result<kube::Config> {
    let Some(path) = kubeconfig else {
        return kube::Config::incluster()
            .context("there is no service account here; outside a cluster, name a kubeconfig with --kubeconfig");
    };
    let file = kube::config::Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
    for user in &file.auth_infos {
        let info = user.auth_info.as_ref();
        if info.is_some_and(|info| info.exec.is_some() || info.auth_provider.is_some()) {
            bail!(
                "{}: user {:?} has an exec plugin; the controller runs no programs of a kubeconfig",
                path.display(),
                user.name
            );
        }
    }
    kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
        .await
        .with_context(|| format!("{} cannot be used", path.display()))
}

/// One source's repository, and whose commits in it are automation's.
pub async fn git(config: &Config, source: &Source, clock: Arc<dyn Clock>) -> Result<(Repository, Automation)> {
    let author = Person { name: source.git.author.name.clone(), email: source.git.author.email.clone() };
    let mut automation = Automation::known(&author);
    automation.emails.extend(source.git.automation_emails.iter().cloned());
    let directory = config.cache.join("git").join(&source.name);
    let mut settings = GitConfig::new(
        SourceId(source.name.clone()),
        source.git.url.clone(),
        source.git.branch.clone(),
        directory,
        author,
    );
    settings.timeout = source.git.timeout;
    settings.allow_http = source.git.allow_http;
    settings.ca_file = source.git.ca_file.clone();
    settings.credentials = source.git.credentials.as_ref().map_or(Credentials::None, credentials);
    settings.environment =
        PROXIES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
    let problems = settings.problems();
    if !problems.is_empty() {
        let lines: Vec<String> =
            problems.iter().map(|problem| format!("sources {:?}: {problem}", source.name)).collect();
        bail!("the configuration cannot be used\n  {}", lines.join("\n  "));
    }
    let repository = Repository::open(settings, clock)
        .await
        .with_context(|| format!("cannot set up the source {:?}", source.name))?;
    Ok((repository, automation))
}

fn credentials(given: &GitCredentials) -> Credentials {
    match (&given.password_file, &given.ssh_key_file, &given.known_hosts_file) {
        (Some(password), ..) => Credentials::Basic {
            username: given.username.clone().unwrap_or_else(|| "git".to_owned()),
            password: SecretValue::File(password.clone()),
        },
        (None, Some(key), Some(hosts)) => {
            Credentials::Ssh { identity: SecretValue::File(key.clone()), known_hosts: KnownHosts::File(hosts.clone()) }
        }
        _ => Credentials::None,
    }
}

/// The registries.
pub fn registries(config: &Config) -> Result<Registries> {
    let hosts = config.registries.hosts.iter().map(host).collect::<Result<_>>()?;
    let settings =
        RegistryConfig { hosts, docker_config: config.registries.docker_config.clone(), ..RegistryConfig::default() };
    Registries::new(settings).context("registries")
}

fn host(given: &Host) -> Result<HostConfig> {
    let mut host = HostConfig::new(given.host.clone());
    host.endpoint = given.endpoint.clone();
    host.plain_http = given.plain_http;
    host.ca_file = given.ca_file.clone();
    host.token_hosts = given.token_hosts.clone();
    host.manifest_get = given.manifest_get;
    host.username = given.username.clone();
    host.password = given.password_file.as_deref().map(secret).transpose()?;
    if let Some(rate) = given.requests_per_second {
        host.requests_per_second = rate;
    }
    Ok(host)
}

/// What earlier scans found.
pub fn tag_store(config: &Config) -> Result<RedbTagStore> {
    let path = config.cache.join("tags.redb");
    RedbTagStore::open(&path, REMEMBERED).with_context(|| format!("cannot open {}", path.display()))
}

/// Where charts come from.
pub fn charts(config: &Config) -> Result<ChartRepositories> {
    let mut options = ChartRepositoriesOptions::new(config.cache.join("charts"));
    options.mirrors =
        config.helm.mirrors.iter().map(|given| (given.repository.clone(), given.mirror.clone())).collect();
    for given in &config.helm.repositories {
        let url: url::Url =
            given.url.parse().with_context(|| format!("helm.repositories: {:?} is not a URL", given.url))?;
        if let (Some(username), Some(file)) = (&given.username, &given.password_file) {
            let credentials = tagboat_helm::Credentials { username: username.clone(), password: secret(file)? };
            options.credentials.insert(url.origin().ascii_serialization(), credentials);
        }
        if given.plain_http
            && let Some(host) = url.host_str()
        {
            options.plain_http.insert(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
        }
    }
    ChartRepositories::new(options).context("helm")
}

/// Helm's library.
pub fn renderer(config: &Config) -> Result<HelmRenderer> {
    let renderer =
        HelmRenderer::new(RendererOptions { program: config.helm.renderer.clone(), ..RendererOptions::default() });
    renderer.program().context("helm.renderer")?;
    Ok(renderer)
}

/// Slack, where it is configured.
pub fn slack(config: &Config) -> Result<Option<SlackWebhook>> {
    let Some(given) = &config.notify.slack else { return Ok(None) };
    let options = SlackOptions { allow_http: given.plain_http, ..SlackOptions::default() };
    SlackWebhook::new(secret(&given.webhook_file)?, options).context("notify.slack").map(Some)
}

/// A secret from a file; one line break at its end is not part of it.
fn secret(path: &Path) -> Result<SecretString> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the secret in {}", path.display()))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}
