//! Pushing images, indexes and removing tags, over the registry's own API.

use http::{Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Registry;
use crate::{Error, Result};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What an image says about itself. It has no layers: a registry needs none.
#[derive(Debug, Clone)]
pub struct ImageSpec {
    /// When it was built; `None` leaves the field out, as some build tools do.
    pub created: Option<Timestamp>,
    /// Labels of its configuration.
    pub labels: Vec<(String, String)>,
    /// Operating system and architecture.
    pub platform: (String, String),
    /// Docker's media types instead of OCI's.
    pub docker: bool,
}

impl Default for ImageSpec {
    fn default() -> Self {
        Self::created_at(Timestamp::now())
    }
}

impl ImageSpec {
    /// A Linux image that was built then.
    pub fn created_at(created: Timestamp) -> Self {
        Self { created: Some(created), labels: Vec::new(), platform: ("linux".into(), "amd64".into()), docker: false }
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// For another platform.
    #[must_use]
    pub fn platform(mut self, os: &str, architecture: &str) -> Self {
        self.platform = (os.to_owned(), architecture.to_owned());
        self
    }

    fn config(&self) -> Value {
        let labels: serde_json::Map<_, _> =
            self.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut config = json!({
            "os": self.platform.0,
            "architecture": self.platform.1,
            "config": { "Labels": labels },
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        if let Some(created) = self.created {
            config["created"] = json!(created);
        }
        config
    }
}

impl Registry {
    /// Pushes an image and names it `tag` (an existing tag moves); the answer is the manifest's digest.
    pub async fn push_image(&self, repository: &str, tag: &str, image: &ImageSpec) -> Result<String> {
        let config = image.config().to_string().into_bytes();
        let size = config.len();
        let digest = self.push_blob(repository, config).await?;
        let (manifest_type, config_type) =
            if image.docker { (DOCKER_MANIFEST, DOCKER_CONFIG) } else { (MANIFEST, CONFIG) };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": { "mediaType": config_type, "digest": digest, "size": size },
            "layers": [],
        });
        self.push_manifest(repository, tag, manifest_type, &manifest).await
    }

    /// Pushes an index (a manifest for several platforms) of images pushed before: their platform and digest.
    pub async fn push_index(&self, repository: &str, tag: &str, images: &[(&ImageSpec, &str)]) -> Result<String> {
        let docker = images.iter().all(|(image, _)| image.docker);
        let (index_type, manifest_type) = if docker { (DOCKER_INDEX, DOCKER_MANIFEST) } else { (INDEX, MANIFEST) };
        let mut manifests = Vec::new();
        for (image, digest) in images {
            let size = self.manifest_size(repository, digest).await?;
            let (os, architecture) = &image.platform;
            manifests.push(json!({
                "mediaType": manifest_type,
                "digest": digest,
                "size": size,
                "platform": { "os": os, "architecture": architecture },
            }));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": index_type, "manifests": manifests });
        self.push_manifest(repository, tag, index_type, &index).await
    }

    /// Pushes a manifest as it is given, also one that says strange things.
    pub async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        manifest: &Value,
    ) -> Result<String> {
        let body = manifest.to_string().into_bytes();
        let digest = sha256(&body);
        let uri = format!("{}/v2/{repository}/manifests/{reference}", self.url());
        let request = self.request(Method::PUT, &uri, repository)?.header(header::CONTENT_TYPE, media_type).body(body);
        expect(request, &format!("pushing {repository}:{reference}"), StatusCode::CREATED).await?;
        Ok(digest)
    }

    /// Pushes a blob; the answer is its digest.
    pub async fn push_blob(&self, repository: &str, content: Vec<u8>) -> Result<String> {
        let digest = sha256(&content);
        let what = format!("pushing the blob {digest} to {repository}");
        let uri = format!("{}/v2/{repository}/blobs/uploads/", self.url());
        let started = expect(self.request(Method::POST, &uri, repository)?, &what, StatusCode::ACCEPTED).await?;
        let location = started
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| Error::Answer { what: what.clone(), answer: "an upload without a Location".into() })?;
        let location =
            if location.starts_with('/') { format!("{}{location}", self.url()) } else { location.to_owned() };
        let separator = if location.contains('?') { '&' } else { '?' };
        let uri = format!("{location}{separator}digest={digest}");
        let request = self.request(Method::PUT, &uri, repository)?;
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream").body(content);
        expect(request, &what, StatusCode::CREATED).await?;
        Ok(digest)
    }

    /// Removes a tag; the image stays under its digest.
    pub async fn delete_tag(&self, repository: &str, tag: &str) -> Result<()> {
        let uri = format!("{}/v2/{repository}/manifests/{tag}", self.url());
        let request = self.request(Method::DELETE, &uri, repository)?;
        expect(request, &format!("deleting {repository}:{tag}"), StatusCode::ACCEPTED).await?;
        Ok(())
    }

    async fn manifest_size(&self, repository: &str, digest: &str) -> Result<usize> {
        let uri = format!("{}/v2/{repository}/manifests/{digest}", self.url());
        let what = format!("reading {repository}@{digest}");
        let request = self
            .request(Method::GET, &uri, repository)?
            .header(header::ACCEPT, format!("{MANIFEST}, {DOCKER_MANIFEST}"));
        let body = expect(request, &what, StatusCode::OK).await?.bytes().await.map_err(Error::http(what))?;
        Ok(body.len())
    }

    fn request(&self, method: Method, uri: &str, repository: &str) -> Result<reqwest::RequestBuilder> {
        let request = self.http.request(method, uri);
        Ok(match self.authorization(repository)? {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        })
    }
}

async fn expect(request: reqwest::RequestBuilder, what: &str, status: StatusCode) -> Result<reqwest::Response> {
    let answer = request.send().await.map_err(Error::http(what))?;
    if answer.status() == status {
        return Ok(answer);
    }
    let found = answer.status();
    let body = answer.text().await.unwrap_or_default();
    Err(Error::Answer { what: what.to_owned(), answer: format!("{found} instead of {status}: {body}") })
}

fn sha256(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
