//! Results on record: the first one stands, and none is published before it is there.

use super::delivery::RESULT_HOLD;
use super::job_run::{Interrupt, JobRun};
use super::ledger_client::LedgerAway;
use super::parts::Pipeline;
use crate::gate::{Proof, Reason};
use antispoof_core::event::JobResult;
use antispoof_core::ports::{ClaimOutcome, Lease as _, Ports};
use tokio::time::{Instant, sleep};

impl<P: Ports> JobRun<'_, P> {
    /// Puts the result on record and gives up the claim. Returns the result that stands: this one; or another, where a worker had taken the job over; or the
    /// same with more calls in doubt. The lease is lost where the ledger is away and the broker has redelivered the message: the call is in doubt.
    ///
    /// Where nothing may be paid for without the ledger, nothing is published without it either: a result that is published, and forgotten with this
    /// process, would be published again in other words by the next worker that pays for it. So it is held like one that the broker does not take.
    pub(super) async fn put_on_record(&mut self, result: JobResult, may_be_paid: bool) -> Result<JobResult, Interrupt> {
        let stands = self.recorded_result(result).await;
        // The record under the job's own key gave up a claim of that name. The claim of another generation is left to be given up.
        if self.claim.as_ref().is_some_and(|claim| *claim != self.key) {
            self.release_claim(may_be_paid).await;
        }
        self.claim = None;
        stands
    }

    async fn recorded_result(&self, result: JobResult) -> Result<JobResult, Interrupt> {
        let Pipeline { ledger, gate, rules, clock_and_rng, .. } = self.delivery.pipeline;
        let (key, object, superseded) = (&self.key, self.object.as_deref(), self.superseded_result.as_deref());
        let since = Instant::now();
        let mut probe = None;
        for tries in 0.. {
            // Asked before the try: the last one is made for a lease that is gone, too.
            let last = !self.delivery.lease.usable();
            if let Ok(other) = ledger.conclude(key, object, &result, superseded).await {
                gate.proof(Proof::Ledger);
                return Ok(other.map_or(result, |other| *other));
            }
            if last {
                break;
            }
            gate.keep_closed(&mut probe, Reason::Ledger, "it does not take the end of a job");
            if since.elapsed() > RESULT_HOLD {
                tracing::error!(
                    "the ledger has not taken a result for {RESULT_HOLD:?}: it is published without a ledger record"
                );
                return Ok(result);
            }
            sleep(rules.publish.wait(tries, (clock_and_rng.random)())).await;
        }
        ledger.release(key, true).await;
        Err(Interrupt::LeaseLost)
    }

    /// Whether a result is still the last one of its job.
    pub(super) async fn is_latest(&self, result: &JobResult) -> bool {
        let ledger = &self.delivery.pipeline.ledger;
        match ledger.begin(&self.key).await {
            Ok(ClaimOutcome::Concluded(now)) => *now == *result,
            Ok(ClaimOutcome::Fresh | ClaimOutcome::InDoubt { .. }) => {
                // Forgotten in the meantime.
                ledger.release(&self.key, false).await;
                true
            }
            Ok(ClaimOutcome::Busy) | Err(LedgerAway) => false,
        }
    }
}
