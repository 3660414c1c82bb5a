//! What all connections share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::auth::Verifier;
use super::backoff::Backoff;
use super::change::Change;
use super::config::{Config, RefusalManner};
use super::fault::Fault;
use super::faults::Arrival;
use super::rate::Bucket;
use super::stats::Counters;
use super::verdict::VerdictRule;

/// The behaviour, which can change, beside the counters and the limits, which cannot.
pub(super) struct State {
    pub(super) counters: Arc<Counters>,
    /// Bytes of a request body, base64 and all, above which it is refused.
    pub(super) max_body: u64,
    /// Time without a byte of the body after which a request is given up.
    pub(super) body_idle: Duration,
    /// Cancelled when the simulator stops: releases what would otherwise wait for ever.
    pub(super) stopping: CancellationToken,
    control: Mutex<Control>,
    /// Copies of what is asked for at every read of a connection.
    max_requests: AtomicU32,
    idle_timeout: watch::Sender<Option<Duration>>,
    /// Changes when connections that hang may go on.
    releases: watch::Sender<u64>,
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
    pub(super) backoff: Backoff,
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
            counters: Arc::new(Counters::default()),
            max_body,
            body_idle,
            stopping: CancellationToken::new(),
            max_requests: AtomicU32::new(control.config.max_requests),
            idle_timeout: watch::Sender::new(control.config.idle_limit()),
            releases: watch::Sender::new(0),
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
            backoff: config.backoff(),
            slow_interval: config.slow_interval,
            variant: rng.usize(..),
        }
    }

    pub(super) fn configure(&self, change: Change, now: Instant) {
        let control = &mut *self.lock();
        let (new_auth, new_rate) = (change.auth.is_some(), change.rate_limit.is_some());
        let release = change.faults.is_some();
        change.apply_to(&mut control.config);
        if new_auth {
            control.verifier = Arc::new(Verifier::new(&control.config.auth));
        }
        if new_rate {
            control.bucket = Bucket::new(control.config.rate_limit, now);
        }
        self.max_requests.store(control.config.max_requests, Ordering::Relaxed);
        self.idle_timeout.send_replace(control.config.idle_limit());
        if release {
            self.releases.send_modify(|number| *number += 1);
        }
    }

    pub(super) fn max_requests(&self) -> u32 {
        self.max_requests.load(Ordering::Relaxed)
    }

    pub(super) fn idle_timeout(&self) -> watch::Receiver<Option<Duration>> {
        self.idle_timeout.subscribe()
    }

    /// What `Keep-Alive` announces.
    pub(super) fn keep_alive(&self) -> Option<Duration> {
        Some(self.lock().config.keep_alive).filter(|announced| !announced.is_zero())
    }

    pub(super) fn refusal(&self) -> RefusalManner {
        self.lock().config.refusal
    }

    /// How an answer with this status says when to come back, if it does.
    pub(super) fn backoff_of(&self, status: StatusCode) -> Option<Backoff> {
        let config = &self.lock().config;
        config.retry_after_on.contains(status).then(|| config.backoff())
    }

    /// Returns when a connection that hangs may go on: after its time, when the faults are set, or when the simulator stops.
    pub(super) async fn hang_is_over(&self) {
        let mut releases = self.releases.subscribe();
        let time = self.lock().config.hang_time;
        tokio::select! {
            // The sender is this state's.
            _ = releases.changed() => {}
            () = tokio::time::sleep(time) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    pub(super) fn config_json(&self) -> Value {
        self.lock().config.to_json()
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
