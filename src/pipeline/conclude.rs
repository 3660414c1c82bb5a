//! An answer, or what another job was answered, becomes this job's end.

use super::Pipeline;
use super::examine::Progress;
use antispoof_core::event::{Check, Conclusion, Ending, millis};
use antispoof_core::ports::{Answer, Broker, Detector, ImageStore, Lease as _, Ledger};

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    pub(super) fn conclude(&self, lease: &B::Lease, answer: Answer, progress: &mut Progress) -> Conclusion {
        progress.image.digest = answer.digest;
        Conclusion {
            ending: Ending::Verdict {
                outcome: answer.verdict.outcome(self.rules.review_below),
                verdict: answer.verdict,
            },
            image: Some(progress.image.clone()),
            check: Check {
                attempts: lease.attempt().next().count(),
                api_duration_ms: u64::try_from(progress.api_duration.as_millis()).ok(),
                http_status: Some(answer.http_status),
                request_id: answer.request_id,
                reused: false,
                in_doubt: progress.in_doubt,
            },
            at_ms: millis((self.ambient.now)()),
            replay: lease.replay(),
            after_ms: progress.after_ms,
        }
    }

    /// Another job's verdict on the same content becomes this job's. How it was come by stays; what it means is decided anew.
    pub(super) fn adopt(&self, lease: &B::Lease, found: Conclusion, progress: &mut Progress) -> Conclusion {
        progress.image.digest = found.image.and_then(|image| image.digest);
        let ending = match found.ending {
            Ending::Verdict { verdict, .. } => {
                Ending::Verdict { outcome: verdict.outcome(self.rules.review_below), verdict }
            }
            failure @ Ending::Failure { .. } => failure,
        };
        Conclusion {
            ending,
            image: Some(progress.image.clone()),
            check: Check {
                attempts: lease.attempt().next().count(),
                reused: true,
                in_doubt: progress.in_doubt,
                ..found.check
            },
            at_ms: millis((self.ambient.now)()),
            replay: lease.replay(),
            after_ms: progress.after_ms,
        }
    }
}
