//! Who works on a job: what the ledger says of it, before anything else is looked at.

use super::Pipeline;
use super::books::Away;
use super::examine::{Examined, Progress};
use super::past::{Past, stands};
use crate::gate::Pass;
use crate::telemetry::Entry;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::{Job, stable_key};
use antispoof_core::plan::Blame;
use antispoof_core::ports::{Broker, Detector, ImageStore, Known, Lease as _, Ledger};
use antispoof_core::retry::InDoubt;

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    /// Claims the job, or another round of it, and returns what is claimed; or says what has come of it already.
    pub(super) async fn claim(
        &self,
        lease: &B::Lease,
        job: &Job,
        key: &str,
        pass: &mut Pass,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Result<String, Examined> {
        // The ledger comes first: a job that has ended ended that way, whatever the clock or the settings say since.
        let mut claim = key.to_owned();
        let mut known = self.books.begin(&claim).await;
        if let Ok(Known::Concluded(conclusion)) = known {
            match self.past(lease, job, &conclusion, pass, progress).await {
                Past::Stands => return Err(stands(conclusion, lease.in_doubt(), entry)),
                Past::Stopped => return Err(Examined::Stopped),
                Past::Unknown(failure, blame) => return Err(Examined::Failed(failure, blame)),
                Past::Over { round } => {
                    // Claimed under a name that follows from what is over, so that two of a kind do not both call.
                    claim = stable_key(&[key, &round]);
                    known = self.books.begin(&claim).await;
                    // Whoever had that name before has left an end under the job's own.
                    if matches!(known, Ok(Known::Fresh | Known::InDoubt { .. }))
                        && !self.is_latest(key, &conclusion).await
                    {
                        self.books.release(&claim, false).await;
                        return Err(Examined::Held);
                    }
                    progress.in_doubt = progress.in_doubt.max(conclusion.check.in_doubt);
                    progress.over = Some(conclusion);
                }
            }
        }
        match known {
            Ok(Known::Fresh) => progress.claim = Some(claim.clone()),
            // Its end has just been found by another: the next look sees it.
            Ok(Known::Busy | Known::Concluded(_)) => {
                entry.waits("another delivery of it is in hand, or was when its worker died");
                return Err(Examined::Held);
            }
            Ok(Known::InDoubt { calls }) => {
                progress.claim = Some(claim.clone());
                // Those that the message knows of were counted when they were made.
                if calls > progress.in_doubt {
                    entry.in_doubt(calls - progress.in_doubt);
                    progress.in_doubt = calls;
                }
                if self.rules.policy.in_doubt == InDoubt::Park {
                    let message =
                        "an earlier call may have been paid for and its end is not known (api.in_doubt = \"park\")";
                    return Err(Examined::Failed(Failure::new(Code::ApiInDoubt, message), Blame::Job));
                }
            }
            Err(Away) => return Err(Examined::LedgerAway),
        }
        Ok(claim)
    }
}
