//! A whole job through the real pipeline, from its delivery to its ack.

use crate::Part;
use crate::ports::{
    BUCKET, ENDPOINT, JobLease, MemoryBroker, MemoryDetector, MemoryPorts, MemoryStore, PHOTO_KEY, TEXT_KEY, backoff,
    job_log, now, retry_policy, runtime,
};
use antispoof_core::image::{Formats, Limits, Verify};
use antispoof_core::job::Admission;
use antispoof_core::policy::{OnLedgerError, Reuse};
use antispoof_core::stream_digest::DigestKind;
use antispoofd::conversion::{self, Converter};
use antispoofd::gate::{self, Gate};
use antispoofd::ledger::{Clock, Memory};
use antispoofd::lifecycle::Stop;
use antispoofd::limiter::Limiter;
use antispoofd::pipeline::{ClockAndRng, HeadMemory, LedgerClient, Pipeline, Rules, Stuck};
use antispoofd::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;

const ITERATIONS: u64 = 100;

/// One with a verdict.
pub(crate) fn verdict() -> Part {
    job("job_verdict", PHOTO_KEY, "verdict.live")
}

/// One whose object is no image: a failure event, and a copy in the parked queue.
pub(crate) fn parked() -> Part {
    job("job_parked", TEXT_KEY, "failure.not_an_image")
}

/// About the object with this key; its event has this routing key.
fn job(name: &'static str, key: &'static str, routing_key: &'static str) -> Part {
    let (pipeline, runtime) = (pipeline(MemoryBroker { routing_key }), runtime());
    let handle = move |lease| {
        runtime.block_on(pipeline.handle(lease));
    };
    Part::new(name, ITERATIONS, move |number| JobLease::new(number, key), handle)
}

fn pipeline(broker: MemoryBroker) -> Pipeline<MemoryPorts> {
    let limits = Limits { min_side: 64, max_pixels: 1 << 28, upright_only: false, convert: Formats::NONE };
    let memory = Memory::new(10_000, Duration::from_hours(24), Clock::new(|| 1));
    Pipeline {
        store: MemoryStore::new(),
        detector: MemoryDetector,
        ledger: LedgerClient::new(memory, OnLedgerError::Hold, Arc::new(Metrics::new())),
        broker,
        rules: rules(limits),
        clock_and_rng: ClockAndRng { now, random },
        limiter: Limiter::fixed(0.0),
        gate: Gate::new(gate::Policy {
            concurrency: 16,
            rejection_streak: 0,
            probe: backoff(5_000, 60_000),
            roll: random,
        }),
        heads: HeadMemory::default(),
        converter: Converter::new(conversion::Options {
            upright: false,
            decode: false,
            max_side: 0,
            quality: 90,
            memory: 1 << 24,
            limits,
        }),
        stuck: Stuck::default(),
        log: job_log(),
        stop: Stop::new(),
    }
}

fn rules(limits: Limits) -> Rules {
    Rules {
        admission: Admission { default_bucket: None, buckets: Some(vec![BUCKET.to_owned()]) },
        limits,
        verify: Verify::Structure,
        digest: DigestKind::Off,
        policy: retry_policy(),
        publish: backoff(200, 5_000),
        fetch_limit: Duration::from_secs(20),
        review_below: 0.3,
        source: "antispoofd".to_owned(),
        endpoint: ENDPOINT.to_owned(),
        reuse: Reuse::Job,
    }
}

fn random() -> f64 {
    0.5
}
