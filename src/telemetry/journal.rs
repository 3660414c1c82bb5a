//! One line and one observation for every delivery, whatever becomes of it; also when nobody gets round to saying so.

use super::Metrics;
use antispoof_core::event::{Conclusion, Ending, ImageReport};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::CallFailure;
use antispoof_core::verdict::Outcome;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

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
pub enum End {
    /// A verdict was announced.
    Verdict(Outcome),
    /// A failure was announced and the message parked.
    Parked(Code),
    /// It will be tried again after a delay.
    Deferred(Code),
    /// It asked for several jobs: each is a message of its own now.
    Divided,
    /// It asked for nothing.
    Dismissed,
    /// It went back unspent: the gate is closed, or another delivery of it is being worked on.
    Returned,
    /// It was handed back because the process stops.
    GivenBack,
    /// The broker has taken it back and delivers it again.
    Lost,
}

/// Writes the journal. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    metrics: Arc<Metrics>,
    keys: KeyNames,
}

/// One delivery being worked on. Dropped without [`Entry::end`], it says `cancelled`.
pub struct Entry {
    journal: Journal,
    started: Instant,
    job: String,
    object: Option<(String, String)>,
    detail: Option<String>,
    api: Option<Duration>,
    attempt: u32,
    reused: bool,
    ended: bool,
}

impl Journal {
    /// A journal that counts into these metrics.
    pub fn new(metrics: Arc<Metrics>, keys: KeyNames) -> Self {
        Self { metrics, keys }
    }

    /// The metrics it counts into.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A delivery arrived; `attempt` counts from 1.
    pub fn begin(&self, attempt: u32) -> Entry {
        self.metrics.in_flight.inc();
        Entry {
            journal: self.clone(),
            started: Instant::now(),
            job: String::new(),
            object: None,
            detail: None,
            api: None,
            attempt,
            reused: false,
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

impl Entry {
    /// The message has a name.
    pub fn names(&mut self, job: &str, image: Option<&ImageReport>) {
        job.clone_into(&mut self.job);
        self.object = image.map(|image| (image.bucket.clone(), self.journal.key_name(&image.bucket, &image.key)));
    }

    /// The object was asked for; `bytes` where it was opened.
    pub fn fetched(&self, took: Duration, bytes: Option<u64>) {
        let metrics = &self.journal.metrics;
        metrics.fetch_duration.observe(took.as_secs_f64());
        if let Some(bytes) = bytes {
            #[expect(clippy::cast_precision_loss, reason = "a bucket boundary")]
            metrics.object_bytes.observe(bytes as f64);
        }
    }

    /// A call ended.
    pub fn called(&mut self, took: Duration, failed: Option<&CallFailure>) {
        let metrics = &self.journal.metrics;
        self.api = Some(took);
        metrics.api_duration.observe(took.as_secs_f64());
        if failed.is_none_or(|call| call.sent) {
            metrics.billable.inc();
        }
        let code = failed.map_or("ok", |call| call.failure.code().name());
        metrics.api_requests.get_or_create(&[("code", code)]).inc();
        if failed.is_some_and(|call| call.failure.may_be_paid()) {
            metrics.in_doubt.inc();
        }
    }

    /// The job is taken up again after so many calls that a worker did not live to count.
    pub fn in_doubt(&self, calls: u32) {
        self.journal.metrics.in_doubt.inc_by(calls.into());
        warn!(job.id = self.job, "job {}: an earlier call may have been paid for, its end is not known", self.job);
    }

    /// Why it goes back.
    pub fn waits(&mut self, why: &str) {
        self.detail = Some(why.to_owned());
    }

    /// The verdict was known.
    pub fn reused(&mut self) {
        self.reused = true;
        self.journal.metrics.reused.inc();
    }

    /// A quick repetition is due.
    pub fn retrying(&self, failure: &Failure) {
        self.journal.metrics.api_retries.get_or_create(&[("reason", failure.code().name())]).inc();
    }

    /// An attempt failed.
    pub fn failed(&mut self, failure: &Failure) {
        self.journal.metrics.failures.get_or_create(&[("code", failure.code().name())]).inc();
        self.detail = Some(failure.message().to_owned());
    }

    /// The job had failed for good before, and this delivery only says so again: no attempt was made.
    pub fn ended_before(&mut self, failure: &Failure) {
        self.detail = Some(failure.message().to_owned());
    }

    /// What the message is, where it is no single job.
    pub fn is(&mut self, what: impl Into<String>) {
        self.detail = Some(what.into());
    }

    /// An event was, or was not, taken by the broker.
    pub fn announced(&self, status: &'static str) {
        self.journal.metrics.results.get_or_create(&[("status", status)]).inc();
    }

    /// The end that is going to be announced.
    pub fn concluded(&mut self, conclusion: &Conclusion) {
        if let Ending::Verdict { verdict, .. } = &conclusion.ending {
            let reused = if self.reused { ", reused" } else { "" };
            self.detail = Some(format!("accuracy {}{reused}", verdict.accuracy));
        }
    }

    /// The delivery is settled.
    pub fn end(mut self, end: End) {
        self.ended = true;
        let metrics = &self.journal.metrics;
        let (kind, outcome) = match end {
            End::Verdict(outcome) => ("announced", Some(outcome.name())),
            End::Parked(_) => ("parked", Some("failed")),
            End::Deferred(_) => ("deferred", None),
            End::Divided => ("divided", None),
            End::Dismissed => ("dismissed", None),
            End::Returned => ("returned", None),
            End::GivenBack => ("given_back", None),
            End::Lost => ("lost", None),
        };
        metrics.settlements.get_or_create(&[("kind", kind)]).inc();
        if let Some(outcome) = outcome {
            metrics.jobs.get_or_create(&[("outcome", outcome)]).inc();
        }
        match end {
            End::Verdict(_) => metrics.succeeded(),
            End::Parked(code) => drop(metrics.dead_lettered.get_or_create(&[("reason", code.name())]).inc()),
            End::Deferred(_) | End::Divided | End::Dismissed | End::Returned | End::GivenBack | End::Lost => {}
        }
        self.observe();
        self.line(end);
    }

    fn line(&self, end: End) {
        let (bucket, key) = self.object.as_ref().map_or(("", ""), |(bucket, key)| (bucket, key));
        let detail = self.detail.as_deref().unwrap_or_default();
        let total = millis(self.started.elapsed());
        let api = millis(self.api.unwrap_or_default());
        let job = if self.job.is_empty() { "(unread)" } else { &self.job };
        macro_rules! say {
            ($level:ident, $outcome:expr, $($text:tt)+) => {
                $level!(job.id = job, job.attempt = self.attempt, object.bucket = bucket, object.key = key, outcome = $outcome,
                        detail, reused = self.reused, api.duration_ms = api, duration_ms = total, $($text)+)
            };
        }
        match end {
            End::Verdict(outcome) => say!(info, outcome.name(), "job {job}: {} ({detail})", outcome.name()),
            End::Parked(code) => say!(warn, code.name(), "job {job}: parked, {code}: {detail}"),
            End::Deferred(code) => say!(info, code.name(), "job {job}: tried again later, {code}: {detail}"),
            End::Divided => say!(info, "divided", "message {job}: {detail}"),
            End::Dismissed => say!(info, "dismissed", "message {job}: {detail}, which asks for nothing"),
            End::Returned => say!(
                info,
                "returned",
                "job {job}: goes back to the queue, no attempt spent{}{detail}",
                if detail.is_empty() { "" } else { ": " }
            ),
            End::GivenBack => say!(info, "given_back", "job {job}: handed back, the worker stops"),
            End::Lost => say!(info, "lost", "job {job}: the broker has taken it back and delivers it again"),
        }
    }

    fn observe(&self) {
        let metrics = &self.journal.metrics;
        metrics.in_flight.dec();
        metrics.job_duration.observe(self.started.elapsed().as_secs_f64());
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.ended {
            self.journal.metrics.settlements.get_or_create(&[("kind", "cancelled")]).inc();
            self.observe();
            warn!(job.id = self.job, job.attempt = self.attempt, outcome = "cancelled", "job {}: broken off", self.job);
        }
    }
}
