//! What the broker took off the job queue by itself. The job is not run any more; it has an end already, or this is it.

use super::Pipeline;
use super::examine::{Examined, Progress};
use super::keys::ledger_key;
use crate::telemetry::Entry;
use antispoof_core::dropped::Dropped;
use antispoof_core::failure::Code;
use antispoof_core::job::Job;
use antispoof_core::plan::Blame;
use antispoof_core::ports::{Broker, Detector, ImageStore, Lease as _, Ledger};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// One that cannot be ended yet goes to the tail of its queue after so long: others may be waiting behind it.
const PATIENCE: Duration = Duration::from_secs(5);

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    /// Finds the end of a job that the broker has dropped. Another delivery of it may still be worked on, by a worker that has lost its lease and not its
    /// call: its end is waited for, so that there is one end and not two.
    pub(super) async fn examine_dropped(
        &self,
        dropped: &Dropped,
        lease: &B::Lease,
        job: &Job,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Examined {
        let key = ledger_key(job, &self.rules.judge);
        let since = Instant::now();
        for tries in 0.. {
            if !lease.usable() {
                return Examined::Lost;
            }
            // Of its own and gone at once: what a dropped job meets says something, but it does not keep others from finding out whether that is over.
            let mut pass = self.gate.pass(job.id());
            let claimed = self.claim(lease, job, &key, &mut pass, progress, entry).await;
            drop(pass);
            match claimed {
                Ok(_) => return Examined::Failed(dropped.failure(), Blame::Job),
                // It was judged before, and whether that verdict still holds is not to be seen at the moment.
                Err(Examined::Failed(unseen, _)) if progress.claim.is_none() && may_be_seen_later(unseen.code()) => {
                    entry.waits(unseen.message());
                }
                // Nor will it be. Nothing is claimed then, and for this end nothing has to be.
                Err(Examined::Failed(..)) if progress.claim.is_none() => {
                    return Examined::Failed(dropped.failure(), Blame::Job);
                }
                Err(Examined::LedgerAway) => entry.waits("the ledger does not answer"),
                Err(Examined::Held) => {}
                Err(ended) => return ended,
            }
            if since.elapsed() > PATIENCE {
                break;
            }
            let wait = self.rules.publish.wait(tries, (self.ambient.roll)());
            if self.stop.soft().run_until_cancelled(sleep(wait)).await.is_none() {
                return Examined::Stopped;
            }
        }
        Examined::Held
    }
}

/// Whether a look at an object failed for the store's sake and not for the object's.
fn may_be_seen_later(code: Code) -> bool {
    matches!(code, Code::StoreUnavailable | Code::StoreTimeout | Code::StoreUnauthorized)
}
