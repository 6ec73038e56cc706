//! Follows all objects of one kind, for good.
//!
//! kube's watcher resumes, relists after 410 and gives up silent connections. On top of that: waiting quietly until the
//! kind is served at all, a deadline for the first list, and a new list from time to time, which bounds how long a
//! missed event could matter. Each kind has a back-off of its own: a broken one does not slow the others.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::core::{ApiResource, Resource};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use crate::api_server::ApiServer;
use crate::error::chain;

/// Everything is listed anew after this long.
const RELIST: Duration = Duration::from_secs(600);
/// A first list that is not whole after this long is begun anew.
const FIRST_LIST: Duration = Duration::from_secs(90);
/// How long one watch request lasts. A silent connection is given up 5 s later.
const WATCH_SECONDS: u32 = 60;
/// How soon, and how late, a kind that is not served is asked for again.
const ABSENT_MIN: Duration = Duration::from_secs(2);
const ABSENT_MAX: Duration = Duration::from_secs(30);

/// Follows a kind and tells every event. Never returns.
///
/// A kind that is not served, or no longer, is told as an empty list.
pub(crate) async fn follow<K>(
    api: Arc<ApiServer>,
    api_version: &'static str,
    kind: &'static str,
    mut tell: impl FnMut(Event<K>) + Send,
) where
    K: Resource<DynamicType = ApiResource> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut absent = ABSENT_MIN;
    loop {
        let served = match api.find_kind(api_version, kind).await {
            Ok(Some(served)) => {
                absent = ABSENT_MIN;
                served
            }
            other => {
                match other {
                    Ok(_) => {
                        tell(Event::Init);
                        tell(Event::InitDone);
                    }
                    Err(error) => tracing::debug!(kind, error = %error, "could not find out whether a kind is served"),
                }
                // Whoever installs the definition makes the catalog be read.
                tokio::select! {
                    () = sleep(absent) => {}
                    () = api.discovery.renewed() => {}
                }
                absent = (absent * 2).min(ABSENT_MAX);
                continue;
            }
        };
        let objects: Api<K> = Api::all_with(api.client(), &served.api_resource());
        let started = Instant::now();
        let mut whole = false;
        let mut failed = false;
        let mut events =
            std::pin::pin!(watch(objects, watcher::Config::default().timeout(WATCH_SECONDS)).default_backoff());
        loop {
            let until = started + if whole { RELIST } else { FIRST_LIST };
            match timeout_at(until, events.next()).await {
                Ok(Some(Ok(event))) => {
                    whole |= matches!(event, Event::InitDone);
                    if std::mem::take(&mut failed) {
                        tracing::info!(kind, "watching a kind works again");
                    }
                    tell(event);
                }
                Ok(Some(Err(error))) => {
                    // An API server that is out of reach is told of once, by the lease, and not by every kind.
                    if !is_refusal(&error) {
                        tracing::debug!(kind, error = %chain(&error), "watching a kind broke off; it is tried again");
                    } else if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(kind, error = %chain(&error), "watching a kind failed; it is tried again");
                    }
                    if is_gone(&error) {
                        api.discovery.forget();
                        break;
                    }
                }
                // Time to list anew; the stream itself never ends.
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// The status that the API server refused with.
fn refusal(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

fn is_refusal(error: &watcher::Error) -> bool {
    refusal(error).is_some()
}

/// Whether the API server no longer serves the kind.
fn is_gone(error: &watcher::Error) -> bool {
    refusal(error) == Some(404)
}
