//! Manifests, indexes and image configurations, as far as they matter here.

use crate::config::PlatformConfig;
use jiff::Timestamp;
use oci_spec::image::{Descriptor, MediaType};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use tagboat_image::Digest;

/// Every kind of manifest that is read; an index comes first, so that a tag's digest is the index's.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// The labels that are kept: where the image's source is.
const LABELS: [&str; 2] = ["org.opencontainers.image.revision", "org.opencontainers.image.source"];
/// The build time where there is no image configuration (charts and other artifacts).
const CREATED: &str = "org.opencontainers.image.created";
/// A longer label is no revision and no address.
const MAX_LABEL: usize = 1024;

/// A manifest that can be used.
#[derive(Debug)]
pub(crate) enum Manifest {
    /// One image, or another artifact.
    Image(Image),
    /// One image for each platform.
    Index(Vec<Descriptor>),
}

/// What a manifest says of one image.
#[derive(Debug)]
pub(crate) struct Image {
    /// The image's configuration; `None` where the artifact is no image.
    pub(crate) config: Option<Blob>,
    /// What the manifest's annotations say.
    pub(crate) stated: Stated,
}

/// A blob to fetch.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// What an image says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) created: Option<Timestamp>,
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<HashMap<String, String>>,
}

impl Manifest {
    /// Reads a manifest. A document that could be read as two kinds is refused: others might read the other one.
    pub(crate) fn parse(body: &[u8], content_type: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(body)
            .map_err(|error| format!("no manifest at {}:{}", error.line(), error.column()))?;
        if document.schema_version == 1 {
            return Err("it is of Docker's schema 1, which registries have given up; push the image anew".to_owned());
        }
        let stated_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = document.media_type.as_deref().unwrap_or(stated_type);
        match (media_type, document.manifests, document.config) {
            (_, Some(_), Some(_)) => Err("it is an image and an index at once".to_owned()),
            (OCI_INDEX | DOCKER_LIST, Some(manifests), None) => Ok(Self::Index(manifests)),
            (OCI_IMAGE | DOCKER_IMAGE, None, Some(config)) => {
                let annotations = document.annotations.unwrap_or_default();
                let stated = Stated {
                    created: annotations.get(CREATED).and_then(|text| time(text)),
                    labels: source_labels(annotations),
                };
                Ok(Self::Image(Image { config: config_blob(&config)?, stated }))
            }
            (OCI_INDEX | DOCKER_LIST, None, _) => Err("it calls itself an index and lists no manifests".to_owned()),
            (OCI_IMAGE | DOCKER_IMAGE, _, None) => Err("it calls itself an image and has no config".to_owned()),
            (other, _, _) => Err(format!(
                "its media type is {:?}; known are OCI's and Docker's (schema 2) images and indexes",
                crate::error::quoted(other)
            )),
        }
    }
}

fn config_blob(config: &Descriptor) -> Result<Option<Blob>, String> {
    let is_image = match config.media_type() {
        MediaType::ImageConfig => true,
        other => matches!(other.to_string().as_str(), OCI_CONFIG | DOCKER_CONFIG),
    };
    let digest = Digest::new(config.digest().to_string()).map_err(|error| format!("config: {error}"))?;
    Ok(is_image.then_some(Blob { digest, size: config.size() }))
}

/// The image of an index for a platform.
pub(crate) fn choose(manifests: &[Descriptor], platform: &PlatformConfig) -> Result<Digest, String> {
    let of = |descriptor: &Descriptor| {
        descriptor.platform().as_ref().map(|found| (found.os().to_string(), found.architecture().to_string()))
    };
    let wanted = Some((platform.os.clone(), platform.architecture.clone()));
    match manifests.iter().find(|descriptor| of(descriptor) == wanted) {
        Some(found) => Digest::new(found.digest().to_string()).map_err(|error| error.to_string()),
        None => {
            // `unknown/unknown` marks attestations, which are no images.
            let mut others: Vec<String> = manifests
                .iter()
                .filter_map(of)
                .filter(|(os, _)| os != "unknown")
                .map(|(os, architecture)| crate::error::quoted(&format!("{os}/{architecture}")))
                .collect();
            others.sort();
            others.dedup();
            let there = if others.is_empty() { "no platform at all".to_owned() } else { others.join(", ") };
            Err(format!("the index has no image for {}/{}, it has {there}", platform.os, platform.architecture))
        }
    }
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    config: Option<Execution>,
}

#[derive(Deserialize)]
struct Execution {
    #[serde(default, rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

impl Stated {
    /// Reads an image's configuration. Only what is needed is decoded: the rest of it is the runtime's affair.
    pub(crate) fn of_configuration(body: &[u8]) -> Result<Self, String> {
        let configuration: Configuration = serde_json::from_slice(body).map_err(|error| {
            format!("its configuration is no image configuration at {}:{}", error.line(), error.column())
        })?;
        let labels = configuration.config.and_then(|config| config.labels).unwrap_or_default();
        Ok(Self { created: configuration.created.as_deref().and_then(time), labels: source_labels(labels) })
    }
}

/// A stated time. Go's zero time means that none was stated, and an unreadable one is worth as much.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time: &Timestamp| time.as_second() >= 0)
}

fn source_labels(labels: HashMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().filter(|(key, value)| LABELS.contains(&key.as_str()) && value.len() <= MAX_LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const HEX: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn index(platforms: &[(&str, &str)]) -> Vec<Descriptor> {
        let manifests: Vec<_> = platforms
            .iter()
            .map(|(os, architecture)| {
                serde_json::json!({"mediaType": OCI_IMAGE, "digest": HEX, "size": 1,
                    "platform": {"os": os, "architecture": architecture}})
            })
            .collect();
        let body = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string();
        match Manifest::parse(body.as_bytes(), "text/plain").unwrap() {
            Manifest::Index(manifests) => manifests,
            Manifest::Image(image) => panic!("{image:?}"),
        }
    }

    #[test]
    fn the_image_for_the_platform_is_chosen() {
        let platform = PlatformConfig::default();
        assert_eq!(choose(&index(&[("unknown", "unknown"), ("linux", "amd64")]), &platform).unwrap().as_str(), HEX);
        let missing = choose(&index(&[("linux", "arm64"), ("unknown", "unknown")]), &platform).unwrap_err();
        assert_eq!(missing, "the index has no image for linux/amd64, it has linux/arm64");
    }

    #[rstest]
    #[case::schema_1(r#"{"schemaVersion":1,"name":"a","tag":"b"}"#, "", "schema 1")]
    #[case::both(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"config":{"mediaType":"x/y","digest":"HEX","size":1}}"#, "", "at once")]
    #[case::unknown_type(r#"{"schemaVersion":2}"#, "application/json", "media type")]
    #[case::no_config(r#"{"schemaVersion":2}"#, OCI_IMAGE, "no config")]
    #[case::no_manifests(r#"{"schemaVersion":2}"#, DOCKER_LIST, "lists no manifests")]
    #[case::no_json("<html>", "text/html", "no manifest")]
    fn what_cannot_be_used_says_why(#[case] body: &str, #[case] content_type: &str, #[case] expected: &str) {
        let reason = Manifest::parse(body.replace("HEX", HEX).as_bytes(), content_type).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }

    #[rstest]
    #[case("2020-12-25T16:00:00.123456789Z", true)]
    #[case("2020-12-25T17:00:00+01:00", true)]
    #[case("1970-01-01T00:00:00Z", true)]
    #[case("0001-01-01T00:00:00Z", false)]
    #[case("yesterday", false)]
    fn a_time_is_read_unless_it_means_none(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(time(text).is_some(), expected);
    }

    #[test]
    fn a_configuration_gives_time_and_source_labels() {
        let body = r#"{"created":"2020-12-25T16:00:00Z","architecture":7,"config":{"Labels":{"org.opencontainers.image.revision":"1a2b","maintainer":"x"}}}"#;
        let stated = Stated::of_configuration(body.as_bytes()).unwrap();
        assert_eq!(stated.created, Some("2020-12-25T16:00:00Z".parse().unwrap()));
        assert_eq!(
            stated.labels.into_iter().collect::<Vec<_>>(),
            [("org.opencontainers.image.revision".into(), "1a2b".into())]
        );
        assert_eq!(Stated::of_configuration(br#"{"config":null}"#).unwrap(), Stated::default());
    }
}
