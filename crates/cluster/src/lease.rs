//! The lease that elects the one replica which may write (D11).
//!
//! A replica holds the lease by writing its identity into a `coordination.k8s.io/v1` Lease, if the Lease is free or was
//! not renewed for its duration. Nobody's wall clock is compared with anybody else's: a replica measures on its own
//! monotonic clock how long it has not seen the other renew, and how long ago its own last renewal *began*. The
//! renewal deadline is shorter than the duration, so the old holder stops before a new one can start. That is still no
//! fence: a write may be on its way. What makes late writes harmless are the preconditions of the writes themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tagboat_engine::ports::{Fault, FaultKind, WriteFence};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api_server::ApiServer;
use crate::error::Error;
use crate::transport::{Call, Format};

/// How a lease is held.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// The Lease's name, in Tagboat's own namespace.
    pub name: String,
    /// This replica's identity: unique among replicas, and how they find the holder.
    pub identity: String,
    /// How long a lease stands without being renewed. Whole seconds.
    pub duration: Duration,
    /// How long after its last renewal this process may still write. Shorter than `duration`.
    pub deadline: Duration,
    /// How often the lease is renewed, or asked about.
    pub renew: Duration,
}

impl LeaseOptions {
    /// 15 s, stopping to write after 10 s without renewal, renewed every 5 s.
    pub fn new(name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            renew: Duration::from_secs(5),
        }
    }
}

/// What a replica knows of the lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseState {
    /// Whether this replica holds it.
    pub held: bool,
    /// Who holds it, where somebody does.
    pub holder: Option<String>,
}

#[derive(Default)]
struct Shared {
    /// When the last renewal that went through was begun.
    renewed: Mutex<Option<Instant>>,
}

impl Shared {
    fn set(&self, renewed: Option<Instant>) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
    }

    fn get(&self) -> Option<Instant> {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The write fence over a Lease. It is asked for and renewed in the background until this is dropped.
pub struct LeaseFence {
    api: Arc<ApiServer>,
    options: LeaseOptions,
    shared: Arc<Shared>,
    state: watch::Receiver<LeaseState>,
    task: JoinHandle<()>,
}

impl LeaseFence {
    /// Begins to ask for the lease.
    pub fn start(api: Arc<ApiServer>, options: LeaseOptions) -> Self {
        let shared = Arc::new(Shared::default());
        let (tell, state) = watch::channel(LeaseState::default());
        let mut contender =
            Contender { api: api.clone(), options: options.clone(), shared: shared.clone(), tell, seen: None };
        let task = tokio::spawn(async move { contender.run().await });
        Self { api, options, shared, state, task }
    }

    /// Who holds the lease, as last seen; receives every change. For people and for finding the leader: it may lag
    /// behind [`check`](WriteFence::check) by the time of one renewal.
    pub fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.clone()
    }

    /// Stops renewing and gives the lease back, so that another replica need not wait for its end.
    pub async fn release(self) -> Result<(), Error> {
        self.task.abort();
        if self.shared.get().is_none() {
            return Ok(());
        }
        self.shared.set(None);
        let Some(lease) = read(&self.api, &self.options.name).await? else { return Ok(()) };
        if holder(&lease) != Some(self.options.identity.as_str()) {
            return Ok(());
        }
        let mut lease = lease;
        lease["spec"]["holderIdentity"] = json!("");
        lease["spec"]["renewTime"] = json!(now());
        // Like client-go: whoever comes next does not wait.
        lease["spec"]["leaseDurationSeconds"] = json!(1);
        match write(&self.api, Method::PUT, &self.options.name, &lease).await {
            // Somebody took it in between: it is given up all the same.
            Err(error) if error.is_status(409) || error.is_status(404) => Ok(()),
            written => written.map(|_| ()),
        }
    }

    fn valid(&self) -> bool {
        self.shared.get().is_some_and(|renewed| renewed.elapsed() < self.options.deadline)
    }
}

impl Drop for LeaseFence {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl WriteFence for LeaseFence {
    async fn check(&self) -> Result<(), Fault> {
        if self.valid() {
            return Ok(());
        }
        let holder = self.state.borrow().holder.clone();
        let text = match holder {
            Some(holder) if holder == self.options.identity => format!(
                "the lease {} could not be renewed within {} s: nothing is written until it is",
                self.options.name,
                self.options.deadline.as_secs()
            ),
            Some(holder) => format!("the lease {} is held by {holder}: only the holder writes", self.options.name),
            None => format!("the lease {} is not held yet: nothing is written until it is", self.options.name),
        };
        Err(Fault::new(FaultKind::Fenced, text))
    }
}

/// The side that asks for the lease and renews it.
struct Contender {
    api: Arc<ApiServer>,
    options: LeaseOptions,
    shared: Arc<Shared>,
    tell: watch::Sender<LeaseState>,
    /// The other holder's last renewal as written in the Lease, and when this process first saw it.
    seen: Option<(String, Instant)>,
}

impl Contender {
    async fn run(&mut self) {
        // An outage is told when it begins.
        let mut failing = false;
        loop {
            // A renewal that hangs is worth as much as one that failed.
            let tried = tokio::time::timeout(self.options.renew, self.contend()).await;
            let failure = match &tried {
                Ok(Ok(holder)) => {
                    self.learn(holder.clone());
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the API server did not answer in time".to_owned()),
            };
            match &failure {
                Some(error) if failing => {
                    tracing::debug!(lease = %self.options.name, error, "still could not renew the lease: {error}");
                }
                Some(error) => {
                    tracing::warn!(lease = %self.options.name, error, "could not renew the lease: {error}");
                }
                None => {}
            }
            failing = failure.is_some();
            // After a failure soon again: the deadline leaves room for more than one try.
            let held = self.shared.get().is_some_and(|renewed| renewed.elapsed() < self.options.deadline);
            self.tell.send_if_modified(|state| {
                let changed = state.held != held;
                state.held = held;
                changed
            });
            let failed = !matches!(tried, Ok(Ok(Some(_))));
            tokio::time::sleep(if failed { self.options.renew / 5 } else { self.options.renew }).await;
        }
    }

    fn learn(&mut self, holder: Option<String>) {
        let held = holder.as_deref() == Some(self.options.identity.as_str());
        if !held {
            self.shared.set(None);
        }
        let state = LeaseState { held, holder };
        if *self.tell.borrow() != state {
            match (&state.holder, state.held) {
                (_, true) => tracing::info!(lease = %self.options.name, "this replica holds the lease and writes"),
                (Some(holder), false) => {
                    tracing::info!(lease = %self.options.name, holder, "another replica holds the lease")
                }
                (None, false) => {}
            }
            self.tell.send_replace(state);
        }
    }

    /// One try; gives back who holds the lease after it.
    async fn contend(&mut self) -> Result<Option<String>, Error> {
        let began = Instant::now();
        let name = &self.options.name.clone();
        let written = match read(&self.api, name).await? {
            None => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": name, "namespace": self.api.namespace()},
                    "spec": self.spec(0, now()),
                });
                write(&self.api, Method::POST, name, &lease).await
            }
            Some(mut lease) => {
                let current = holder(&lease).map(str::to_owned);
                let ours = current.as_deref() == Some(self.options.identity.as_str());
                if let Some(current) = current.filter(|_| !ours)
                    && !self.expired(&lease, began)
                {
                    return Ok(Some(current));
                }
                let transitions = lease.pointer("/spec/leaseTransitions").and_then(Value::as_i64).unwrap_or(0);
                let acquired = match lease.pointer("/spec/acquireTime").and_then(Value::as_str) {
                    Some(acquired) if ours => acquired.to_owned(),
                    _ => now(),
                };
                lease["spec"] = self.spec(if ours { transitions } else { transitions + 1 }, acquired);
                write(&self.api, Method::PUT, name, &lease).await
            }
        };
        match written {
            Ok(()) => {
                self.seen = None;
                self.shared.set(Some(began));
                Ok(Some(self.options.identity.clone()))
            }
            // Somebody was faster, or the Lease is gone.
            Err(error) if error.is_status(409) || error.is_status(404) => {
                let current = read(&self.api, name).await?.as_ref().and_then(holder).map(str::to_owned);
                match current {
                    // It was only edited: still ours, to be renewed at the next try.
                    Some(current) if current == self.options.identity => Err(error),
                    current => Ok(current),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether another holder has not renewed for the duration that its Lease states, as seen from here.
    fn expired(&mut self, lease: &Value, now: Instant) -> bool {
        let record = lease.get("spec").map(Value::to_string).unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => {
                self.seen = Some((record, now));
                now
            }
        };
        let stated = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64).map(Duration::from_secs);
        now.duration_since(since) >= stated.unwrap_or(self.options.duration)
    }

    fn spec(&self, transitions: i64, acquired: String) -> Value {
        json!({
            "holderIdentity": self.options.identity,
            "leaseDurationSeconds": self.options.duration.as_secs().max(1),
            "acquireTime": acquired,
            "renewTime": now(),
            "leaseTransitions": transitions,
        })
    }
}

fn holder(lease: &Value) -> Option<&str> {
    lease.pointer("/spec/holderIdentity").and_then(Value::as_str).filter(|holder| !holder.is_empty())
}

fn now() -> String {
    format!("{:.6}", Timestamp::now())
}

fn leases(api: &ApiServer) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", api.namespace())
}

async fn read(api: &ApiServer, name: &str) -> Result<Option<Value>, Error> {
    match api
        .transport
        .send(Call::new(format!("reading the lease {name}"), Method::GET, format!("{}/{name}", leases(api))))
        .await
    {
        Ok(answer) => Ok(Some(answer.value)),
        Err(error) if error.is_status(404) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write(api: &ApiServer, method: Method, name: &str, lease: &Value) -> Result<(), Error> {
    let path = if method == Method::POST { leases(api) } else { format!("{}/{name}", leases(api)) };
    let call = Call::new(format!("writing the lease {name}"), method, path).body(Format::Json, lease);
    api.transport.send(call).await.map(|_| ())
}
