//! What all connections share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::auth::Verifier;
use super::books::Books;
use super::config::{Change, Config, RetryAfterForm};
use super::fault::{Arrival, Fault};
use super::rate::Bucket;
use super::verdict::VerdictRule;

/// The behaviour, which can change, beside the books and the limits, which cannot.
pub(super) struct State {
    pub(super) books: Arc<Books>,
    /// Bytes of a request body, base64 and all, above which it is refused.
    pub(super) max_body: u64,
    /// Time without a byte of the body after which a request is given up.
    pub(super) body_idle: Duration,
    /// Cancelled when the simulator stops: releases what would otherwise wait for ever.
    pub(super) stopping: CancellationToken,
    control: Mutex<Control>,
}

/// Changed as a whole under one lock, so that no request sees half of a change.
struct Control {
    config: Config,
    verifier: Arc<Verifier>,
    bucket: Bucket,
    rng: fastrand::Rng,
}

/// How a call will be answered, decided at once when its body is complete.
pub(super) struct Plan {
    pub(super) course: Course,
    pub(super) latency: Duration,
    pub(super) verdict: VerdictRule,
    pub(super) retry_after: Duration,
    pub(super) retry_after_form: RetryAfterForm,
    pub(super) slow_interval: Duration,
    /// Chooses among the variants of a fault.
    pub(super) variant: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Verdict,
    /// No room until then.
    Limited(Duration),
    Fault(Fault),
}

// === impl State ===

impl State {
    pub(super) fn new(config: Config, seed: u64, max_body: u64, body_idle: Duration) -> Self {
        let control = Control {
            verifier: Arc::new(Verifier::new(&config.auth)),
            bucket: Bucket::new(config.rate_limit, Instant::now()),
            config,
            rng: fastrand::Rng::with_seed(seed),
        };
        Self {
            books: Arc::new(Books::default()),
            max_body,
            body_idle,
            stopping: CancellationToken::new(),
            control: Mutex::new(control),
        }
    }

    pub(super) fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.lock().verifier)
    }

    pub(super) fn request_id(&self) -> String {
        format!("sim-{:016x}", self.lock().rng.u64(..))
    }

    /// Rolls the dice for a request whose headers are in.
    pub(super) fn arrival(&self) -> Arrival {
        let Control { config, rng, .. } = &mut *self.lock();
        config.faults.at_headers(rng.f64() * 100.0)
    }

    /// Decides about a call whose body is in. The rate limit comes first, as a gateway would have it, and spends no fault.
    pub(super) fn plan(&self, share: Option<Fault>, now: Instant) -> Plan {
        let Control { config, bucket, rng, .. } = &mut *self.lock();
        let course = match bucket.take(now) {
            Err(wait) => Course::Limited(wait),
            Ok(()) => config.faults.at_body(share).map_or(Course::Verdict, Course::Fault),
        };
        Plan {
            course,
            latency: config.latency.sample(rng),
            verdict: config.verdict,
            retry_after: config.retry_after,
            retry_after_form: config.retry_after_form,
            slow_interval: config.slow_interval,
            variant: rng.usize(..),
        }
    }

    pub(super) fn configure(&self, change: Change, now: Instant) {
        let control = &mut *self.lock();
        let (new_auth, new_rate) = (change.auth.is_some(), change.rate_limit.is_some());
        control.config.apply(change);
        if new_auth {
            control.verifier = Arc::new(Verifier::new(&control.config.auth));
        }
        if new_rate {
            control.bucket = Bucket::new(control.config.rate_limit, now);
        }
    }

    pub(super) fn config_json(&self) -> Value {
        self.lock().config.to_json()
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
