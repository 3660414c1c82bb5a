//! What a pipeline is made of.

use super::head::HeadMemory;
use super::ledger_client::LedgerClient;
use super::stuck::Stuck;
use crate::conversion::Converter;
use crate::gate::Gate;
use crate::lifecycle::Stop;
use crate::limiter::Limiter;
use crate::telemetry::JobLog;
use antispoof_core::image::{Limits, Verify};
use antispoof_core::job::Admission;
use antispoof_core::policy::Reuse;
use antispoof_core::ports::{Broker, Ports};
use antispoof_core::retry::{Backoff, RetryPolicy};
use antispoof_core::stream_digest::DigestKind;
use std::time::Duration;
use time::OffsetDateTime;

/// The broker takes a job off the queue after twenty deliveries, without an event. At this count it is ended here, with one.
pub(super) const DELIVERY_LIMIT: u32 = 19;

/// From so many deliveries without an end on, a job is a poison-message suspect: it may be what ends the process, and is run with nothing beside it.
pub const SUSPECT: u32 = 3;

/// The broker moves a dead letter to the parked queue at its fourth lost delivery, and then without an event. After so many, a copy begins to count anew;
/// a message that cannot be delivered does not get that far.
pub(super) const FRESH_COPY: u32 = 1;

/// What the settings say, for the pipeline.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which jobs are taken.
    pub admission: Admission,
    /// Which images go through.
    pub limits: Limits,
    /// How far a JPEG is followed before it is sent, and that the bytes of an object that is converted are followed as far.
    pub verify: Verify,
    /// Which digest an object has in the event.
    pub digest: DigestKind,
    /// How often which failure is tried again.
    pub policy: RetryPolicy,
    /// The waits between tries to publish.
    pub publish: Backoff,
    /// The limit for opening an object, and again for its first bytes.
    pub fetch_limit: Duration,
    /// `api.review_below`.
    pub review_below: f64,
    /// CloudEvents `source`.
    pub source: String,
    /// The URL of the spoof-detection API: what a verdict depends on besides the image, and so a part of the ledger's keys. (`review_below` is not: it is
    /// applied to remembered verdicts, too.)
    pub endpoint: String,
    /// Which verdicts are given again.
    pub reuse: Reuse,
}

/// The clock and the random numbers.
#[derive(Clone, Copy, Debug)]
pub struct ClockAndRng {
    /// The wall clock.
    pub now: fn() -> OffsetDateTime,
    /// A number in `0.0..1.0`.
    pub random: fn() -> f64,
}

/// A message in hand, of the broker among these ports.
pub type Lease<P> = <<P as Ports>::Broker as Broker>::Lease;

/// The proof that a replacement is safe, of the broker among these ports.
pub(super) type Receipt<P> = <<P as Ports>::Broker as Broker>::Receipt;

/// The parts that a job passes through.
pub struct Pipeline<P: Ports> {
    /// Where the images are.
    pub store: P::Store,
    /// The spoof-detection API.
    pub detector: P::Detector,
    /// What was called for already.
    pub ledger: LedgerClient<P::Ledger>,
    /// Where jobs come from and results go to.
    pub broker: P::Broker,
    /// What the settings say.
    pub rules: Rules,
    /// The clock and the random numbers.
    pub clock_and_rng: ClockAndRng,
    /// When the next call may start.
    pub limiter: Limiter,
    /// Whether jobs may run.
    pub gate: Gate,
    /// The memory for the beginnings of images.
    pub heads: HeadMemory,
    /// Makes what is sent of images that are not sent as they are.
    pub converter: Converter,
    /// How many jobs are held by a queue that takes nothing.
    pub stuck: Stuck,
    /// The log and the metrics of jobs.
    pub log: JobLog,
    /// Whether the process stops.
    pub stop: Stop,
}
