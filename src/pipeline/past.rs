//! Whether an end in the ledger is the end of the message in hand.

use super::Pipeline;
use super::examine::{Examined, Progress, slow_store};
use crate::gate::Pass;
use crate::telemetry::Entry;
use antispoof_core::event::{Conclusion, Ending};
use antispoof_core::failure::{Class, Code, Failure, Stage};
use antispoof_core::image::ImageRef;
use antispoof_core::job::Job;
use antispoof_core::plan::Blame;
use antispoof_core::ports::{Broker, Detector, ImageStore, Lease as _, Ledger};
use antispoof_core::retry::InDoubt;

/// What an earlier end means for the message in hand.
pub(super) enum Past {
    /// It is its end.
    Stands,
    /// It is over: this is another round, with a name of its own.
    Over { round: String },
    /// It cannot be said: the object cannot be looked at.
    Unknown(Failure, Blame),
    /// The process stops.
    Stopped,
}

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    /// Whether an earlier end is this message's end, too.
    pub(super) async fn past(
        &self,
        lease: &B::Lease,
        job: &Job,
        conclusion: &Conclusion,
        pass: &mut Pass,
        progress: &mut Progress,
    ) -> Past {
        if let Ending::Failure { code, .. } = &conclusion.ending {
            if lease.replay() > conclusion.replay {
                return Past::Over { round: format!("replay {}", lease.replay()) };
            }
            let code = Code::from_name(code);
            // To call again for what may have been paid for is a person's decision, and a replay is how it is told.
            let to_be_asked = self.rules.policy.in_doubt == InDoubt::Park && conclusion.check.in_doubt > 0;
            if lease.seen_before(conclusion.at_ms) || to_be_asked {
                return Past::Stands;
            }
            let about_the_image = conclusion.image.as_ref().is_some_and(|image| image.etag.is_some());
            let permanent = code.is_some_and(|code| code.class() == Class::Permanent);
            if !(permanent && about_the_image) {
                // Sent once more after something that may have passed.
                progress.after_ms = Some(conclusion.at_ms);
                return Past::Over { round: format!("after {}", conclusion.at_ms) };
            }
        }
        if pinned(job.image()) {
            return Past::Stands;
        }
        // The job names an object and not its content: is the end about what is there now? Only its header is asked for.
        let limit = self.rules.fetch_limit;
        let opening = tokio::time::timeout(limit, self.store.open(job.image()));
        let Some(opened) = self.stop.soft().run_until_cancelled(opening).await else {
            return Past::Stopped;
        };
        let opened = opened.unwrap_or_else(|_| Err(slow_store(limit)));
        let blame = match &opened {
            Ok(_) => {
                pass.proof(Stage::Fetch);
                Blame::Job
            }
            Err(failure) => pass.failed(failure),
        };
        let judged = conclusion.image.as_ref().and_then(|image| image.etag.as_deref());
        match opened {
            // Without an `ETag` nothing tells one content from the next.
            Ok(opened) if judged.is_some() && opened.etag.as_deref() == judged => Past::Stands,
            Ok(opened) => {
                let round = format!("content {}", opened.etag.as_deref().unwrap_or_default());
                progress.seen = opened.etag;
                Past::Over { round }
            }
            // The object may well be deleted once its verdict is known; for the message that it belongs to, that changes nothing.
            Err(_) if lease.seen_before(conclusion.at_ms) => Past::Stands,
            // Not known what is there, so nothing is paid for, and the verdict stays in the ledger whatever becomes of this message.
            Err(failure) => {
                progress.keeps = false;
                Past::Unknown(failure, blame)
            }
        }
    }
}

/// `in_doubt` as the message says: it may know of calls that the ledger does not.
pub(super) fn stands(mut conclusion: Box<Conclusion>, in_doubt: u32, entry: &mut Entry) -> Examined {
    conclusion.check.in_doubt = conclusion.check.in_doubt.max(in_doubt);
    if !conclusion.is_verdict() {
        return Examined::Ended(conclusion);
    }
    conclusion.check.reused = true;
    entry.reused();
    Examined::Concluded(conclusion)
}

pub(super) fn pinned(image: &ImageRef) -> bool {
    image.pin().is_some()
}
