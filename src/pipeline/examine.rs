//! From a job to a conclusion or a failure.

use super::look::look;
use super::{DELIVERY_LIMIT, Pipeline};
use crate::telemetry::Entry;
use antispoof_core::event::{Check, Conclusion, Ending, ImageReport, millis};
use antispoof_core::failure::{Class, Code, Failure};
use antispoof_core::image::ImageRef;
use antispoof_core::job::{Job, stable_key};
use antispoof_core::ports::{Answer, Broker, CallFailure, Detector, ImageStore, Inspected, Known, Lease as _, Ledger};
use antispoof_core::retry::InDoubt;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What came of a job.
pub(super) enum Examined {
    /// A verdict, from now or from the ledger.
    Concluded(Box<Conclusion>),
    /// A failure that had ended the job before, from the ledger.
    Ended(Box<Conclusion>),
    /// Something went wrong.
    Failed(Failure),
    /// Not now, and nobody's fault: the gate is closed, another delivery is being worked on, or the ledger is not there.
    Held,
    /// The process stops, and nothing has been sent.
    Stopped,
    /// The broker has taken the message back.
    Lost,
}

/// What one try came to, when it is not an answer.
enum Miss {
    Failed {
        failure: Failure,
        token_replaced: bool,
    },
    /// Publishing was blocked between the guards and the call: begin again, nothing was spent.
    Again,
    Held,
    Stopped,
    Lost,
}

/// What an earlier end means for the message in hand.
enum Past {
    /// It is its end.
    Stands,
    /// It is over: this is another round, with a name of its own.
    Over { round: String },
    /// It cannot be said: the object cannot be looked at.
    Unknown(Failure),
    /// The process stops.
    Stopped,
}

/// What was learned on the way.
pub(super) struct Progress {
    pub(super) image: ImageReport,
    /// When the job had ended in a failure before it was sent once more.
    pub(super) after_ms: Option<i64>,
    /// The `ETag` that a look at an object with an earlier verdict saw: the one to judge.
    seen: Option<String>,
    /// Whether a failure of this message is the job's end, for the ledger.
    pub(super) keeps: bool,
    /// The API gave an answer that is not about the account.
    pub(super) answered: bool,
    api_duration: Duration,
}

impl Progress {
    pub(super) fn new(image: ImageReport) -> Self {
        Self { image, after_ms: None, seen: None, keeps: true, answered: false, api_duration: Duration::ZERO }
    }
}

/// What a verdict is remembered under: job, image, and who judged.
pub fn ledger_key(job: &Job, judge: &str) -> String {
    let image = job.image();
    let pin = image.version_id.as_deref().or(image.etag.as_deref()).unwrap_or_default();
    stable_key(&[job.id(), &image.bucket, &image.key, pin, judge])
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
        probing: bool,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Examined {
        // The ledger comes first: a job that has ended ended that way, whatever the clock or the settings say since.
        let mut claim = key.to_owned();
        let mut known = self.begin(&claim).await;
        if let Known::Concluded(conclusion) = known {
            match self.past(lease, job, &conclusion, progress).await {
                Past::Stands => return stands(conclusion, entry),
                Past::Stopped => return Examined::Stopped,
                Past::Unknown(failure) => return Examined::Failed(failure),
                Past::Over { round } => {
                    // Claimed under a name that follows from what is over, so that two of a kind do not both call.
                    claim = stable_key(&[key, &round]);
                    known = self.begin(&claim).await;
                }
            }
        }
        match known {
            Known::Fresh => {}
            // Its end has just been found by another: the next look sees it.
            Known::Busy | Known::Concluded(_) => return Examined::Held,
            Known::InDoubt => {
                entry.in_doubt();
                if self.rules.policy.in_doubt == InDoubt::Park {
                    self.release(&claim, true).await;
                    return Examined::Failed(Failure::new(
                        Code::ApiInDoubt,
                        "an earlier call may have been paid for and its end is not known (api.in_doubt = \"park\")",
                    ));
                }
            }
        }
        let examined = if lease.deliveries() >= DELIVERY_LIMIT {
            let message = format!("delivered {} times without an end", lease.deliveries() + 1);
            Examined::Failed(Failure::new(Code::DeliveryLimit, message))
        } else {
            self.tries(lease, job, &claim, probing, progress, entry).await
        };
        match &examined {
            Examined::Concluded(conclusion) => {
                self.remember(key, conclusion).await;
                if claim != key {
                    self.release(&claim, false).await;
                }
            }
            Examined::Failed(failure) => self.release(&claim, failure.code() == Code::ApiInDoubt).await,
            Examined::Ended(_) | Examined::Held | Examined::Stopped | Examined::Lost => {
                self.release(&claim, false).await;
            }
        }
        examined
    }

    /// A ledger that does not answer holds the job: it goes back unspent.
    async fn begin(&self, key: &str) -> Known {
        self.ledger.begin(key).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the ledger does not answer: jobs go back unspent");
            Known::Busy
        })
    }

    /// Whether an earlier end is this message's end, too.
    async fn past(&self, lease: &B::Lease, job: &Job, conclusion: &Conclusion, progress: &mut Progress) -> Past {
        if let Ending::Failure { code, .. } = &conclusion.ending {
            if lease.replay() > conclusion.replay {
                return Past::Over { round: format!("replay {}", lease.replay()) };
            }
            if lease.seen_before(conclusion.at_ms) {
                return Past::Stands;
            }
            let about_the_image = conclusion.image.as_ref().is_some_and(|image| image.etag.is_some());
            let permanent = Code::from_name(code).is_some_and(|code| code.class() == Class::Permanent);
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
        let Some(opened) = self.stop.soft().run_until_cancelled(self.store.open(job.image())).await else {
            return Past::Stopped;
        };
        let judged = conclusion.image.as_ref().and_then(|image| image.etag.as_deref());
        match opened {
            Ok(opened) if opened.etag.as_deref() == judged => Past::Stands,
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
                Past::Unknown(failure)
            }
        }
    }

    /// Quick tries. Each opens the object anew, pinned to what the first one saw, so that all judge the same bytes.
    async fn tries(
        &self,
        lease: &B::Lease,
        job: &Job,
        key: &str,
        probing: bool,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Examined {
        let mut image = job.image().clone();
        if !pinned(&image) {
            image.etag.clone_from(&progress.seen);
        }
        let mut tries = 0;
        let mut token_tried = false;
        loop {
            if let Err(failure) = job.admit(&self.rules.admission, (self.ambient.now)()) {
                return Examined::Failed(failure);
            }
            let miss = match self.once(lease, &mut image, key, probing, progress, entry).await {
                Ok(answer) => return Examined::Concluded(Box::new(self.conclude(lease, answer, progress))),
                Err(miss) => miss,
            };
            let failure = match miss {
                Miss::Failed { token_replaced: true, .. } if !token_tried => {
                    token_tried = true;
                    continue;
                }
                Miss::Failed { failure, .. } => failure,
                Miss::Again => continue,
                Miss::Held => return Examined::Held,
                Miss::Stopped => return Examined::Stopped,
                Miss::Lost => return Examined::Lost,
            };
            tries += 1;
            let failure = if failure.code() == Code::ObjectChanged && !pinned(job.image()) {
                // Overwritten since our own first look. The job asked for whatever is there, so look again, now or later.
                image = job.image().clone();
                Failure::new(Code::StoreUnavailable, failure.message())
            } else {
                failure
            };
            let Some(wait) = self.rules.policy.quick_wait(&failure, tries, (self.ambient.roll)()) else {
                return Examined::Failed(failure);
            };
            entry.retrying(&failure);
            if self.stop.soft().run_until_cancelled(sleep(wait)).await.is_none() {
                return Examined::Stopped;
            }
        }
    }

    async fn once(
        &self,
        lease: &B::Lease,
        image: &mut ImageRef,
        key: &str,
        probing: bool,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Result<Answer, Miss> {
        let soft = self.stop.soft();
        soft.run_until_cancelled(self.clearance()).await.ok_or(Miss::Stopped)?;
        self.guard(lease, probing)?;
        let inspected = soft.run_until_cancelled(self.fetch(image, progress, entry)).await.ok_or(Miss::Stopped)??;
        // Fetching took a while. From here on the job is paid for, so once more:
        self.guard(lease, probing)?;
        if !self.broker.can_publish() {
            return Err(Miss::Again);
        }
        if let Err(error) = self.ledger.intent(key).await {
            tracing::error!(%error, "the ledger does not take the intent: no call is made");
            return Err(Miss::Held);
        }
        let started = Instant::now();
        let answer = self.detector.detect(inspected).await;
        progress.api_duration = started.elapsed();
        entry.called(progress.api_duration, answer.as_ref().err());
        progress.answered = answer.as_ref().map_or_else(is_answer, |_| true);
        answer.map_err(|CallFailure { failure, token_replaced, .. }| Miss::Failed { failure, token_replaced })
    }

    /// Nothing is paid for while its verdict could not be delivered, nor faster than allowed.
    async fn clearance(&self) {
        self.broker.until_publishable().await;
        self.detector.turn().await;
    }

    fn guard(&self, lease: &B::Lease, probing: bool) -> Result<(), Miss> {
        if !lease.usable() {
            return Err(Miss::Lost);
        }
        if self.stop.soft().is_cancelled() {
            return Err(Miss::Stopped);
        }
        if !probing && !self.gate.admits() {
            return Err(Miss::Held);
        }
        Ok(())
    }

    async fn fetch(
        &self,
        image: &mut ImageRef,
        progress: &mut Progress,
        entry: &mut Entry,
    ) -> Result<Inspected<S::Stream>, Miss> {
        let failed = |failure| Miss::Failed { failure, token_replaced: false };
        let started = Instant::now();
        let limit = self.rules.fetch_limit;
        let opened = match timeout(limit, self.store.open(image)).await {
            Ok(opened) => opened,
            Err(_) => Err(slow_store(limit)),
        };
        entry.fetched(started.elapsed(), opened.as_ref().ok().map(|opened| opened.bytes));
        let opened = opened.map_err(failed)?;
        progress.image.bytes = Some(opened.bytes);
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

    fn conclude(&self, lease: &B::Lease, answer: Answer, progress: &mut Progress) -> Conclusion {
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
            },
            at_ms: millis((self.ambient.now)()),
            replay: lease.replay(),
            after_ms: progress.after_ms,
        }
    }

    pub(super) async fn remember(&self, key: &str, conclusion: &Conclusion) {
        if let Err(error) = self.ledger.conclude(key, conclusion).await {
            tracing::error!(%error, "the ledger did not take the end of a job: it is announced all the same");
        }
    }

    async fn release(&self, key: &str, paid: bool) {
        if let Err(error) = self.ledger.release(key, paid).await {
            tracing::error!(%error, "the ledger did not release a job");
        }
    }
}

fn stands(mut conclusion: Box<Conclusion>, entry: &Entry) -> Examined {
    if !conclusion.is_verdict() {
        return Examined::Ended(conclusion);
    }
    conclusion.check.reused = true;
    entry.reused();
    Examined::Concluded(conclusion)
}

fn slow_store(limit: Duration) -> Failure {
    Failure::new(Code::StoreTimeout, format!("the store did not send the beginning of the object within {limit:?}"))
}

fn pinned(image: &ImageRef) -> bool {
    image.version_id.is_some() || image.etag.is_some()
}

/// True when the API said something about the image: it can be reached and knows us.
fn is_answer(call: &CallFailure) -> bool {
    call.failure.http_status().is_some()
        && call.failure.code().class() != Class::Systemic
        && call.failure.code().stage() == antispoof_core::failure::Stage::Call
}
