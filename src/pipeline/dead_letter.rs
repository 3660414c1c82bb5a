//! A job that the broker took off the job queue by itself. It is not run any more: it has a result already, or this is its end.

use super::job_run::{Interrupt, JobRun};
use antispoof_core::dropped::Dropped;
use antispoof_core::event::JobResult;
use antispoof_core::failure::Code;
use antispoof_core::ports::{Lease as _, Ports};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// One that cannot be ended yet goes to the tail of its queue after so long: others may be waiting behind it.
const PATIENCE: Duration = Duration::from_secs(5);

impl<P: Ports> JobRun<'_, P> {
    /// The result on record, or the failure that says why the broker has dropped the job. Another delivery of it may still be worked on, by a worker that has
    /// lost its lease and not its call: its result is waited for, so that there is one and not two.
    pub(super) async fn result_of_dead_letter(&mut self, dropped: &Dropped) -> Result<JobResult, Interrupt> {
        let pipeline = self.delivery.pipeline;
        let since = Instant::now();
        for tries in 0.. {
            if !self.delivery.lease.usable() {
                return Err(Interrupt::LeaseLost);
            }
            // Another pass for each look, gone at once: what a dead letter meets says something, but it keeps no job from finding out whether that is over.
            let own = std::mem::replace(&mut self.pass, pipeline.gate.pass(self.job.id()));
            let claimed = self.claim().await;
            self.pass = own;
            match claimed {
                Ok(Some(prior)) => return Ok(prior),
                Ok(None) => return Err(dropped.failure().into()),
                // It has a verdict, and whether that still holds is not to be seen at the moment.
                Err(Interrupt::Failed(unseen, _)) if self.claim.is_none() && may_be_seen_later(unseen.code()) => {
                    self.delivery.record.waits(unseen.message());
                }
                // Nor will it be. Nothing is claimed then, and for this failure nothing has to be.
                Err(Interrupt::Failed(..)) if self.claim.is_none() => return Err(dropped.failure().into()),
                Err(Interrupt::LedgerAway) => self.delivery.record.waits("the ledger does not answer"),
                Err(Interrupt::Busy) => {}
                Err(other) => return Err(other),
            }
            if since.elapsed() > PATIENCE {
                break;
            }
            let wait = pipeline.rules.publish.wait(tries, (pipeline.clock_and_rng.random)());
            if pipeline.stop.soft().run_until_cancelled(sleep(wait)).await.is_none() {
                return Err(Interrupt::Stopped);
            }
        }
        Err(Interrupt::Busy)
    }
}

/// Whether looking at an object failed for the store's sake and not for the object's.
fn may_be_seen_later(code: Code) -> bool {
    matches!(code, Code::StoreUnavailable | Code::StoreTimeout | Code::StoreUnauthorized)
}
