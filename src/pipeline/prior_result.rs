//! Whether a result in the ledger is the result of the message in hand.

use super::inspect::slow_store;
use super::job_run::{Interrupt, JobRun};
use antispoof_core::event::JobResult;
use antispoof_core::failure::{Class, Stage};
use antispoof_core::image::ImageRef;
use antispoof_core::ports::{ImageStore as _, Lease as _, Ports};
use antispoof_core::retry::InDoubt;
use tokio::time::Instant;

/// What a prior result means for the message in hand.
pub(super) enum Prior {
    /// It is its result, too.
    Reuse,
    /// It is superseded: this is another generation of the job, with a name of its own.
    Superseded { generation: String },
}

impl<P: Ports> JobRun<'_, P> {
    /// Fails where it cannot be said because the object cannot be looked at.
    pub(super) async fn prior_result(&mut self, prior: &JobResult) -> Result<Prior, Interrupt> {
        let pipeline = self.delivery.pipeline;
        let lease = &self.delivery.lease;
        let report = prior.report();
        if let JobResult::Failure(failure) = prior {
            if lease.replay() > report.replay {
                return Ok(Prior::Superseded { generation: format!("replay {}", lease.replay()) });
            }
            // To call again for what may have been paid for is an operator's decision, and a replay is how it is made known.
            let to_be_asked = pipeline.rules.policy.in_doubt == InDoubt::Park && report.check.in_doubt > 0;
            if lease.seen_before(report.at_ms) || to_be_asked {
                return Ok(Prior::Reuse);
            }
            let about_the_image = report.image.as_ref().is_some_and(|image| image.etag.is_some());
            if !(failure.code.class() == Class::Permanent && about_the_image) {
                // Sent once more after something that may have passed.
                self.after_ms = Some(report.at_ms);
                return Ok(Prior::Superseded { generation: format!("after {}", report.at_ms) });
            }
        }
        if is_pinned(self.job.image()) {
            return Ok(Prior::Reuse);
        }
        // The job names an object and not its content: is the result about what is there now? Only its header is requested.
        let (limit, started) = (pipeline.rules.fetch_limit, Instant::now());
        let opening = tokio::time::timeout(limit, Box::pin(pipeline.store.open(self.job.image())));
        let opened = pipeline.stop.soft().run_until_cancelled(opening).await.ok_or(Interrupt::Stopped)?;
        let opened = opened.unwrap_or_else(|_| Err(slow_store(limit)));
        self.delivery.record.looked_at(started.elapsed(), opened.as_ref().map(|opened| opened.bytes));
        match opened {
            Ok(opened) => {
                self.pass.proof(Stage::Fetch);
                let checked = report.image.as_ref().and_then(|image| image.etag.as_deref());
                // Without an `ETag` nothing tells one content from the next.
                if checked.is_some() && opened.etag.as_deref() == checked {
                    return Ok(Prior::Reuse);
                }
                let generation = format!("content {}", opened.etag.as_deref().unwrap_or_default());
                self.new_etag = opened.etag;
                Ok(Prior::Superseded { generation })
            }
            Err(failure) => {
                let blame = self.pass.failed(&failure);
                // The object may well be deleted once its verdict is known; for the message that it belongs to, that changes nothing.
                if self.delivery.lease.seen_before(report.at_ms) {
                    return Ok(Prior::Reuse);
                }
                // Not known what is there, so nothing is paid for, and the verdict stays in the ledger whatever becomes of this message.
                self.recorded = false;
                Err(Interrupt::Failed(failure, blame))
            }
        }
    }
}

pub(super) fn is_pinned(image: &ImageRef) -> bool {
    image.pin().is_some()
}
