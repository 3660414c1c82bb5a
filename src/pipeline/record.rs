//! Ends on record: the first one stands, and none is told before it is there.

use super::Pipeline;
use super::books::Away;
use super::settle::RESULT_HOLD;
use crate::gate::{Proof, Reason};
use antispoof_core::event::Conclusion;
use antispoof_core::ports::{Broker, Detector, ImageStore, Known, Lease as _, Ledger};
use tokio::time::{Instant, sleep};

/// What became of putting an end on record.
pub(super) enum OnRecord {
    /// It is there, or need not be.
    Ours,
    /// Another is there, which is told instead: somebody had taken the job over; or the same with more calls in doubt.
    Another(Box<Conclusion>),
    /// The ledger is away, and the broker has given the message to somebody else: the call is in doubt.
    Nowhere,
}

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    /// Puts an end on record. Where nothing may be paid for without the ledger, nothing is told without it either: an end that is told, and forgotten
    /// with this process, would be told again in other words by whoever pays for it next. So it is held like one that the broker does not take.
    pub(super) async fn put_on_record(
        &self,
        lease: &B::Lease,
        key: &str,
        object: Option<&str>,
        end: &Conclusion,
        over: Option<&Conclusion>,
    ) -> OnRecord {
        let since = Instant::now();
        let mut probe = None;
        for tries in 0.. {
            // Asked before the try: the last one is made for a lease that is gone, too.
            let last = !lease.usable();
            if let Ok(standing) = self.books.conclude(key, object, end, over).await {
                self.gate.proof(Proof::Ledger);
                return standing.map_or(OnRecord::Ours, OnRecord::Another);
            }
            if last {
                break;
            }
            self.gate.keep_closed(&mut probe, Reason::Ledger, "it does not take the end of a job");
            if since.elapsed() > RESULT_HOLD {
                tracing::error!("the ledger has not taken an end for {RESULT_HOLD:?}: it is told without");
                return OnRecord::Ours;
            }
            sleep(self.rules.publish.wait(tries, (self.ambient.roll)())).await;
        }
        self.books.release(key, true).await;
        OnRecord::Nowhere
    }

    /// Whether an end is still the last word on its job.
    pub(super) async fn is_latest(&self, key: &str, conclusion: &Conclusion) -> bool {
        match self.books.begin(key).await {
            Ok(Known::Concluded(now)) => *now == *conclusion,
            Ok(Known::Fresh | Known::InDoubt { .. }) => {
                // Forgotten in the meantime.
                self.books.release(key, false).await;
                true
            }
            Ok(Known::Busy) | Err(Away) => false,
        }
    }

    /// The end is on record under the job's own key, which gave up a claim of that name. The claim of another round is left to be given up.
    pub(super) async fn end_round(&self, key: &str, claim: Option<&str>, paid: bool) {
        if let Some(claim) = claim.filter(|claim| *claim != key) {
            self.books.release(claim, paid).await;
        }
    }
}
