use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;
use tagboat_engine::ports::Clock;

/// The machine's clocks.
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}
