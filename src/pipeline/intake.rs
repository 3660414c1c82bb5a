//! What becomes of a message that is not exactly one job.

use super::{Known, Pipeline};
use crate::telemetry::{Copied, End, Entry};
use antispoof_core::event::ImageReport;
use antispoof_core::job::{NothingAsked, Origin, Refused};
use antispoof_core::ports::{Broker, Detector, ImageStore, Lease, Ledger};

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    /// No job: a failure event, then the parked queue. The ledger does not hear of it, because there is nothing to be paid for twice.
    pub(super) async fn refuse(&self, lease: B::Lease, refused: Refused, entry: &mut Entry) -> End {
        let Refused { failure, origin, image } = refused;
        let image = image.as_ref().map(ImageReport::of);
        entry.names(&origin.job_id, image.as_ref());
        entry.failed(&failure);
        let known =
            Known { origin, image, key: None, claim: None, after_ms: None, in_doubt: lease.in_doubt(), over: None };
        self.park(lease, known, failure, entry).await
    }

    /// Several jobs: a message for each, then acked. Delivered again before the ack, it is divided again into the same messages: their jobs have the
    /// same ids, so they end the same way.
    pub(super) async fn divide(&self, lease: B::Lease, bodies: &[Vec<u8>], entry: &mut Entry) -> End {
        name(&lease, entry);
        entry.is(format!("divided into {} jobs", bodies.len()));
        let into = if lease.dropped().is_some() { Copied::Dead } else { Copied::Jobs };
        let mut last = None;
        for body in bodies {
            // Handed back, it is divided again from its beginning, into the same jobs.
            if self.stop.soft().is_cancelled() {
                return self.stopped(lease).await;
            }
            match self.persist(&lease, into, |_| self.broker.divide(&lease, body)).await {
                Ok(receipt) => last = Some(receipt),
                Err(_unkept) => return End::Lost,
            }
        }
        match last {
            Some(receipt) => self.complete(lease, receipt, End::Divided).await,
            None => End::Lost,
        }
    }

    /// No job, and nobody waits for one: acked, and counted.
    pub(super) async fn dismiss(&self, lease: B::Lease, nothing: NothingAsked, entry: &mut Entry) -> End {
        name(&lease, entry);
        entry.is(nothing.what());
        match self.broker.dismiss(lease, nothing).await {
            Ok(()) => End::Dismissed,
            Err(_lost) => End::Lost,
        }
    }
}

/// Under which name a message that is no single job stands in the log.
pub(super) fn name(lease: &impl Lease, entry: &mut Entry) {
    entry.names(&Origin::of_message(lease.body(), lease.properties()).job_id, None);
}
