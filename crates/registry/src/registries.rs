//! All registries behind one port.

use crate::config::{HostConfig, RegistryConfig};
use crate::credentials::DockerConfig;
use crate::error::RegistryError;
use crate::host::Host;
use crate::operation::Operation;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tagboat_engine::ports::{Fault, ImageAccess, ImageDetails, ImageRegistry, TagList};
use tagboat_image::{Digest, Tag};

/// Container registries, reached by the OCI distribution API.
///
/// Cheap to share behind an `Arc`. Connections, tokens, rates and pauses are kept for each host, so one value should
/// serve the whole process.
pub struct Registries {
    config: RegistryConfig,
    docker: Arc<DockerConfig>,
    hosts: Mutex<BTreeMap<String, Arc<Host>>>,
}

impl Registries {
    /// Checks the configuration and reads the files that it names. Nothing is asked of any registry.
    ///
    /// Where the process has not chosen a TLS provider by the first request, ring is installed.
    ///
    /// # Errors
    /// [`RegistryError::Config`] and [`RegistryError::File`] with the setting and what is allowed.
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        let docker = Arc::new(config.docker_config.as_deref().map(DockerConfig::read).transpose()?.unwrap_or_default());
        let mut hosts = BTreeMap::new();
        for host in &config.hosts {
            let made = Host::new(host, docker.clone(), &config.user_agent, &config.limits)?;
            if hosts.insert(host.host.clone(), Arc::new(made)).is_some() {
                let reason = "the host is configured twice".to_owned();
                return Err(RegistryError::Config { host: host.host.clone(), field: "host", reason });
            }
        }
        Ok(Self { config, docker, hosts: Mutex::new(hosts) })
    }

    /// How many requests each host got, by the answer's status; 0 stands for no answer. Requests to token servers and
    /// redirects count for the registry that caused them.
    pub fn requests(&self) -> BTreeMap<(String, u16), u64> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts
            .iter()
            .flat_map(|(name, host)| host.requests().into_iter().map(|(code, count)| ((name.clone(), code), count)))
            .collect()
    }

    fn host(&self, access: &ImageAccess) -> Result<Arc<Host>, RegistryError> {
        let name = access.repository.host();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return Ok(host.clone());
        }
        let host = HostConfig::new(name);
        let host = Arc::new(Host::new(&host, self.docker.clone(), &self.config.user_agent, &self.config.limits)?);
        hosts.insert(name.to_owned(), host.clone());
        Ok(host)
    }

    fn operation(&self) -> Operation {
        Operation::new(self.config.limits.operation)
    }
}

#[async_trait]
impl ImageRegistry for Registries {
    async fn tags(&self, access: &ImageAccess) -> Result<TagList, Fault> {
        let listed = async { self.host(access)?.tags(&self.operation(), access.repository.path()).await };
        listed.await.map_err(|error| error.into_fault(&format!("listing the tags of {}", access.repository)))
    }

    async fn digest(&self, access: &ImageAccess, tag: &Tag) -> Result<Option<Digest>, Fault> {
        let found = async { self.host(access)?.digest(&self.operation(), access.repository.path(), tag).await };
        found.await.map_err(|error| error.into_fault(&format!("asking for {}:{tag}", access.repository)))
    }

    async fn details(&self, access: &ImageAccess, digest: &Digest) -> Result<ImageDetails, Fault> {
        let read = async {
            let host = self.host(access)?;
            host.details(&self.operation(), access.repository.path(), digest, &self.config.platform).await
        };
        read.await.map_err(|error| error.into_fault(&format!("reading {}@{digest}", access.repository)))
    }

    async fn blob(&self, access: &ImageAccess, digest: &Digest) -> Result<Bytes, Fault> {
        let read = async { self.host(access)?.blob(&self.operation(), access.repository.path(), digest).await };
        read.await.map_err(|error| error.into_fault(&format!("reading the blob {digest} of {}", access.repository)))
    }
}
