//! A source's inventory, in ConfigMaps of Tagboat's own namespace.
//!
//! The first, `tagboat-inventory-<source>`, is the only one that is replaced, and only if nobody else wrote it since
//! (`resourceVersion`). Small inventories stand in it as JSON that people can read; large ones are packed, and cut into
//! pieces whose names carry the digest of the whole. Pieces are written first and never changed, so that whoever reads
//! finds one inventory or another, and never half of two.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tagboat_engine::ports::{Inventory, ObjectRef, SourceId};

use crate::api_server::ApiServer;
use crate::error::Error;
use crate::transport::{Call, Format};

/// Up to here an inventory stays readable JSON.
const PLAIN: usize = 128 << 10;
/// The packed bytes in one ConfigMap, before base64: the API server takes 1 MiB with everything around them.
const PIECE: usize = 384 << 10;
/// An inventory of more pieces than this is refused: some hundred thousand objects.
const MAX_PIECES: usize = 32;
/// The longest inventory that is unpacked.
const MAX_UNPACKED: u64 = 64 << 20;

const JSON: &str = "inventory.json";
const PACKED: &str = "inventory.json.gz";
const DIGEST: &str = "tagboat.dev/inventory-digest";
const PIECES: &str = "tagboat.dev/inventory-pieces";
const SOURCE: &str = "tagboat.dev/source";

/// What is known of the inventories as stored.
#[derive(Default)]
pub(crate) struct Inventories {
    stored: Mutex<HashMap<SourceId, Stored>>,
}

/// An inventory as it was last read or written.
#[derive(Debug, Clone)]
struct Stored {
    resource_version: String,
    digest: String,
    pieces: usize,
}

impl Inventories {
    fn get(&self, source: &SourceId) -> Option<Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }

    fn set(&self, source: &SourceId, stored: Option<Stored>) {
        let mut all = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        match stored {
            Some(stored) => all.insert(source.clone(), stored),
            None => all.remove(source),
        };
    }
}

impl ApiServer {
    pub(crate) async fn load_inventory(&self, source: &SourceId) -> Result<Option<Inventory>, Error> {
        let damaged = |reason: String| self.damaged(source, reason);
        let name = base_name(source);
        let Some(first) = self.get_object(&self.config_map(&name)).await? else {
            self.inventories.set(source, None);
            return Ok(None);
        };
        // Known even where the rest is damaged, so that a new inventory can be written over it.
        let stored = stored(&first);
        self.inventories.set(source, stored.clone());
        let stored = stored.ok_or_else(|| damaged(format!("ConfigMap {name} lacks its annotations")))?;
        let mut packed = Vec::new();
        let text = match first.pointer("/data").and_then(|data| data.get(JSON)).and_then(Value::as_str) {
            Some(text) => text.as_bytes().to_vec(),
            None => {
                packed.extend(piece(&first).ok_or_else(|| damaged(format!("ConfigMap {name} holds no inventory")))?);
                for number in 1..stored.pieces {
                    let name = piece_name(&name, &stored.digest, number);
                    let object = self.get_object(&self.config_map(&name)).await?;
                    let bytes = object.as_ref().and_then(piece);
                    packed.extend(bytes.ok_or_else(|| damaged(format!("ConfigMap {name} is missing or empty")))?);
                }
                unpack(&packed).map_err(damaged)?
            }
        };
        if digest(&text) != stored.digest {
            return Err(damaged("its digest is not the one that was written".to_owned()));
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| damaged(error.to_string()))
    }

    pub(crate) async fn write_inventory(&self, source: &SourceId, inventory: &Inventory) -> Result<(), Error> {
        let name = base_name(source);
        let what = format!("writing the inventory of {source}");
        let text = serde_json::to_vec(inventory)
            .map_err(|error| Error::Invalid { what: what.clone(), reason: error.to_string() })?;
        let digest = digest(&text);
        let before = match self.inventories.get(source) {
            Some(stored) => Some(stored),
            // Not read by this process yet: what is there is replaced, whatever it is.
            None => self.get_object(&self.config_map(&name)).await?.as_ref().and_then(|object| {
                let resource_version = object.pointer("/metadata/resourceVersion")?.as_str()?.to_owned();
                Some(stored_or_unknown(object, resource_version))
            }),
        };
        if before.as_ref().is_some_and(|before| before.digest == digest) {
            self.inventories.set(source, before);
            return Ok(());
        }
        let packed = if text.len() <= PLAIN {
            Vec::new()
        } else {
            pack(&text).map_err(|reason| Error::Invalid { what: what.clone(), reason })?
        };
        let pieces: Vec<&[u8]> = packed.chunks(PIECE).collect();
        if pieces.len() > MAX_PIECES {
            return Err(Error::TooLong { what, limit: format!("{MAX_PIECES} pieces of {} KiB", PIECE >> 10) });
        }
        for (number, bytes) in pieces.iter().enumerate().skip(1) {
            let object = self.config_map_object(
                &piece_name(&name, &digest, number),
                source,
                json!({"binaryData": {PACKED: STANDARD.encode(bytes)}}),
            );
            match self.create_config_map(&what, &object).await {
                Ok(_) => {}
                // An earlier try got this far: what has this name has these bytes.
                Err(error) if error.is_status(409) => {}
                Err(error) => return Err(error),
            }
        }
        let data = match pieces.first() {
            Some(first) => json!({"binaryData": {PACKED: STANDARD.encode(first)}}),
            None => json!({"data": {JSON: String::from_utf8_lossy(&text)}}),
        };
        let mut object = self.config_map_object(&name, source, data);
        object["metadata"]["annotations"][DIGEST] = json!(digest);
        object["metadata"]["annotations"][PIECES] = json!(pieces.len().to_string());
        let written = match &before {
            Some(before) => {
                object["metadata"]["resourceVersion"] = json!(before.resource_version);
                let path = format!("{}/{name}", self.config_maps());
                self.transport.send(Call::new(&what, Method::PUT, path).body(Format::Json, &object)).await
            }
            None => self.create_config_map(&what, &object).await,
        };
        let written = match written {
            Ok(answer) => answer.value,
            Err(error) => {
                // Whatever came in between is to be read again before the next try.
                self.inventories.set(source, None);
                if error.is_status(409) || error.is_status(404) {
                    let reason = "somebody else wrote or removed it in between".to_owned();
                    return Err(Error::Conflict { what, reason });
                }
                return Err(error);
            }
        };
        self.inventories.set(source, stored(&written));
        if let Some(before) = before.filter(|before| before.pieces > 1) {
            self.remove_pieces(&name, &before).await;
        }
        Ok(())
    }

    /// Removes the pieces of an inventory that was replaced. What stays behind by a failure is only waste.
    async fn remove_pieces(&self, name: &str, before: &Stored) {
        for number in 1..before.pieces {
            let name = piece_name(name, &before.digest, number);
            let call = Call::new(
                format!("removing ConfigMap {name}"),
                Method::DELETE,
                format!("{}/{name}", self.config_maps()),
            );
            if let Err(error) = self.transport.send(call).await
                && !error.is_status(404)
            {
                tracing::warn!(error = %error, "an outdated piece of an inventory stays behind");
            }
        }
    }

    async fn create_config_map(&self, what: &str, object: &Value) -> Result<crate::transport::Answer, Error> {
        self.transport.send(Call::new(what, Method::POST, self.config_maps()).body(Format::Json, object)).await
    }

    fn config_maps(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace())
    }

    fn config_map(&self, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: Some(self.namespace().to_owned()),
            name: name.to_owned(),
        }
    }

    fn config_map_object(&self, name: &str, source: &SourceId, data: Value) -> Value {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": self.namespace(),
                "labels": {"app.kubernetes.io/managed-by": "tagboat", "app.kubernetes.io/component": "inventory"},
                "annotations": {SOURCE: source.0},
            },
        });
        if let (Value::Object(object), Value::Object(data)) = (&mut object, data) {
            object.extend(data);
        }
        object
    }

    fn damaged(&self, source: &SourceId, reason: String) -> Error {
        Error::Inventory { source_id: source.0.clone(), namespace: self.namespace().to_owned(), reason }
    }
}

/// The first ConfigMap's name. A source's name that cannot be part of one is spelled as far as it can be, with a digest.
fn base_name(source: &SourceId) -> String {
    let spelled: String = source
        .0
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
        .take(100)
        .collect();
    let clean = spelled == source.0 && spelled.ends_with(|c: char| c.is_ascii_alphanumeric());
    if clean {
        return format!("tagboat-inventory-{spelled}");
    }
    format!("tagboat-inventory-{spelled}-{}", &digest(source.0.as_bytes())[..8])
}

fn piece_name(base: &str, digest: &str, number: usize) -> String {
    format!("{base}-{}-{number}", digest.get(..12).unwrap_or(digest))
}

fn stored(object: &Value) -> Option<Stored> {
    let resource_version = object.pointer("/metadata/resourceVersion")?.as_str()?.to_owned();
    let annotations = object.pointer("/metadata/annotations")?;
    let pieces = annotations.get(PIECES)?.as_str()?.parse().ok().filter(|pieces| *pieces <= MAX_PIECES)?;
    Some(Stored { resource_version, digest: annotations.get(DIGEST)?.as_str()?.to_owned(), pieces })
}

/// The same for one whose annotations are gone: it is replaced, and its pieces are nobody's.
fn stored_or_unknown(object: &Value, resource_version: String) -> Stored {
    stored(object).unwrap_or(Stored { resource_version, digest: String::new(), pieces: 0 })
}

fn piece(object: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(object.get("binaryData")?.get(PACKED)?.as_str()?).ok()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|error| error.to_string())
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    GzDecoder::new(packed)
        .take(MAX_UNPACKED)
        .read_to_end(&mut text)
        .map_err(|error| format!("it cannot be unpacked: {error}"))?;
    if text.len() as u64 == MAX_UNPACKED {
        return Err(format!("it is longer than {} MiB", MAX_UNPACKED >> 20));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sources_become_names_of_config_maps() {
        assert_eq!(base_name(&SourceId("voice".into())), "tagboat-inventory-voice");
        for odd in ["Voice", "a/b", "a_b", "-", "", &"x".repeat(200)] {
            let name = base_name(&SourceId(odd.into()));
            assert!(
                name.len() < 200 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{name}"
            );
            assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
        }
        assert_ne!(base_name(&SourceId("a/b".into())), base_name(&SourceId("a_b".into())));
    }

    #[test]
    fn packing_is_undone_by_unpacking() {
        let text = vec![b'x'; 1 << 20];
        assert_eq!(unpack(&pack(&text).unwrap()).unwrap(), text);
        assert!(unpack(b"no gzip").is_err());
    }
}
