//! One lease from arrival to settlement.
//!
//! ```text
//!   decode → ledger → [ guards → open → inspect → guards → intent → detect ]* → conclude → announce → complete
//!                         └──────── quick tries, never after a call that may have been paid for ────────┘
//! ```
//!
//! Until the intent is on record, stopping drops everything and hands the job back; from there on the call runs to its end.

mod examine;
mod look;
mod settle;

pub use examine::ledger_key;

use crate::gate::Gate;
use crate::lifecycle::Stop;
use crate::telemetry::{End, Journal};
use antispoof_core::event::{Conclusion, ImageReport};
use antispoof_core::failure::{Class, Failure};
use antispoof_core::image::Limits;
use antispoof_core::job::{Admission, Job, Origin};
use antispoof_core::plan::{Plan, plan};
use antispoof_core::ports::{Broker, Detector, ImageStore, Lease as _, Ledger};
use antispoof_core::retry::{Backoff, RetryPolicy};
use examine::{Examined, Progress};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;

/// The broker parks a job by itself after twenty deliveries, without a word to anybody. At this count it is done here, with an event.
const DELIVERY_LIMIT: u32 = 19;

/// A probe gives its job back after this, well within the broker's consumer timeout of 30 minutes, and the next job takes over.
const PROBE_HOLD: Duration = Duration::from_mins(10);

/// What the settings say, for the pipeline.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which jobs are taken.
    pub admission: Admission,
    /// Which images go through.
    pub limits: Limits,
    /// How often what is tried again.
    pub policy: RetryPolicy,
    /// The waits of a probe.
    pub probe: Backoff,
    /// The waits between tries to publish.
    pub publish: Backoff,
    /// For asking for an object, and again for its first bytes.
    pub fetch_limit: Duration,
    /// `api.review_below`.
    pub review_below: f64,
    /// CloudEvents `source`.
    pub source: String,
    /// What a verdict depends on besides the image: the endpoint. Part of the ledger's key.
    pub judge: String,
}

/// Time and chance.
#[derive(Clone, Copy, Debug)]
pub struct Ambient {
    /// The wall clock.
    pub now: fn() -> OffsetDateTime,
    /// A number in `0.0..1.0`.
    pub roll: fn() -> f64,
}

/// The parts that a job passes through.
pub struct Pipeline<S, D, L, B> {
    /// Where the images are.
    pub store: S,
    /// Who judges.
    pub detector: D,
    /// Who remembers.
    pub ledger: L,
    /// Who delivers.
    pub broker: B,
    /// What the settings say.
    pub rules: Rules,
    /// Time and chance.
    pub ambient: Ambient,
    /// Whether jobs may run.
    pub gate: Gate,
    /// Who writes it down.
    pub journal: Journal,
    /// Whether the process stops.
    pub stop: Stop,
}

/// What is known of the message in hand.
struct Known {
    origin: Origin,
    image: Option<ImageReport>,
    /// The ledger's key, where there is a job.
    key: Option<String>,
    /// When the job had ended in a failure before.
    after_ms: Option<i64>,
}

/// What a probe does next.
enum ProbeStep {
    Again,
    HandOver,
    Stopped,
    Lost,
}

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    /// Sees a lease to its end. Broken off only by the hard stop; then the broker delivers the message again.
    pub async fn handle(&self, lease: B::Lease) {
        let mut entry = self.journal.begin(lease.attempt().next().count());
        let end = self.stop.hard().run_until_cancelled(self.run(lease, &mut entry)).await;
        if let Some(end) = end {
            entry.end(end);
        }
    }

    async fn run(&self, lease: B::Lease, entry: &mut crate::telemetry::Entry) -> End {
        let job = match Job::decode(lease.body(), lease.properties(), &self.rules.admission) {
            Ok(job) => job,
            Err(failure) => {
                let origin = Origin::of_message(lease.body(), lease.properties());
                entry.names(&origin.job_id, None);
                entry.failed(&failure);
                return self
                    .park(lease, Known { origin, image: None, key: None, after_ms: None }, failure, entry)
                    .await;
            }
        };
        let image = ImageReport::of(job.image());
        entry.names(job.id(), Some(&image));
        let key = ledger_key(&job, &self.rules.judge);
        let known = |progress: Progress| Known {
            origin: job.origin().clone(),
            image: Some(progress.image),
            key: progress.keeps.then(|| key.clone()),
            after_ms: progress.after_ms,
        };
        let mut probe = None;
        let mut probes = 0;
        let probing_since = Instant::now();
        loop {
            let mut progress = Progress::new(image.clone());
            let examined = self.examine(&lease, &job, &key, probe.is_some(), &mut progress, entry).await;
            if progress.answered {
                self.gate.reopen(antispoof_core::failure::Stage::Call);
            }
            let failure = match examined {
                Examined::Concluded(conclusion) => return self.announce(lease, &job, *conclusion, entry).await,
                Examined::Ended(conclusion) => {
                    return self.end_again(lease, known(progress), *conclusion, entry).await;
                }
                Examined::Held => return self.give_back_unspent(lease, None).await,
                Examined::Stopped => return self.stopped(lease).await,
                Examined::Lost => return End::Lost,
                Examined::Failed(failure) => failure,
            };
            entry.failed(&failure);
            match plan(&failure, lease.attempt(), &self.rules.policy) {
                Plan::TryAgain { tier, spent } => return self.defer(lease, tier, spent, &failure).await,
                Plan::Park { .. } => return self.park(lease, known(progress), failure, entry).await,
                Plan::GiveBack => {
                    debug_assert_eq!(failure.code().class(), Class::Systemic);
                    if probe.is_none() {
                        probe = self.gate.close(failure.code());
                    }
                    if probe.is_none() {
                        return self.give_back_unspent(lease, Some(&failure)).await;
                    }
                    let step = self.probe_step(&lease, probes, probing_since).await;
                    probes += 1;
                    match step {
                        ProbeStep::Again => {}
                        // The probe is dropped with this call's end, after the job has found its place: the next job takes over.
                        ProbeStep::HandOver => return self.give_back_unspent(lease, Some(&failure)).await,
                        ProbeStep::Stopped => return self.stopped(lease).await,
                        ProbeStep::Lost => return End::Lost,
                    }
                }
            }
        }
    }

    /// Waits until the next probe is due. The job keeps its lease: cycling it through the queue would bring nothing but load.
    async fn probe_step(&self, lease: &B::Lease, probes: u32, since: Instant) -> ProbeStep {
        let wait = self.rules.probe.wait(probes, (self.ambient.roll)());
        if self.stop.soft().run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return ProbeStep::Stopped;
        }
        if !lease.usable() {
            ProbeStep::Lost
        } else if since.elapsed() > PROBE_HOLD {
            ProbeStep::HandOver
        } else {
            ProbeStep::Again
        }
    }

    /// A failure event, then the parked queue.
    async fn park(&self, lease: B::Lease, known: Known, failure: Failure, entry: &mut crate::telemetry::Entry) -> End {
        let spent = lease.attempt().next();
        let mut conclusion =
            Conclusion::failed(&failure, known.image.clone(), spent, (self.ambient.now)(), lease.replay());
        conclusion.after_ms = known.after_ms;
        if let Some(key) = &known.key {
            self.remember(key, &conclusion).await;
        }
        self.end_with(lease, &known.origin, &conclusion, &failure, entry).await
    }
}
