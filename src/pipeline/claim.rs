//! Claiming a job: what the ledger says of it, before anything else is looked at.

use super::job_run::{Interrupt, JobRun};
use super::ledger_client::LedgerAway;
use super::prior_result::Prior;
use antispoof_core::event::JobResult;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::stable_key;
use antispoof_core::ports::{ClaimOutcome, Lease as _, Ports};
use antispoof_core::retry::InDoubt;

impl<P: Ports> JobRun<'_, P> {
    /// Claims the job, or another generation of it; or returns the result that it has already.
    pub(super) async fn claim(&mut self) -> Result<Option<JobResult>, Interrupt> {
        let pipeline = self.delivery.pipeline;
        // The ledger comes first: a job that has ended ended that way, whatever the clock or the settings say since.
        let mut claim = self.key.clone();
        let mut known = pipeline.ledger.begin(&claim).await;
        if let Ok(ClaimOutcome::Concluded(prior)) = known {
            match Box::pin(self.prior_result(&prior)).await? {
                Prior::Reuse => return Ok(Some(self.reused(*prior))),
                Prior::Superseded { generation } => {
                    // Claimed under a name that follows from what is superseded, so that two of a kind do not both call.
                    claim = stable_key(&[&self.key, &generation]);
                    known = pipeline.ledger.begin(&claim).await;
                    // The worker that had that name before has left a result under the job's own.
                    if matches!(known, Ok(ClaimOutcome::Fresh | ClaimOutcome::InDoubt { .. }))
                        && !self.is_latest(&prior).await
                    {
                        pipeline.ledger.release(&claim, false).await;
                        return Err(Interrupt::Busy);
                    }
                    self.in_doubt = self.in_doubt.max(prior.report().check.in_doubt);
                    self.superseded_result = Some(prior);
                }
            }
        }
        match known {
            Ok(ClaimOutcome::Fresh) => self.claim = Some(claim),
            // In the second case another delivery of this job has just finished it: the next look sees its result.
            Ok(ClaimOutcome::Busy | ClaimOutcome::Concluded(_)) => {
                self.delivery.record.waits("another delivery of it is in hand, or was when its worker died");
                return Err(Interrupt::Busy);
            }
            Ok(ClaimOutcome::InDoubt { calls }) => {
                self.claim = Some(claim);
                // Those that the message knows of were counted when they were made.
                if calls > self.in_doubt {
                    self.delivery.record.in_doubt(calls - self.in_doubt);
                    self.in_doubt = calls;
                }
                if pipeline.rules.policy.in_doubt == InDoubt::Park {
                    let message =
                        "an earlier call may have been paid for and its end is not known (api.in_doubt = \"park\")";
                    return Err(Failure::new(Code::ApiInDoubt, message).into());
                }
            }
            Err(LedgerAway) => return Err(Interrupt::LedgerAway),
        }
        Ok(None)
    }

    /// With the calls in doubt that the message knows of, and the ledger may not.
    fn reused(&mut self, mut prior: JobResult) -> JobResult {
        let check = &mut prior.report_mut().check;
        check.in_doubt = check.in_doubt.max(self.delivery.lease.in_doubt());
        match &mut prior {
            JobResult::Verdict(verdict) => {
                verdict.report.check.reused = true;
                self.delivery.record.reused();
            }
            JobResult::Failure(failure) => self.delivery.record.reused_failure(failure.code),
        }
        prior
    }
}
