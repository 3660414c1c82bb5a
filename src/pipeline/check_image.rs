//! Checking an image: guards, object, intent, call; and quick tries of that.

use super::inspect::{inspect_head, slow_store};
use super::job_run::{Interrupt, JobRun};
use super::keys::{call_identity, object_key};
use super::prior_result::is_pinned;
use crate::gate::Proof;
use crate::lifecycle::until_cancelled;
use crate::limiter::Permit;
use antispoof_core::event::{JobResult, VerdictResult};
use antispoof_core::failure::{Code, Failure, Stage};
use antispoof_core::image::{Facts, ImageRef};
use antispoof_core::plan::Blame;
use antispoof_core::policy::Reuse;
use antispoof_core::ports::{
    Answer, Broker as _, DailyCalls, ImageStore, Inspected, Intent, Lease as _, Ports, SpoofDetector as _,
};
use std::pin::pin;
use tokio::time::{Instant, sleep, timeout};

/// So often a job is refused for being asked too often and waits for its next turn. Refusals are rare once the pace is known, so this many are no chance.
const MOST_TURNS: u32 = 20;

impl<P: Ports> JobRun<'_, P> {
    /// Quick tries. Each opens the object anew, pinned to what the first one saw, so that all check the same bytes.
    pub(super) async fn check_image(&mut self) -> Result<JobResult, Interrupt> {
        let pipeline = self.delivery.pipeline;
        let mut image = self.job.image().clone();
        if !is_pinned(&image) {
            image.etag.clone_from(&self.new_etag);
        }
        let (mut tries, mut repeated) = (0, false);
        loop {
            self.job.admit(&pipeline.rules.admission, (pipeline.clock_and_rng.now)())?;
            let failure = match self.attempt(&mut image).await {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => continue,
                Err(Interrupt::Failed(failure, _)) => failure,
                Err(interrupt) => return Err(interrupt),
            };
            if failure.is_repeatable_at_once() && !repeated {
                repeated = true;
                continue;
            }
            let blame = self.pass.failed(&failure);
            if failure.code() == Code::ObjectChanged && self.new_etag.is_some() {
                // Claimed as the generation of a content that is gone: what is there now is another generation, and maybe another worker's.
                return Err(Interrupt::Busy);
            }
            tries += 1;
            let failure = if failure.code() == Code::ObjectChanged && !is_pinned(self.job.image()) {
                // Overwritten since this worker first opened it. The job names whatever is there, so it is opened again, now or later.
                image = self.job.image().clone();
                Failure::new(Code::StoreUnavailable, failure.message())
            } else {
                failure
            };
            let wait = pipeline.rules.policy.quick_wait(&failure, tries, (pipeline.clock_and_rng.random)());
            let Some(wait) = wait.filter(|_| blame == Blame::Job) else {
                return Err(Interrupt::Failed(failure, blame));
            };
            self.delivery.record.retrying(&failure);
            pipeline.stop.soft().run_until_cancelled(sleep(wait)).await.ok_or(Interrupt::Stopped)?;
        }
    }

    /// One try. `None`: publishing was blocked, or the gate closed, between the guards and the call, or the vendor refused the call for being asked too often and
    /// asks for no more than a moment: nothing was spent, the guards come again.
    async fn attempt(&mut self, image: &mut ImageRef) -> Result<Option<JobResult>, Interrupt> {
        let pipeline = self.delivery.pipeline;
        let soft = pipeline.stop.soft();
        let _permit = until_cancelled!(soft, self.clearance()).ok_or(Interrupt::Stopped)?;
        self.guard()?;
        if !self.pass.enter() {
            return Err(Interrupt::GateClosed);
        }
        let inspected = until_cancelled!(soft, self.fetch(image)).ok_or(Interrupt::Stopped)??;
        self.pass.proof(Stage::Fetch);
        // Fetching took a while. From here on the job is paid for, so once more:
        self.guard()?;
        if !self.pass.may_go_on() || !pipeline.broker.can_publish() {
            return Ok(None);
        }
        let object = match pipeline.rules.reuse {
            Reuse::Object => object_key(&self.image, &pipeline.rules.endpoint),
            Reuse::Job | Reuse::Off => None,
        };
        if let Some(object) = &object
            && let Some(known) = pipeline.ledger.recall(object).await?
        {
            return Ok(Some(self.reused_from_other_job(known)));
        }
        let converted = until_cancelled!(soft, self.converted(image, inspected));
        let (inspected, took_a_while) = converted.ok_or(Interrupt::Stopped)??;
        if took_a_while {
            self.guard()?;
            if !self.pass.may_go_on() || !pipeline.broker.can_publish() {
                return Ok(None);
            }
        }
        let claim = self.claim.as_deref().unwrap_or(&self.key);
        let counted = match pipeline.ledger.intent(claim).await? {
            Intent::Recorded(counted) => counted,
            Intent::ClaimLost => {
                let job = self.job.id();
                tracing::warn!("job {job}: another worker has taken it over: no call is made");
                return Err(Interrupt::Busy);
            }
            Intent::LimitReached { today, resumes_in } => return Err(Interrupt::DailyLimit(today, resumes_in)),
        };
        // The last one that the day may have proves nothing about the next.
        if counted.is_some_and(|today| today.counted < today.limit) {
            self.pass.proof(Proof::CallCounted);
        }
        let Some(answer) = self.call(inspected, counted).await? else { return Ok(None) };
        self.object = object;
        Ok(Some(self.verdict(answer)))
    }

    /// Nothing is paid for while its verdict could not be delivered, nor faster than allowed.
    async fn clearance(&self) -> Permit {
        self.delivery.pipeline.broker.until_publishable().await;
        self.delivery.pipeline.limiter.acquire().await
    }

    fn guard(&self) -> Result<(), Interrupt> {
        if !self.delivery.lease.usable() {
            return Err(Interrupt::LeaseLost);
        }
        if self.delivery.pipeline.stop.soft().is_cancelled() {
            return Err(Interrupt::Stopped);
        }
        Ok(())
    }

    pub(super) async fn fetch(
        &mut self,
        image: &mut ImageRef,
    ) -> Result<Inspected<<P::Store as ImageStore>::Stream>, Interrupt> {
        let pipeline = self.delivery.pipeline;
        let started = Instant::now();
        let limit = pipeline.rules.fetch_limit;
        let opened = {
            let opening = pin!(pipeline.store.open(image));
            timeout(limit, opening).await.unwrap_or_else(|_| Err(slow_store(limit)))
        };
        self.delivery.record.fetched(started.elapsed(), opened.as_ref().map(|opened| opened.bytes));
        let opened = opened?;
        (self.image.digest, self.image.sent) = (None, None);
        self.image.transformed.clear();
        self.image.bytes = Some(opened.bytes);
        if let Some(key) = &opened.key {
            self.image.key.clone_from(key);
        }
        if opened.etag.is_some() {
            self.image.etag.clone_from(&opened.etag);
        }
        if opened.version_id.is_some() {
            self.image.version_id.clone_from(&opened.version_id);
        }
        if !is_pinned(image) {
            image.etag.clone_from(&opened.etag);
        }
        let limits = &pipeline.rules.limits;
        let mut seen = None;
        let admit = |facts: &Facts, bytes| {
            seen = Some(*facts);
            facts.admit(limits)?;
            // Also an image that can never be converted is refused here, where damage on the way is told from it.
            pipeline.converter.work(facts, bytes).map(drop)
        };
        let inspected = inspect_head(opened, limits.convert, admit, &pipeline.heads, limit).await;
        let sure = inspected.as_ref().map_or_else(|failure| failure.code() == Code::ImageDimensions, |_| true);
        if let Some(facts) = seen.filter(|_| sure) {
            self.image.learn(&facts);
        }
        Ok(inspected?)
    }

    /// `None`: refused for being asked too often, and the job waits for its next turn.
    async fn call(
        &mut self,
        image: Inspected<<P::Store as ImageStore>::Stream>,
        counted: Option<DailyCalls>,
    ) -> Result<Option<Answer>, Interrupt> {
        let identity = call_identity(&self.job, &self.image);
        let started = Instant::now();
        let answer = self.delivery.pipeline.detector.detect(image, &identity).await;
        self.api_duration = started.elapsed();
        self.delivery.record.called(self.api_duration, answer.as_ref());
        let waits = self.delivery.pipeline.limiter.learn(self.api_duration, answer.as_ref().err());
        match answer {
            Ok(answer) => {
                self.pass.proof(Proof::Verdict);
                Ok(Some(answer))
            }
            Err(failure) => {
                if let Some(call) = counted.filter(|_| !failure.request_sent()) {
                    self.delivery.pipeline.ledger.unsent(call).await;
                }
                if waits && self.turned_away < MOST_TURNS {
                    self.turned_away += 1;
                    self.delivery.record.retrying(&failure);
                    return Ok(None);
                }
                self.in_doubt = self.in_doubt.saturating_add(u32::from(failure.may_be_paid()));
                Err(failure.into())
            }
        }
    }

    fn verdict(&mut self, answer: Answer) -> JobResult {
        match &mut self.image.sent {
            Some(sent) => sent.digest = answer.digest,
            None => self.image.digest = answer.digest,
        }
        let mut report = self.report(self.delivery.lease.attempt().next());
        report.check.api_duration_ms = u64::try_from(self.api_duration.as_millis()).ok();
        report.check.http_status = Some(answer.http_status);
        report.check.request_id = answer.request_id;
        let outcome = answer.verdict.outcome(self.delivery.pipeline.rules.review_below);
        JobResult::Verdict(VerdictResult { outcome, verdict: answer.verdict, report })
    }

    /// Another job's verdict on the same content becomes this job's. How it came about stays; what it means is decided anew.
    fn reused_from_other_job(&mut self, mut found: JobResult) -> JobResult {
        self.delivery.record.reused();
        if let Some(judged) = found.report_mut().image.take() {
            (self.image.digest, self.image.transformed, self.image.sent) =
                (judged.digest, judged.transformed, judged.sent);
        }
        let report = self.report(self.delivery.lease.attempt().next());
        let check = std::mem::take(&mut found.report_mut().check);
        *found.report_mut() = report;
        let ours = &mut found.report_mut().check;
        (ours.api_duration_ms, ours.http_status, ours.request_id) =
            (check.api_duration_ms, check.http_status, check.request_id);
        ours.reused = true;
        if let JobResult::Verdict(result) = &mut found {
            result.outcome = result.verdict.outcome(self.delivery.pipeline.rules.review_below);
        }
        found
    }
}
