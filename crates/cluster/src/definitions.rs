//! CustomResourceDefinitions: Tagboat's own, and waiting until one is served.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tagboat_engine::ports::{Apply, FieldManager, ObjectRef};

use crate::api_server::ApiServer;
use crate::error::Error;
use crate::transport::Call;

/// Which definition was installed, so that the same one is not written again.
const DIGEST: &str = "tagboat.dev/definition-digest";
/// How long installing one may take.
const INSTALL: Duration = Duration::from_secs(60);
const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(1);

fn reference(name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        namespace: None,
        name: name.to_owned(),
    }
}

impl ApiServer {
    /// Installs Tagboat's CustomResourceDefinitions where they are missing or different, and waits until they are
    /// served. Says how many were written.
    pub async fn install_crds(&self) -> Result<usize, Error> {
        let mut written = 0;
        for definition in tagboat_api::crds() {
            let name = definition.metadata.name.clone().unwrap_or_default();
            let mut object = serde_json::to_value(&definition).map_err(|error| Error::Invalid {
                what: format!("installing CustomResourceDefinition {name}"),
                reason: error.to_string(),
            })?;
            let digest: String = Sha256::digest(object.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
            object["metadata"]["annotations"] = json!({ DIGEST: digest });
            let live = self.get_object(&reference(&name)).await?;
            if !live.is_some_and(|live| contains(&live, &object)) {
                let apply = Apply {
                    object,
                    manager: FieldManager::Mirror,
                    run_as: None,
                    leave_annotations: BTreeSet::new(),
                    dry_run: false,
                };
                self.apply_object(&apply).await?;
                written += 1;
                tracing::info!(definition = %name, "installed a CustomResourceDefinition");
            }
            self.wait_established(&name, INSTALL).await?;
        }
        Ok(written)
    }

    /// Waits until a definition is established and all its served versions answer.
    pub(crate) async fn wait_established(&self, name: &str, deadline: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let mut wait = POLL_MIN;
        loop {
            let seen = match tokio::time::timeout(
                deadline.saturating_sub(started.elapsed()),
                self.established_now(name),
            )
            .await
            {
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(seen))) => seen,
                Ok(Err(error)) => return Err(error),
                Err(_) => "no answer from the API server".to_owned(),
            };
            if started.elapsed() + wait >= deadline {
                let what = format!("establishing CustomResourceDefinition {name}");
                return Err(Error::Waited { what, after: deadline, seen });
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(POLL_MAX);
        }
    }

    /// `None` when it is established and served; else what is missing.
    async fn established_now(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(live) = self.get_object(&reference(name)).await? else {
            return Ok(Some("it is not there".to_owned()));
        };
        let health = crate::health::assess(&live);
        if health.state == tagboat_engine::ports::HealthState::Failed {
            let what = format!("establishing CustomResourceDefinition {name}");
            return Err(Error::Invalid { what, reason: health.reason });
        }
        if health.state != tagboat_engine::ports::HealthState::Healthy {
            return Ok(Some(health.reason));
        }
        let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
        for version in live.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten() {
            if version.get("served") != Some(&Value::Bool(true)) {
                continue;
            }
            let version = version.get("name").and_then(Value::as_str).unwrap_or_default();
            let api_version = format!("{group}/{version}");
            let served = match self.find_kind(&api_version, &kind).await? {
                Some(served) => served,
                None => {
                    self.discovery.expire();
                    return Ok(Some(format!("{api_version} {kind} is not served yet")));
                }
            };
            // Between discovery and the first answer lies another moment.
            let path = served
                .collection(None)
                .map_err(|reason| Error::Invalid { what: format!("asking for {kind}"), reason })?;
            let call = Call::new(format!("asking for {kind}"), Method::GET, path).query("limit", "1");
            match self.transport.send(call).await {
                Ok(_) => {}
                Err(error) if error.is_status(404) || error.is_status(503) => return Ok(Some(error.to_string())),
                // Tagboat need not be allowed to list them.
                Err(error) if error.is_status(403) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Whether all of `wanted` stands in `live`, which may have more.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| match live.get(key) {
            Some(live) => contains(live, wanted),
            // What is written as nothing is not stored.
            None => {
                wanted.is_null()
                    || wanted.as_object().is_some_and(|map| map.is_empty())
                    || wanted.as_array().is_some_and(Vec::is_empty)
            }
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| contains(live, wanted))
        }
        _ => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_of_the_server_are_no_difference() {
        let live = json!({"a": {"b": 1, "default": 2}, "l": [{"x": 1, "default": 1}]});
        assert!(contains(&live, &json!({"a": {"b": 1}, "l": [{"x": 1}], "none": null, "empty": {}})));
        assert!(!contains(&live, &json!({"a": {"b": 2}})));
        assert!(!contains(&live, &json!({"l": []})));
        assert!(!contains(&live, &json!({"c": 1})));
    }
}
