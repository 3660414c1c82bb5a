//! From a job to a conclusion or a failure.

use super::books::{Away, Reuse};
use super::keys::{call_identity, object_key};
use super::look::look;
use super::past::pinned;
use super::record::OnRecord;
use super::{DELIVERY_LIMIT, Pipeline};
use crate::gate::{Pass, Proof};
use crate::telemetry::Entry;
use antispoof_core::event::{Conclusion, ImageReport};
use antispoof_core::failure::{Code, Failure, Stage};
use antispoof_core::image::ImageRef;
use antispoof_core::job::Job;
use antispoof_core::plan::Blame;
use antispoof_core::ports::{Answer, Broker, CallFailure, Detector, ImageStore, Inspected, Intent, Lease as _, Ledger};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What came of a job.
pub(super) enum Examined {
    /// A verdict, from now or from the ledger.
    Concluded(Box<Conclusion>),
    /// A failure that had ended the job before, from the ledger.
    Ended(Box<Conclusion>),
    /// Something went wrong, and whose fault it is.
    Failed(Failure, Blame),
    /// Not now: the gate is closed.
    GateClosed,
    /// Not now: another delivery is being worked on.
    Held,
    /// Not before the ledger is there again.
    LedgerAway,
    /// The process stops, and nothing has been sent.
    Stopped,
    /// The broker has taken the message back.
    Lost,
}

/// What one try came to, when it is not an answer.
enum Miss {
    Failed {
        failure: Failure,
        repeat_at_once: bool,
    },
    /// Publishing was blocked, or the gate closed, between the guards and the call: begin again, nothing was spent.
    Again,
    GateClosed,
    Held,
    LedgerAway,
    Stopped,
    Lost,
}

impl From<Away> for Miss {
    fn from(Away: Away) -> Self {
        Self::LedgerAway
    }
}

/// Where a verdict comes from.
enum Found {
    Answer(Answer),
    /// Another job on the same content had it.
    Elsewhere(Box<Conclusion>),
}

/// What was learned on the way.
pub(super) struct Progress {
    pub(super) image: ImageReport,
    /// When the job had ended in a failure before it was sent once more.
    pub(super) after_ms: Option<i64>,
    /// The `ETag` that a look at an object with an earlier verdict saw: the one to judge.
    pub(super) seen: Option<String>,
    /// Whether a failure of this message is the job's end, for the ledger.
    pub(super) keeps: bool,
    /// Calls for the job that may have been paid for without a verdict.
    pub(super) in_doubt: u32,
    /// What is claimed in the ledger: the job, or another round of it.
    pub(super) claim: Option<String>,
    pub(super) api_duration: Duration,
    /// The end on record that this round replaces.
    pub(super) over: Option<Box<Conclusion>>,
    /// What other jobs find the verdict under.
    object: Option<String>,
}

impl Progress {
    /// `in_doubt` as the message says; the ledger may know of more.
    pub(super) fn new(image: ImageReport, in_doubt: u32) -> Self {
        Self {
            image,
            after_ms: None,
            seen: None,
            keeps: true,
            in_doubt,
            claim: None,
            api_duration: Duration::ZERO,
            over: None,
            object: None,
        }
    }
}

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    pub(super) async fn examine(
        &self,
        lease: &B::Lease,
        job: &Job,
        key: &str,
        pass: &mut Pass,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Examined {
        let claim = match self.claim(lease, job, key, pass, progress, entry).await {
            Ok(claim) => claim,
            Err(ended) => return ended,
        };
        let examined = if lease.deliveries() >= DELIVERY_LIMIT {
            let message = format!("delivered {} times without an end", lease.deliveries().saturating_add(1));
            Examined::Failed(Failure::new(Code::DeliveryLimit, message), Blame::Job)
        } else {
            self.tries(lease, job, &claim, pass, progress, entry).await
        };
        match examined {
            Examined::Concluded(conclusion) => {
                let object = progress.object.as_deref();
                let standing = self.put_on_record(lease, key, object, &conclusion, progress.over.as_deref()).await;
                self.end_round(key, progress.claim.as_deref(), false).await;
                match standing {
                    OnRecord::Ours => Examined::Concluded(conclusion),
                    OnRecord::Another(end) if end.is_verdict() => Examined::Concluded(end),
                    OnRecord::Another(end) => Examined::Ended(end),
                    OnRecord::Nowhere => Examined::Lost,
                }
            }
            // What becomes of the claim depends on what becomes of the job.
            failed @ Examined::Failed(..) => failed,
            other => {
                self.books.release(&claim, false).await;
                other
            }
        }
    }

    /// Quick tries. Each opens the object anew, pinned to what the first one saw, so that all judge the same bytes.
    async fn tries(
        &self,
        lease: &B::Lease,
        job: &Job,
        key: &str,
        pass: &mut Pass,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Examined {
        let mut image = job.image().clone();
        if !pinned(&image) {
            image.etag.clone_from(&progress.seen);
        }
        let mut tries = 0;
        let mut repeated = false;
        loop {
            if let Err(failure) = job.admit(&self.rules.admission, (self.ambient.now)()) {
                return Examined::Failed(failure, Blame::Job);
            }
            let miss = match self.once(lease, job, &mut image, key, pass, progress, entry).await {
                Ok(Found::Answer(answer)) => {
                    return Examined::Concluded(Box::new(self.conclude(lease, answer, progress)));
                }
                Ok(Found::Elsewhere(conclusion)) => {
                    entry.reused();
                    return Examined::Concluded(Box::new(self.adopt(lease, *conclusion, progress)));
                }
                Err(miss) => miss,
            };
            let failure = match miss {
                Miss::Failed { repeat_at_once: true, .. } if !repeated => {
                    repeated = true;
                    continue;
                }
                Miss::Failed { failure, .. } => failure,
                Miss::Again => continue,
                Miss::GateClosed => return Examined::GateClosed,
                Miss::Held => return Examined::Held,
                Miss::LedgerAway => return Examined::LedgerAway,
                Miss::Stopped => return Examined::Stopped,
                Miss::Lost => return Examined::Lost,
            };
            let blame = pass.failed(&failure);
            if failure.code() == Code::ObjectChanged && progress.seen.is_some() {
                // Claimed as the round of a content that is gone: what is there now is another round's, and maybe somebody else's.
                return Examined::Held;
            }
            tries += 1;
            let failure = if failure.code() == Code::ObjectChanged && !pinned(job.image()) {
                // Overwritten since our own first look. The job asked for whatever is there, so look again, now or later.
                image = job.image().clone();
                Failure::new(Code::StoreUnavailable, failure.message())
            } else {
                failure
            };
            let wait = self.rules.policy.quick_wait(&failure, tries, (self.ambient.roll)());
            let Some(wait) = wait.filter(|_| blame == Blame::Job) else {
                return Examined::Failed(failure, blame);
            };
            entry.retrying(&failure);
            if self.stop.soft().run_until_cancelled(sleep(wait)).await.is_none() {
                return Examined::Stopped;
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what a try needs; a struct for them would be made in one place and read in one"
    )]
    async fn once(
        &self,
        lease: &B::Lease,
        job: &Job,
        image: &mut ImageRef,
        key: &str,
        pass: &mut Pass,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Result<Found, Miss> {
        let soft = self.stop.soft();
        soft.run_until_cancelled(self.clearance()).await.ok_or(Miss::Stopped)?;
        self.guard(lease)?;
        if !pass.enter() {
            return Err(Miss::GateClosed);
        }
        let inspected = soft.run_until_cancelled(self.fetch(image, progress, entry)).await.ok_or(Miss::Stopped)??;
        pass.proof(Stage::Fetch);
        // Fetching took a while. From here on the job is paid for, so once more:
        self.guard(lease)?;
        if !pass.may_go_on() || !self.broker.can_publish() {
            return Err(Miss::Again);
        }
        let object = match self.rules.reuse {
            Reuse::Object => object_key(&progress.image, &self.rules.judge),
            Reuse::Job | Reuse::Off => None,
        };
        if let Some(object) = &object
            && let Some(known) = self.books.recall(object).await?
        {
            return Ok(Found::Elsewhere(Box::new(known)));
        }
        if self.books.intent(key).await? == Intent::ClaimLost {
            tracing::warn!(job.id = job.id(), "job {}: another worker has taken it over: no call is made", job.id());
            return Err(Miss::Held);
        }
        let started = Instant::now();
        let answer = self.detector.detect(inspected, &call_identity(job, &progress.image)).await;
        progress.api_duration = started.elapsed();
        entry.called(progress.api_duration, answer.as_ref().err());
        match answer {
            Ok(answer) => {
                pass.proof(Proof::Verdict);
                progress.object = object;
                Ok(Found::Answer(answer))
            }
            Err(CallFailure { failure, repeat_at_once, .. }) => {
                progress.in_doubt = progress.in_doubt.saturating_add(u32::from(failure.may_be_paid()));
                Err(Miss::Failed { failure, repeat_at_once })
            }
        }
    }

    /// Nothing is paid for while its verdict could not be delivered, nor faster than allowed.
    async fn clearance(&self) {
        self.broker.until_publishable().await;
        self.detector.turn().await;
    }

    fn guard(&self, lease: &B::Lease) -> Result<(), Miss> {
        if !lease.usable() {
            return Err(Miss::Lost);
        }
        if self.stop.soft().is_cancelled() {
            return Err(Miss::Stopped);
        }
        Ok(())
    }

    async fn fetch(
        &self,
        image: &mut ImageRef,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Result<Inspected<S::Stream>, Miss> {
        let failed = |failure| Miss::Failed { failure, repeat_at_once: false };
        let started = Instant::now();
        let limit = self.rules.fetch_limit;
        let opened = match timeout(limit, self.store.open(image)).await {
            Ok(opened) => opened,
            Err(_) => Err(slow_store(limit)),
        };
        entry.fetched(started.elapsed(), opened.as_ref().ok().map(|opened| opened.bytes));
        let opened = opened.map_err(failed)?;
        progress.image.bytes = Some(opened.bytes);
        if let Some(key) = &opened.key {
            progress.image.key.clone_from(key);
        }
        if opened.etag.is_some() {
            progress.image.etag.clone_from(&opened.etag);
        }
        if opened.version_id.is_some() {
            progress.image.version_id.clone_from(&opened.version_id);
        }
        if !pinned(image) {
            image.etag.clone_from(&opened.etag);
        }
        // A store that drips would otherwise hold the job for as long as it likes, each drop in time.
        let looking = timeout(limit, look(opened, &self.rules.limits)).await;
        let inspected = looking.unwrap_or_else(|_| Err(slow_store(limit))).map_err(failed)?;
        progress.image.learn(&inspected.facts);
        Ok(inspected)
    }
}

pub(super) fn slow_store(limit: Duration) -> Failure {
    Failure::new(Code::StoreTimeout, format!("the store did not send the beginning of the object within {limit:?}"))
}
