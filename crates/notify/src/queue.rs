use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tagboat_engine::ports::{Deployment, Fault, Notifier};
use tagboat_engine::report::Meters;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long messages wait, and how many.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// So many messages wait; one more drops the oldest.
    pub capacity: usize,
    /// How often a message is handed on before it is given up.
    pub tries: u32,
    /// The wait before the second time, where none is asked for; four times as long before each further one.
    pub first_wait: Duration,
    /// The longest wait between those, also where more was asked for.
    pub longest_wait: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { capacity: 100, tries: 5, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(300) }
    }
}

/// A queue before a notifier that may be slow or down: whoever notifies never waits for it (F88).
///
/// Messages are delivered in order, one at a time, by one task. What cannot be delivered after several tries, or does not
/// fit, is logged and counted in `notify_dropped`.
#[derive(Debug)]
pub struct QueuedNotifier {
    queue: Arc<Queue>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    options: QueueOptions,
    meters: Arc<Meters>,
}

#[derive(Debug, Default)]
struct Waiting {
    deployments: VecDeque<Deployment>,
    closed: bool,
}

impl QueuedNotifier {
    /// Starts the delivering task; needs a Tokio runtime.
    pub fn start(inner: Arc<dyn Notifier>, options: QueueOptions, meters: Arc<Meters>) -> Self {
        let queue = Arc::new(Queue { waiting: Mutex::default(), arrived: Notify::new(), options, meters });
        let worker = tokio::spawn(deliver_all(Arc::clone(&queue), inner));
        Self { queue, worker: Mutex::new(Some(worker)) }
    }

    /// How many messages wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.lock().deployments.len()
    }

    /// Takes no more messages and waits until those that wait are delivered, at most so long; the rest is dropped.
    pub async fn close(&self, deadline: Duration) {
        self.queue.lock().closed = true;
        self.queue.arrived.notify_one();
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut worker) = worker
            && timeout(deadline, &mut worker).await.is_err()
        {
            worker.abort();
        }
        let left = std::mem::take(&mut self.queue.lock().deployments);
        for deployment in left {
            self.queue.dropped(&deployment, "the process ends");
        }
    }
}

impl Drop for QueuedNotifier {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            worker.abort();
        }
    }
}

#[async_trait]
impl Notifier for QueuedNotifier {
    /// Puts the message into the queue, and never fails for a message's sake.
    async fn notify(&self, deployment: &Deployment) -> Result<(), Fault> {
        let oldest = {
            let mut waiting = self.queue.lock();
            if waiting.closed {
                drop(waiting);
                self.queue.dropped(deployment, "the process ends");
                return Ok(());
            }
            waiting.deployments.push_back(deployment.clone());
            if waiting.deployments.len() > self.queue.options.capacity { waiting.deployments.pop_front() } else { None }
        };
        self.queue.arrived.notify_one();
        if let Some(oldest) = oldest {
            self.queue.dropped(&oldest, &format!("{} newer ones wait", self.queue.options.capacity));
        }
        Ok(())
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dropped(&self, deployment: &Deployment, why: &str) {
        self.meters.notify_dropped.count(&[]);
        tracing::warn!(
            change.id = %deployment.id,
            workload = %deployment.workload,
            "Dropped the message on the deployment of {}: {why}", deployment.workload
        );
    }

    /// The next message, or `None` when the queue is closed and empty.
    async fn next(&self) -> Option<Deployment> {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(deployment) = waiting.deployments.pop_front() {
                    return Some(deployment);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }
}

async fn deliver_all(queue: Arc<Queue>, inner: Arc<dyn Notifier>) {
    while let Some(deployment) = queue.next().await {
        match deliver(&queue.options, inner.as_ref(), &deployment).await {
            Ok(()) => queue.meters.notify.count(&["sent"]),
            Err(fault) => {
                queue.meters.notify.count(&["failed"]);
                queue.dropped(&deployment, &fault.text);
            }
        }
    }
}

async fn deliver(options: &QueueOptions, inner: &dyn Notifier, deployment: &Deployment) -> Result<(), Fault> {
    let mut wait = options.first_wait;
    let mut tried = 1;
    loop {
        let fault = match inner.notify(deployment).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        if !fault.is_transient() || tried >= options.tries {
            return Err(fault);
        }
        let pause = fault.retry_after.unwrap_or(wait).min(options.longest_wait);
        tracing::debug!(change.id = %deployment.id, retry.wait_ms = pause.as_millis(), "Message waits: {fault}");
        sleep(pause).await;
        tried += 1;
        wait *= 4;
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
