//! Kubernetes Events on the objects that Tagboat works on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tagboat_engine::ports::ObjectRef;

use crate::api_server::ApiServer;
use crate::error::plain;
use crate::transport::{Call, Format};

/// `note` may have so many bytes (events.k8s.io/v1).
const MAX_NOTE: usize = 1024;
/// `reason` may have so many.
const MAX_REASON: usize = 128;
/// The same Event on the same object is not recorded again for so long.
const REPEAT: Duration = Duration::from_secs(600);
/// So many recent Events are remembered.
const MAX_RECENT: usize = 4096;

type Told = (ObjectRef, String, String);

/// Events recorded of late.
#[derive(Default)]
pub(crate) struct Events {
    recent: Mutex<HashMap<Told, Instant>>,
}

impl Events {
    /// Whether this is news; if so, it is not the next time.
    fn is_news(&self, told: Told) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.get(&told).is_some_and(|at| at.elapsed() < REPEAT) {
            return false;
        }
        if recent.len() >= MAX_RECENT {
            recent.retain(|_, at| at.elapsed() < REPEAT);
        }
        if recent.len() >= MAX_RECENT {
            recent.clear();
        }
        recent.insert(told, Instant::now());
        true
    }
}

impl ApiServer {
    /// Records an Event. What goes wrong is only logged: an Event is never worth a failed cycle.
    pub(crate) async fn record_event(&self, object: &ObjectRef, warning: bool, reason: &str, note: &str) {
        let note = cut(&plain(note), MAX_NOTE);
        let reason = cut(&plain(reason), MAX_REASON);
        if !self.events.is_news((object.clone(), reason.clone(), note.clone())) {
            return;
        }
        // `kubectl describe` finds Events by UID.
        let uid = match self.get_object(object).await {
            Ok(live) => live.and_then(|live| live.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned)),
            Err(_) => None,
        };
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": "tagboat-", "namespace": namespace},
            "eventTime": format!("{:.6}", Timestamp::now()),
            "type": if warning { "Warning" } else { "Normal" },
            "reason": reason,
            "action": reason,
            "note": note,
            "regarding": {
                "apiVersion": object.api_version,
                "kind": object.kind,
                "namespace": object.namespace,
                "name": object.name,
                "uid": uid,
            },
            "reportingController": "tagboat",
            "reportingInstance": cut(&plain(&self.options.instance), MAX_REASON),
        });
        let sent = match crate::transport::segment(namespace) {
            Ok(segment) => {
                let path = format!("/apis/events.k8s.io/v1/namespaces/{segment}/events");
                let call =
                    Call::new(format!("recording an Event on {object}"), Method::POST, path).body(Format::Json, &event);
                self.transport.send(call).await.map(|_| ()).map_err(|error| error.to_string())
            }
            Err(reason) => Err(reason),
        };
        if let Err(error) = sent {
            tracing::debug!(object = %object, error, "could not record an Event");
        }
    }
}

/// Cuts a text to so many bytes, at a character.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub('…'.len_utf8())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_at_a_character() {
        assert_eq!(cut("short", 10), "short");
        let long = cut(&"ä".repeat(1000), MAX_NOTE);
        assert!(long.len() <= MAX_NOTE && long.ends_with('…'), "{}", long.len());
    }

    #[test]
    fn the_same_event_is_told_once() {
        let events = Events::default();
        let object =
            ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), namespace: None, name: "a".into() };
        assert!(events.is_news((object.clone(), "r".into(), "n".into())));
        assert!(!events.is_news((object.clone(), "r".into(), "n".into())));
        assert!(events.is_news((object, "r".into(), "other".into())));
    }
}
