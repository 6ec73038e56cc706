use async_trait::async_trait;
use tagboat_engine::ports::{Fault, FaultKind, WriteFence};

/// `mode: observe`: nothing may be written, anywhere.
pub struct Observer;

#[async_trait]
impl WriteFence for Observer {
    async fn check(&self) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Fenced, "mode is observe: nothing is written"))
    }
}
