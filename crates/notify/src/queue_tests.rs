use super::*;
use tagboat_engine::ports::{ChangeId, DeploymentOutcome, FaultKind};

fn deployment(id: u32) -> Deployment {
    Deployment {
        id: ChangeId(id.to_string()),
        workload: "shop:helmrelease/web".parse().unwrap(),
        from: None,
        to: None,
        revision: None,
        outcome: DeploymentOutcome::Done,
        pushed: None,
        committed: None,
        finished: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// Answers what it is told to, and remembers what it was asked.
#[derive(Debug, Default)]
struct Inner {
    asked: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<Fault>>,
    blocks: bool,
}

#[async_trait]
impl Notifier for Inner {
    async fn notify(&self, deployment: &Deployment) -> Result<(), Fault> {
        self.asked.lock().unwrap().push(deployment.id.0.clone());
        if self.blocks {
            std::future::pending::<()>().await;
        }
        self.answers.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

fn start(inner: Inner, capacity: usize) -> (QueuedNotifier, Arc<Inner>, Arc<Meters>) {
    let (inner, meters) = (Arc::new(inner), Arc::new(Meters::new("0")));
    let options = QueueOptions { capacity, first_wait: Duration::from_millis(1), ..QueueOptions::default() };
    let queued = QueuedNotifier::start(Arc::clone(&inner) as Arc<dyn Notifier>, options, Arc::clone(&meters));
    (queued, inner, meters)
}

#[tokio::test]
async fn messages_are_delivered_in_order_and_before_the_end() {
    let (queued, inner, meters) = start(Inner::default(), 100);
    for id in 0..50 {
        queued.notify(&deployment(id)).await.unwrap();
    }
    queued.close(Duration::from_secs(5)).await;
    assert_eq!(*inner.asked.lock().unwrap(), (0..50).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!((meters.notify.get(&["sent"]), meters.notify_dropped.get(&[])), (50, 0));
}

#[tokio::test]
async fn a_stuck_notifier_holds_nobody_up_and_the_oldest_are_dropped() {
    let (queued, inner, meters) = start(Inner { blocks: true, ..Inner::default() }, 3);
    queued.notify(&deployment(0)).await.unwrap();
    while inner.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    for id in 1..=10 {
        queued.notify(&deployment(id)).await.unwrap();
    }
    assert_eq!(queued.waiting(), 3);
    assert_eq!(meters.notify_dropped.get(&[]), 7);
    let left: Vec<_> = queued.queue.lock().deployments.iter().map(|deployment| deployment.id.0.clone()).collect();
    assert_eq!(left, ["8", "9", "10"]);
    queued.close(Duration::from_millis(50)).await;
    assert_eq!(meters.notify_dropped.get(&[]), 10, "what is left at the end is counted as well");
    assert_eq!(*inner.asked.lock().unwrap(), ["0"]);
}

#[tokio::test]
async fn a_message_waits_as_long_as_it_is_asked_to() {
    let throttled = Fault::new(FaultKind::Throttled, "slow down").retry_after(Duration::from_millis(300));
    let (queued, inner, meters) = start(Inner { answers: Mutex::new([throttled].into()), ..Inner::default() }, 100);
    let start = std::time::Instant::now();
    queued.notify(&deployment(1)).await.unwrap();
    queued.close(Duration::from_secs(60)).await;
    assert_eq!(*inner.asked.lock().unwrap(), ["1", "1"]);
    assert!(start.elapsed() >= Duration::from_millis(300), "not earlier than asked");
    assert_eq!(meters.notify.get(&["sent"]), 1);
}

#[tokio::test]
async fn what_cannot_be_delivered_is_given_up_and_the_next_is_not() {
    let refused = Fault::new(FaultKind::Denied, "the webhook was removed");
    let down = || Fault::new(FaultKind::Unavailable, "down");
    let answers = [refused, down(), down(), down(), down(), down()];
    let (queued, inner, meters) = start(Inner { answers: Mutex::new(answers.into()), ..Inner::default() }, 100);
    for id in 1..=3 {
        queued.notify(&deployment(id)).await.unwrap();
    }
    queued.close(Duration::from_secs(3600)).await;
    assert_eq!(*inner.asked.lock().unwrap(), ["1", "2", "2", "2", "2", "2", "3"]);
    assert_eq!((meters.notify.get(&["failed"]), meters.notify.get(&["sent"])), (2, 1));
    assert_eq!(meters.notify_dropped.get(&[]), 2);
}
