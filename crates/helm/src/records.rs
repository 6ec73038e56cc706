//! Release records: Secrets in Helm's own format.
//!
//! A record is the Secret `sh.helm.release.v1.<release>.v<revision>` of the type `helm.sh/release.v1`, in the release's
//! namespace. Its one key, `release`, holds base64 of gzip of JSON. Helm finds records by their labels: `name`, `owner`,
//! `status` and `version`; any further label is the writer's, and Helm keeps it (`helm list --selector`).

use crate::Error;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;
use tagboat_engine::ports::{Fault, FaultKind, ReleaseRecord, ReleaseStore};

const SECRET_TYPE: &str = "helm.sh/release.v1";
const DATA_KEY: &str = "release";
const OWNER: &str = "helm";
/// Labels that Helm owns.
const SYSTEM_LABELS: [&str; 6] = ["name", "owner", "status", "version", "createdAt", "modifiedAt"];
/// What the API server takes in all values of a Secret together.
const SECRET_LIMIT: usize = 1 << 20;
/// What a record may unpack to.
const UNPACKED_LIMIT: u64 = 64 << 20;
/// Records in one page of a list: at most this many MiB are in memory at once.
const PAGE: u32 = 16;
/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Release records in the cluster that a client reaches.
#[derive(Clone)]
pub struct HelmRecords {
    client: kube::Client,
}

impl std::fmt::Debug for HelmRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HelmRecords")
    }
}

impl HelmRecords {
    /// Records in the cluster that `client` reaches.
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

#[async_trait]
impl ReleaseStore for HelmRecords {
    async fn history(&self, namespace: &str, release: &str) -> Result<Vec<ReleaseRecord>, Fault> {
        let secrets = self.secrets(namespace);
        let mut parameters = ListParams::default().labels(&format!("name={release},owner={OWNER}")).limit(PAGE);
        let mut records = Vec::new();
        loop {
            let page = within("read", namespace, release, secrets.list(&parameters)).await?;
            for secret in &page.items {
                records.push(decode(namespace, secret)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => break,
            }
        }
        records.sort_by_key(|record: &ReleaseRecord| record.version);
        Ok(records)
    }

    async fn create(&self, record: &ReleaseRecord) -> Result<(), Fault> {
        let secret = encode(record, "createdAt")?;
        let name = secret_name(&record.name, record.version);
        let secrets = self.secrets(&record.namespace);
        within("created", &record.namespace, &name, secrets.create(&PostParams::default(), &secret)).await?;
        Ok(())
    }

    async fn update(&self, record: &ReleaseRecord) -> Result<(), Fault> {
        let secret = encode(record, "modifiedAt")?;
        let name = secret_name(&record.name, record.version);
        let secrets = self.secrets(&record.namespace);
        within("updated", &record.namespace, &name, secrets.replace(&name, &PostParams::default(), &secret)).await?;
        Ok(())
    }

    async fn delete(&self, namespace: &str, release: &str, version: u64) -> Result<(), Fault> {
        let name = secret_name(release, version);
        let secrets = self.secrets(namespace);
        match within("deleted", namespace, &name, secrets.delete(&name, &DeleteParams::default())).await {
            Ok(_) => Ok(()),
            Err(Error::RecordRequest { kind: FaultKind::NotFound, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn secret_name(release: &str, version: u64) -> String {
    format!("sh.helm.release.v1.{release}.v{version}")
}

async fn within<T>(
    act: &'static str,
    namespace: &str,
    secret: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    let fails = |kind, reason| Error::RecordRequest {
        act,
        namespace: namespace.to_owned(),
        secret: secret.to_owned(),
        reason,
        kind,
    };
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => {
            let kind = match status.code {
                401 | 403 => FaultKind::Denied,
                404 => FaultKind::NotFound,
                409 => FaultKind::Conflict,
                400 | 413 | 422 => FaultKind::Invalid,
                429 => FaultKind::Throttled,
                _ => FaultKind::Unavailable,
            };
            Err(fails(kind, status.message.clone()))
        }
        Ok(Err(error)) => Err(fails(FaultKind::Unavailable, error.to_string())),
        Err(_) => Err(fails(FaultKind::Timeout, format!("no answer within {} s", DEADLINE.as_secs()))),
    }
}

fn encode(record: &ReleaseRecord, stamp: &str) -> Result<Secret, Error> {
    let name = secret_name(&record.name, record.version);
    let bad = |reason: String| Error::Record {
        namespace: record.namespace.clone(),
        secret: name.clone(),
        reason: format!("it cannot be written: {reason}"),
    };
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let json = serde_json::to_vec(&record.body).map_err(|error| bad(error.to_string()))?;
    packer.write_all(&json).map_err(|error| bad(error.to_string()))?;
    let packed = packer.finish().map_err(|error| bad(error.to_string()))?;
    let text = STANDARD.encode(packed);
    if text.len() > SECRET_LIMIT {
        let part = |key: &str| record.body.get(key).map_or(0, |part| part.to_string().len());
        return Err(Error::RecordTooLarge {
            release: record.name.clone(),
            version: record.version,
            size: text.len(),
            limit: SECRET_LIMIT,
            manifest: part("manifest"),
            chart: part("chart"),
        });
    }
    let mut labels: BTreeMap<String, String> = record.labels.clone();
    labels.retain(|key, _| !SYSTEM_LABELS.contains(&key.as_str()));
    labels.insert("name".to_owned(), record.name.clone());
    labels.insert("owner".to_owned(), OWNER.to_owned());
    labels.insert("status".to_owned(), record.status.clone());
    labels.insert("version".to_owned(), record.version.to_string());
    if let Some(modified) = record.modified {
        labels.insert(stamp.to_owned(), modified.as_second().to_string());
    }
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(record.namespace.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        type_: Some(SECRET_TYPE.to_owned()),
        data: Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(text.into_bytes()))])),
        ..Secret::default()
    })
}

fn decode(namespace: &str, secret: &Secret) -> Result<ReleaseRecord, Error> {
    let labels = secret.metadata.labels.clone().unwrap_or_default();
    let bad = |reason: String| Error::Record {
        namespace: namespace.to_owned(),
        secret: secret.metadata.name.clone().unwrap_or_default(),
        reason,
    };
    let data = secret.data.as_ref().and_then(|data| data.get(DATA_KEY));
    let text = data.ok_or_else(|| bad(format!("it has no key {DATA_KEY:?}")))?;
    let packed = STANDARD.decode(&text.0).map_err(|error| bad(format!("it is not base64: {error}")))?;
    // Records of Helm before compression was introduced are plain JSON.
    let json = if packed.starts_with(&[0x1f, 0x8b, 0x08]) {
        let mut json = Vec::new();
        let mut unpacker = GzDecoder::new(packed.as_slice()).take(UNPACKED_LIMIT + 1);
        unpacker.read_to_end(&mut json).map_err(|error| bad(format!("it does not unpack: {error}")))?;
        if json.len() as u64 > UNPACKED_LIMIT {
            return Err(bad(format!("it unpacks to more than {UNPACKED_LIMIT} bytes")));
        }
        json
    } else {
        packed
    };
    let body: serde_json::Value =
        serde_json::from_slice(&json).map_err(|error| bad(format!("it is not JSON: {error}")))?;
    let version = body.get("version").and_then(serde_json::Value::as_u64);
    let version = version.ok_or_else(|| bad("it has no version".to_owned()))?;
    let text_of = |pointer: &str| body.pointer(pointer).and_then(serde_json::Value::as_str).map(str::to_owned);
    let seconds = |key: &str| labels.get(key)?.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
    let created = || secret.metadata.creation_timestamp.as_ref().map(|time| time.0);
    Ok(ReleaseRecord {
        name: text_of("/name").ok_or_else(|| bad("it has no name".to_owned()))?,
        namespace: namespace.to_owned(),
        version,
        status: text_of("/info/status").unwrap_or_else(|| "unknown".to_owned()),
        modified: seconds("modifiedAt").or_else(|| seconds("createdAt")).or_else(created),
        labels: labels.into_iter().filter(|(key, _)| !SYSTEM_LABELS.contains(&key.as_str())).collect(),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(body: serde_json::Value) -> ReleaseRecord {
        ReleaseRecord {
            name: "voice".to_owned(),
            namespace: "voice-dev".to_owned(),
            version: 3,
            status: "deployed".to_owned(),
            labels: BTreeMap::from([("tagboat.dev/writer".to_owned(), "3".to_owned())]),
            modified: Some(Timestamp::from_second(1_600_000_000).unwrap()),
            body,
        }
    }

    fn body() -> serde_json::Value {
        json!({"name": "voice", "version": 3, "info": {"status": "deployed"}, "unknown": {"kept": true}})
    }

    #[test]
    fn a_record_survives_the_way_through_a_secret() {
        let written = record(body());
        let secret = encode(&written, "modifiedAt").unwrap();
        assert_eq!(secret.metadata.name.as_deref(), Some("sh.helm.release.v1.voice.v3"));
        assert_eq!(secret.metadata.labels.as_ref().unwrap()["status"], "deployed");
        assert_eq!(decode("voice-dev", &secret).unwrap(), written);
    }

    #[test]
    fn a_record_without_compression_is_read() {
        let mut secret = encode(&record(body()), "modifiedAt").unwrap();
        let plain = STANDARD.encode(body().to_string());
        secret.data = Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(plain.into_bytes()))]));
        assert_eq!(decode("voice-dev", &secret).unwrap().body, body());
    }

    #[test]
    fn a_record_that_is_too_large_for_a_secret_is_refused_with_its_sizes() {
        // What does not compress: digests of a counter.
        let noise: String = (0..40_000_u32)
            .map(|n| {
                use sha2::Digest as _;
                STANDARD.encode(sha2::Sha256::digest(n.to_be_bytes()))
            })
            .collect();
        let mut large = body();
        large["manifest"] = noise.clone().into();
        let error = encode(&record(large), "createdAt").unwrap_err().to_string();
        assert!(error.contains("1048576") && error.contains(&(noise.len() + 2).to_string()), "{error}");
    }

    #[test]
    fn a_secret_that_is_no_record_says_what_is_wrong() {
        let mut secret = encode(&record(body()), "createdAt").unwrap();
        secret.data = Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(b"%%%".to_vec()))]));
        let error = decode("voice-dev", &secret).unwrap_err().to_string();
        assert!(error.contains("sh.helm.release.v1.voice.v3") && error.contains("base64"), "{error}");
    }
}
