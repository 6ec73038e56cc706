//! Finds what others did to applied objects, by reading alone.

use super::Mirror;
use futures::StreamExt;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tracing::debug;

/// How many objects are read side by side.
const PARALLEL: usize = 8;

/// An object without what the API server itself notes on it: its status, its field managers and its resource version.
#[must_use]
pub fn without_bookkeeping(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    object
}

/// What an object says, apart from what the cluster itself notes on it: its status, its bookkeeping, and the revision
/// that a Deployment's controller writes down.
#[must_use]
pub fn content(object: &Value) -> [u8; 32] {
    let mut object = without_bookkeeping(object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        let left = annotations.map(|annotations| {
            annotations.remove("deployment.kubernetes.io/revision");
            annotations.len()
        });
        if left == Some(0) {
            metadata.remove("annotations");
        }
    }
    Sha256::digest(object.to_string()).into()
}

impl Mirror {
    /// Looks at every object that was applied. What is gone, or says something else than it did after its apply, is
    /// forgotten, so that the next pass applies it. Nothing is written here, and what cannot be read is left for the
    /// next time.
    pub async fn review(&mut self) {
        let asked: Vec<_> = self
            .applied
            .keys()
            .map(|object| {
                let (cluster, object) = (Arc::clone(&self.cluster), object.clone());
                async move {
                    let live = cluster.get(&object).await;
                    (object, live)
                }
            })
            .collect();
        let mut answers = futures::stream::iter(asked).buffered(PARALLEL);
        while let Some((object, answer)) = answers.next().await {
            let live = match answer {
                Ok(live) => live.map(|live| content(&live)),
                Err(fault) => {
                    debug!(source = %self.source, object = %object, error = %fault, "could not be looked at: {fault}");
                    if fault.is_transient() {
                        // So it would be with all the others.
                        return;
                    }
                    continue;
                }
            };
            if live != self.applied.get(&object).map(|known| known.content) {
                debug!(source = %self.source, object = %object, "{object} was changed by somebody else");
                self.applied.remove(&object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_cluster_notes_on_an_object_is_not_its_content() {
        let applied =
            json!({"metadata": {"name": "web", "resourceVersion": "1", "generation": 1}, "spec": {"replicas": 1}});
        let running = json!({"metadata": {"name": "web", "resourceVersion": "9", "generation": 1,
            "annotations": {"deployment.kubernetes.io/revision": "1"}, "managedFields": []},
            "spec": {"replicas": 1}, "status": {"replicas": 1}});
        assert_eq!(content(&applied), content(&running));
        for pointer in ["/spec/replicas", "/metadata/generation"] {
            let mut edited = running.clone();
            *edited.pointer_mut(pointer).unwrap() = json!(2);
            assert_ne!(content(&applied), content(&edited), "{pointer}");
        }
    }
}
