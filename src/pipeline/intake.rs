//! What becomes of a message that is not exactly one job.

use super::delivery::Delivery;
use crate::telemetry::{Copied, Settlement};
use antispoof_core::event::{FailureResult, ImageReport, Report};
use antispoof_core::job::{NothingAsked, Refused};
use antispoof_core::ports::{Broker as _, Lease as _, Ports};

impl<P: Ports> Delivery<'_, P> {
    /// No job: a failure event, then the parked queue. The ledger has no record of it, because there is nothing to be paid for twice.
    pub(super) async fn refuse(self, refused: Refused) -> Settlement {
        let Refused { failure, origin, image } = refused;
        self.record.failed(&failure);
        let now = (self.pipeline.clock_and_rng.now)();
        let image = image.as_ref().map(ImageReport::of);
        let mut report = Report::new(image, self.attempts(), now, self.lease.replay());
        report.check.in_doubt = self.lease.in_doubt();
        self.publish_failure(&origin, None, FailureResult::new(&failure, report)).await
    }

    /// Several jobs: a message for each, then the ack. Redelivered before the ack, it becomes the same messages again: their jobs have the same ids, so
    /// they end the same way.
    pub(super) async fn fan_out(self, bodies: &[Vec<u8>]) -> Settlement {
        self.record.is(format!("divided into {} jobs", bodies.len()));
        let broker = &self.pipeline.broker;
        let into = if self.lease.dropped().is_some() { Copied::Dead } else { Copied::Jobs };
        let mut last = None;
        for body in bodies {
            // Requeued, it is fanned out again from its beginning, into the same jobs.
            if self.pipeline.stop.soft().is_cancelled() {
                return self.requeue().await;
            }
            match self.persist(into, |_| broker.fan_out(&self.lease, body)).await {
                Ok(receipt) => last = Some(receipt),
                Err(_unpublished) => return Settlement::Lost,
            }
        }
        match last {
            Some(receipt) => self.ack(receipt, Settlement::FannedOut).await,
            None => Settlement::Lost,
        }
    }

    /// No job is asked for: acked, and counted.
    pub(super) async fn discard(self, nothing: NothingAsked) -> Settlement {
        self.record.is(nothing.what());
        match self.pipeline.broker.discard(self.lease, nothing).await {
            Ok(()) => Settlement::Discarded,
            Err(_lost) => Settlement::Lost,
        }
    }
}
