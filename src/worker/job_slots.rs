//! The jobs in hand: a permit and a task each.

use super::consuming::ConsumingPorts;
use super::flow_control::Caution;
use crate::health::Health;
use crate::pipeline::{Lease, Pipeline};
use antispoof_core::ports::Ports;
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// What it takes to have jobs in hand.
pub(super) struct JobSlots<P: Ports> {
    pub(super) pipeline: Arc<Pipeline<P>>,
    pub(super) tasks: TaskTracker,
    pub(super) permits: Arc<Semaphore>,
    pub(super) concurrency: u16,
    pub(super) caution: watch::Sender<Caution>,
    pub(super) health: Arc<Health>,
}

impl<P: ConsumingPorts> JobSlots<P> {
    /// `None` when the process stops.
    pub(super) async fn permit(&self) -> Option<Result<OwnedSemaphorePermit, AcquireError>> {
        self.pipeline.stop.soft().run_until_cancelled(self.permits.clone().acquire_owned()).await
    }

    pub(super) fn start(&self, lease: Lease<P>, permit: OwnedSemaphorePermit) -> JoinHandle<()> {
        let pipeline = self.pipeline.clone();
        self.tasks.spawn(async move {
            // On the heap before it is a task: a future is moved some eight times on its way into a task and out of it, and this one has 10 kB.
            Box::pin(pipeline.handle(lease)).await;
            drop(permit);
        })
    }
}
