//! Digests, details and blobs of images.

use crate::config::PlatformConfig;
use crate::error::{RegistryError, shown};
use crate::fetch::Request;
use crate::host::Host;
use crate::manifest::{ACCEPT, Manifest, Stated, choose};
use crate::operation::Operation;
use bytes::Bytes;
use reqwest::Method;
use sha2::{Digest as _, Sha256, Sha512};
use tagboat_engine::ports::ImageDetails;
use tagboat_image::{Digest, Tag};
use url::Url;

const CONTENT_DIGEST: &str = "docker-content-digest";

impl Host {
    /// The digest that a tag points to; `None` where the tag does not exist.
    pub(crate) async fn digest(
        &self,
        operation: &Operation,
        repository: &str,
        tag: &Tag,
    ) -> Result<Option<Digest>, RegistryError> {
        let mut request = self.manifest_request(repository, tag.as_str())?;
        request.method = Method::HEAD;
        let answer = match self.fetch(operation, &request).await {
            Ok(answer) => Some(answer),
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            // A registry without HEAD.
            Err(RegistryError::Status { status: 405, .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(answer) = answer
            && let Some(value) = answer.headers.get(CONTENT_DIGEST)
        {
            let digest = value.to_str().ok().and_then(|text| Digest::new(text).ok());
            return digest.map(Some).ok_or_else(|| answer.malformed(format!("its {CONTENT_DIGEST} is no digest")));
        }
        request.method = Method::GET;
        self.check_manifest_get(&request.url)?;
        match self.fetch(operation, &request).await {
            Ok(answer) => {
                let digest = format!("sha256:{}", hex(&Sha256::digest(&answer.body)));
                Digest::new(digest).map(Some).map_err(|error| answer.malformed(error.to_string()))
            }
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the manifest and the configuration say, through an index where it is one.
    pub(crate) async fn details(
        &self,
        operation: &Operation,
        repository: &str,
        digest: &Digest,
        platform: &PlatformConfig,
    ) -> Result<ImageDetails, RegistryError> {
        let unusable = |url: &Url, reason: String| RegistryError::Manifest { url: shown(url), reason };
        let (mut url, mut manifest) = self.manifest(operation, repository, digest).await?;
        if let Manifest::Index(manifests) = &manifest {
            let chosen = choose(manifests, platform).map_err(|reason| unusable(&url, reason))?;
            (url, manifest) = self.manifest(operation, repository, &chosen).await?;
        }
        let Manifest::Image(image) = manifest else {
            return Err(unusable(&url, "it is an index within an index; an index lists images".to_owned()));
        };
        let stated = match image.config {
            Some(config) => {
                let limit = self.limits.config_bytes;
                if usize::try_from(config.size).map_or(true, |size| size > limit) {
                    return Err(RegistryError::Limit { url: shown(&url), what: "the image's configuration", limit });
                }
                let what = "the image's configuration";
                let body = self.verified_blob(operation, repository, &config.digest, what, limit).await?;
                Stated::of_configuration(&body).map_err(|reason| unusable(&url, reason))?
            }
            None => image.stated,
        };
        Ok(ImageDetails { digest: digest.clone(), created: stated.created, labels: stated.labels })
    }

    /// A blob, checked against its digest.
    pub(crate) async fn blob(
        &self,
        operation: &Operation,
        repository: &str,
        digest: &Digest,
    ) -> Result<Bytes, RegistryError> {
        self.verified_blob(operation, repository, digest, "the blob", self.limits.blob_bytes).await
    }

    async fn verified_blob(
        &self,
        operation: &Operation,
        repository: &str,
        digest: &Digest,
        what: &'static str,
        limit: usize,
    ) -> Result<Bytes, RegistryError> {
        let url = self.url(repository, &format!("blobs/{digest}"))?;
        let request = Request { method: Method::GET, url, accept: "*/*", repository, what, limit };
        let body = self.fetch(operation, &request).await?.body;
        verify(&request.url, &body, digest)?;
        Ok(body)
    }

    async fn manifest(
        &self,
        operation: &Operation,
        repository: &str,
        digest: &Digest,
    ) -> Result<(Url, Manifest), RegistryError> {
        let request = self.manifest_request(repository, digest.as_str())?;
        self.check_manifest_get(&request.url)?;
        let answer = self.fetch(operation, &request).await?;
        verify(&request.url, &answer.body, digest)?;
        let manifest = Manifest::parse(&answer.body, answer.content_type())
            .map_err(|reason| RegistryError::Manifest { url: shown(&request.url), reason })?;
        Ok((request.url, manifest))
    }

    fn manifest_request<'a>(&self, repository: &'a str, reference: &str) -> Result<Request<'a>, RegistryError> {
        Ok(Request {
            method: Method::GET,
            url: self.url(repository, &format!("manifests/{reference}"))?,
            accept: ACCEPT,
            repository,
            what: "the size of a manifest",
            limit: self.limits.manifest_bytes,
        })
    }

    /// Refuses manifests where each counts as a pull.
    fn check_manifest_get(&self, url: &Url) -> Result<(), RegistryError> {
        if self.manifest_get {
            return Ok(());
        }
        Err(RegistryError::ManifestGet { url: shown(url), host: self.name.clone() })
    }
}

/// Checks content against the digest that it was asked by.
fn verify(url: &Url, content: &[u8], digest: &Digest) -> Result<(), RegistryError> {
    let found = match digest.algorithm() {
        "sha512" => hex(&Sha512::digest(content)),
        _ => hex(&Sha256::digest(content)),
    };
    if found == digest.hex() {
        return Ok(());
    }
    Err(RegistryError::Digest { url: shown(url), found: format!("{}:{found}", digest.algorithm()) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
