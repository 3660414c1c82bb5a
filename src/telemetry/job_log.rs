//! One span, one last line and one observation for every delivery, whatever becomes of it; also when its task is dropped.

use super::traces::{JobSpans, Traces};
use super::{Metrics, SavedBy};
use antispoof_core::event::{Event, FailureResult, VerdictResult};
use antispoof_core::failure::{Code, Failure, Stage};
use antispoof_core::image::ImageRef;
use antispoof_core::job::Origin;
use antispoof_core::ports::{Answer, Lease};
use antispoof_core::retry::Attempt;
use antispoof_core::verdict::Outcome;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tracing::{Span, debug, error_span, info, warn};

/// How object keys appear in log lines: a path like `users/jane@example.com/selfie.jpg` is personal data itself.
#[derive(Clone)]
pub enum KeyNames {
    /// As they are.
    Plain,
    /// As the first half of a keyed hash: the same for the same object in every replica with the same key, and not to be guessed without it.
    Hashed(Box<[u8; 32]>),
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// A verdict was published.
    Verdict(Outcome),
    /// A failure was published and the message parked.
    Parked(Code),
    /// It will be tried again after a delay.
    Deferred(Code),
    /// It named several jobs: each is a message of its own now.
    FannedOut,
    /// It asks for no check.
    Discarded,
    /// Requeued, and no attempt counted: the gate is closed, or another delivery of the job is being worked on.
    RequeuedUncounted,
    /// Requeued because the process stops.
    Requeued,
    /// The broker has taken it back and delivers it again.
    Lost,
}

/// The log and the metrics of jobs. Cheap to clone.
#[derive(Clone)]
pub struct JobLog {
    metrics: Arc<Metrics>,
    keys: KeyNames,
    traces: Option<Arc<Traces>>,
}

/// One delivery being worked on. Dropped without [`JobRecord::settled`], it says `cancelled`.
pub struct JobRecord {
    log: JobLog,
    span: Span,
    /// Its trace, where there are traces.
    spans: Option<Box<JobSpans>>,
    started: Instant,
    job: String,
    object: Option<(String, String)>,
    detail: Option<String>,
    api: Option<Duration>,
    reused: bool,
    exhausted: Option<Attempt>,
    ended: bool,
}

impl JobLog {
    /// One that counts into these metrics.
    pub fn new(metrics: Arc<Metrics>, keys: KeyNames) -> Self {
        Self { metrics, keys, traces: None }
    }

    /// The same, with traces of the jobs where there are traces.
    #[must_use]
    pub fn traced(self, traces: Option<Arc<Traces>>) -> Self {
        Self { traces, ..self }
    }

    /// The metrics it counts into.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A delivery arrived. `origin` and `image` are what its message says, as far as that can be read.
    pub fn begin(&self, lease: &impl Lease, origin: &Origin, image: Option<&ImageRef>) -> JobRecord {
        self.metrics.in_flight.inc();
        let attempt = lease.attempt().next().count();
        let traces = self.traces.clone();
        let spans = traces.map(|traces| Box::new(JobSpans::begin(traces, lease, origin, attempt)));
        let ids = spans.as_ref().map(|spans| spans.ids());
        let (trace_id, span_id) = match &ids {
            Some((trace_id, span_id)) => (Some(trace_id.as_str()), Some(span_id.as_str())),
            None => (origin.trace_id(), None),
        };
        // Of the highest level: a log of errors alone names the job, too.
        let span = error_span!(
            "job",
            job.id = origin.job_id,
            job.attempt = attempt,
            message.id = lease.properties().message_id.as_deref(),
            trace_id,
            span_id
        );
        JobRecord {
            log: self.clone(),
            span,
            spans,
            started: Instant::now(),
            job: origin.job_id.clone(),
            object: image.map(|image| (image.bucket.clone(), self.key_name(&image.bucket, &image.key))),
            detail: None,
            api: None,
            reused: false,
            exhausted: None,
            ended: false,
        }
    }

    fn key_name(&self, bucket: &str, key: &str) -> String {
        match &self.keys {
            KeyNames::Plain => key.to_owned(),
            KeyNames::Hashed(secret) => {
                let mut hasher = blake3::Hasher::new_keyed(secret);
                hasher.update(bucket.as_bytes()).update(b"/").update(key.as_bytes());
                hasher.finalize().to_hex()[..16].to_owned()
            }
        }
    }
}

impl JobRecord {
    /// What every line is logged in while the delivery is handled: it has the ids and the attempt, which no line repeats.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// What copies of the message carry as `traceparent` where it brought none.
    pub fn begun(&self) -> Option<String> {
        self.spans.as_ref()?.begun()
    }

    /// The object was asked for; `opened` is its length.
    pub fn fetched(&self, took: Duration, opened: Result<u64, &Failure>) {
        self.looked_at(took, opened);
        debug!(
            took_ms = millis(took),
            bytes = opened.ok(),
            failed = opened.err().map(|failure| failure.code().name()),
            "the object was asked for"
        );
        let metrics = &self.log.metrics;
        metrics.fetch_duration.observe(took.as_secs_f64());
        metrics.recent.store.record(took);
        if let Ok(bytes) = opened {
            #[expect(clippy::cast_precision_loss, reason = "a bucket boundary")]
            metrics.object_bytes.observe(bytes as f64);
        }
    }

    /// As [`Self::fetched`], for an object that was asked for to see whether it is still the one that was judged.
    pub fn looked_at(&self, took: Duration, opened: Result<u64, &Failure>) {
        if let Some(spans) = &self.spans {
            spans.fetched(took, self.object.as_ref(), opened);
        }
    }

    /// The image was converted or decoded, or could not be; with what it waited for a thread.
    pub fn converted(&self, took: Duration) {
        self.log.metrics.conversion_duration.observe(took.as_secs_f64());
    }

    /// A call ended.
    pub fn called(&mut self, took: Duration, answer: Result<&Answer, &Failure>) {
        if let Some(spans) = &mut self.spans {
            spans.called(took, answer);
        }
        let failed = answer.err();
        let metrics = &self.log.metrics;
        self.api = Some(took);
        let status = answer.map_or_else(Failure::http_status, |answer| Some(answer.http_status));
        debug!(took_ms = millis(took), status, failed = failed.map(|failure| failure.code().name()), "a call ended");
        metrics.api_duration.observe(took.as_secs_f64());
        metrics.recent.api.record(took);
        if failed.is_none_or(Failure::request_sent) {
            metrics.billed();
        }
        let code = failed.map_or("ok", |failure| failure.code().name());
        metrics.api_requests.get_or_create(&[("code", code)]).inc();
        if failed.is_some_and(Failure::may_be_paid) {
            metrics.in_doubt.inc();
        }
    }

    /// The job is taken up again after so many calls that a worker did not live to count.
    pub fn in_doubt(&self, calls: u32) {
        self.log.metrics.in_doubt.inc_by(calls.into());
        warn!("job {}: an earlier call may have been paid for, its end is not known", self.job);
    }

    /// Why it goes back.
    pub fn waits(&mut self, why: &str) {
        self.detail = Some(why.to_owned());
    }

    /// The verdict was known.
    pub fn reused(&mut self) {
        self.reused = true;
        self.log.metrics.reused.inc();
        self.log.metrics.saved(SavedBy::Ledger);
    }

    /// The failure was known.
    pub fn reused_failure(&self, code: Code) {
        // What failed before its call would fail there again.
        if code.stage() == Stage::Call {
            self.log.metrics.saved(SavedBy::Ledger);
        }
    }

    /// A quick repetition is due.
    pub fn retrying(&self, failure: &Failure) {
        debug!(code = failure.code().name(), "tried again at once: {}", failure.message());
        self.log.metrics.api_retries.get_or_create(&[("reason", failure.code().name())]).inc();
    }

    /// An attempt failed.
    pub fn failed(&mut self, failure: &Failure) {
        self.log.metrics.failures.get_or_create(&[("code", failure.code().name())]).inc();
        if let Some(by) = saved_by(failure.code()) {
            self.log.metrics.saved(by);
        }
        self.detail = Some(failure.message().to_owned());
    }

    /// The attempts of the job are used up.
    pub fn exhausted(&mut self, attempts: Attempt) {
        self.exhausted = Some(attempts);
    }

    /// The id of the job, as in the log.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// What the message is, where it is no single job.
    pub fn is(&mut self, what: impl Into<String>) {
        self.detail = Some(what.into());
    }

    /// Has the event of a job made: with the trace context of its publish, where there are traces.
    pub fn event<E>(&mut self, origin: &Origin, make: impl FnOnce(&Origin) -> Result<Event, E>) -> Result<Event, E> {
        let Some(spans) = &mut self.spans else { return make(origin) };
        let event = make(&spans.publishing(origin))?;
        spans.event(&event);
        Ok(event)
    }

    /// The broker confirmed an event, or did not: its status.
    pub fn published(&mut self, status: &'static str) {
        if let Some(spans) = &mut self.spans {
            spans.published(status);
        }
        debug!(status, "a publish of the event ended");
        self.log.metrics.results.get_or_create(&[("status", status)]).inc();
    }

    /// The verdict that is going to be published.
    pub fn verdict(&mut self, result: &VerdictResult) {
        let reused = if self.reused { ", reused" } else { "" };
        let steps = result.report.image.as_ref().map(|image| image.transformed.join(", ")).unwrap_or_default();
        let steps = if steps.is_empty() { steps } else { format!(", {steps}") };
        self.detail = Some(format!("accuracy {}{steps}{reused}", result.verdict.accuracy));
    }

    /// The failure that is going to be published: that of this attempt, or of an earlier delivery.
    pub fn failure(&mut self, result: &FailureResult) {
        let last = self.exhausted.map(|attempts| format!(" (the last of {} attempts)", attempts.count()));
        self.detail = Some(format!("{}{}", result.message, last.unwrap_or_default()));
    }

    /// The delivery is settled.
    pub fn settled(mut self, end: Settlement) {
        self.ended = true;
        let metrics = &self.log.metrics;
        let (kind, outcome) = match end {
            Settlement::Verdict(outcome) => ("announced", Some(outcome.name())),
            Settlement::Parked(_) => ("parked", Some("failed")),
            Settlement::Deferred(_) => ("deferred", None),
            Settlement::FannedOut => ("divided", None),
            Settlement::Discarded => ("dismissed", None),
            Settlement::RequeuedUncounted => ("returned", None),
            Settlement::Requeued => ("given_back", None),
            Settlement::Lost => ("lost", None),
        };
        metrics.settlements.get_or_create(&[("kind", kind)]).inc();
        if let Some(outcome) = outcome {
            metrics.jobs.get_or_create(&[("outcome", outcome)]).inc();
        }
        match end {
            Settlement::Verdict(_) => metrics.succeeded(),
            Settlement::Parked(code) => {
                metrics.dead_lettered.get_or_create(&[("reason", code.name())]).inc();
                self.note(code, true);
            }
            Settlement::Deferred(code) => self.note(code, false),
            Settlement::FannedOut
            | Settlement::Discarded
            | Settlement::RequeuedUncounted
            | Settlement::Requeued
            | Settlement::Lost => {}
        }
        self.observe();
        self.line(end);
        if let Some(spans) = &mut self.spans {
            let error = match end {
                Settlement::Parked(code) | Settlement::Deferred(code) => Some(code.name()),
                Settlement::Lost => Some("lease_lost"),
                Settlement::Verdict(_)
                | Settlement::FannedOut
                | Settlement::Discarded
                | Settlement::RequeuedUncounted
                | Settlement::Requeued => None,
            };
            spans.end(outcome.unwrap_or(kind), self.reused, error);
        }
    }

    /// Has the status page show the failure.
    fn note(&self, code: Code, parked: bool) {
        let message = self.detail.as_deref().unwrap_or_default();
        self.log.metrics.recent.failed(code, message, &self.job, parked, SystemTime::now());
    }

    fn line(&self, end: Settlement) {
        let (bucket, key) = self.object.as_ref().map_or(("", ""), |(bucket, key)| (bucket, key));
        let detail = self.detail.as_deref().unwrap_or_default();
        let total = millis(self.started.elapsed());
        let api = millis(self.api.unwrap_or_default());
        let job = &self.job;
        macro_rules! say {
            ($level:ident, $outcome:expr, $($text:tt)+) => {
                $level!(object.bucket = bucket, object.key = key, outcome = $outcome, detail,
                        reused = self.reused, api.duration_ms = api, duration_ms = total, $($text)+)
            };
        }
        match end {
            Settlement::Verdict(outcome) => say!(info, outcome.name(), "job {job}: {} ({detail})", outcome.name()),
            Settlement::Parked(code) => say!(warn, code.name(), "job {job}: parked, {code}: {detail}"),
            Settlement::Deferred(code) => say!(info, code.name(), "job {job}: tried again later, {code}: {detail}"),
            Settlement::FannedOut => say!(info, "divided", "message {job}: {detail}"),
            Settlement::Discarded => say!(info, "dismissed", "message {job}: {detail}, which asks for nothing"),
            Settlement::RequeuedUncounted => say!(
                info,
                "returned",
                "job {job}: goes back to the queue, no attempt spent{}{detail}",
                if detail.is_empty() { "" } else { ": " }
            ),
            Settlement::Requeued => say!(info, "given_back", "job {job}: handed back, the worker stops"),
            Settlement::Lost => say!(info, "lost", "job {job}: the broker has taken it back and delivers it again"),
        }
    }

    fn observe(&self) {
        let metrics = &self.log.metrics;
        metrics.in_flight.dec();
        metrics.job_duration.observe(self.started.elapsed().as_secs_f64());
    }
}

/// What a failure saves: of those after which a job ends without a call, so that a job counts once.
fn saved_by(code: Code) -> Option<SavedBy> {
    match (code, code.stage()) {
        (Code::JobExpired, _) => Some(SavedBy::Expired),
        (Code::ObjectEmpty | Code::ObjectTooLarge, _) | (_, Stage::Inspect) => Some(SavedBy::Inspection),
        _ => None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for JobRecord {
    fn drop(&mut self) {
        if !self.ended {
            // Its task may be dropped outside of it.
            let _job = self.span.clone().entered();
            self.log.metrics.settlements.get_or_create(&[("kind", "cancelled")]).inc();
            self.observe();
            warn!(outcome = "cancelled", "job {}: broken off", self.job);
            if let Some(spans) = &mut self.spans {
                spans.end("cancelled", self.reused, Some("cancelled"));
            }
        }
    }
}
