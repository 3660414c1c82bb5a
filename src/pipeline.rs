//! One lease from arrival to settlement.
//!
//! ```text
//!   decode → ledger → [ guards → open → inspect → guards → intent → detect ]* → conclude → announce → complete
//!                         └──────── quick tries, never after a call that may have been paid for ────────┘
//! ```
//!
//! Until the intent is on record, stopping drops everything and hands the job back; from there on the call runs to its end.

mod books;
mod claim;
mod conclude;
mod copies;
mod dropped;
mod examine;
mod intake;
mod keys;
mod look;
mod past;
mod record;
mod settle;

pub use books::{Books, OnLedgerError, Reuse};
pub use copies::Stuck;
pub use keys::{ledger_key, object_key};

use crate::gate::{Gate, Proof};
use crate::lifecycle::Stop;
use crate::telemetry::{End, Entry, Journal};
use antispoof_core::event::{Conclusion, ImageReport};
use antispoof_core::failure::Failure;
use antispoof_core::image::Limits;
use antispoof_core::job::{Admission, Intake, Origin};
use antispoof_core::plan::{Plan, plan};
use antispoof_core::ports::{Broker, Detector, ImageStore, Lease as _, Ledger, Spent};
use antispoof_core::retry::{Backoff, RetryPolicy};
use examine::{Examined, Progress};
use record::OnRecord;
use std::time::Duration;
use time::OffsetDateTime;

/// The broker parks a job by itself after twenty deliveries, without a word to anybody. At this count it is done here, with an event.
const DELIVERY_LIMIT: u32 = 19;

/// From so many deliveries without an end on, a job is suspected of ending the process and is run with nothing beside it.
pub const SUSPECT: u32 = 3;

/// What the broker has dropped it parks at its fourth lost delivery, and then without an event. After so many a copy begins anew; what cannot be delivered
/// does not get so far.
const FRESH_COPY: u32 = 1;

/// What the settings say, for the pipeline.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which jobs are taken.
    pub admission: Admission,
    /// Which images go through.
    pub limits: Limits,
    /// How often what is tried again.
    pub policy: RetryPolicy,
    /// The waits between tries to publish.
    pub publish: Backoff,
    /// For asking for an object, and again for its first bytes.
    pub fetch_limit: Duration,
    /// `api.review_below`.
    pub review_below: f64,
    /// CloudEvents `source`.
    pub source: String,
    /// What a verdict depends on besides the image: the endpoint. Part of the ledger's keys. (`review_below` is not: it is applied to what is
    /// remembered, too.)
    pub judge: String,
    /// Which verdicts are given again.
    pub reuse: Reuse,
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
    pub books: Books<L>,
    /// Who delivers.
    pub broker: B,
    /// What the settings say.
    pub rules: Rules,
    /// Time and chance.
    pub ambient: Ambient,
    /// Whether jobs may run.
    pub gate: Gate,
    /// How many jobs are held by a queue that takes nothing.
    pub stuck: Stuck,
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
    /// What is claimed there: the job, or another round of it.
    claim: Option<String>,
    /// When the job had ended in a failure before.
    after_ms: Option<i64>,
    /// Calls that may have been paid for without a verdict.
    in_doubt: u32,
    /// The end on record that this one replaces.
    over: Option<Box<Conclusion>>,
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

    /// Puts a lease back untouched: it is not its turn. Broken off only by the hard stop.
    pub async fn postpone(&self, lease: B::Lease) {
        let mut entry = self.journal.begin(lease.attempt().next().count());
        // The whole count: put off each time, the one that ends the process would never come to its own end.
        let spent = Spent { attempts: lease.attempt(), in_doubt: lease.in_doubt(), deliveries: lease.deliveries() };
        match Intake::read(lease.body(), lease.properties(), &self.rules.admission) {
            Ok(Intake::Job(job)) => entry.names(job.id(), Some(&ImageReport::of(job.image()))),
            Ok(Intake::Several(_) | Intake::Nothing(_)) => intake::name(&lease, &mut entry),
            Err(refused) => entry.names(&refused.origin.job_id, None),
        }
        if let Some(end) = self.stop.hard().run_until_cancelled(self.give_back_unspent(lease, spent, None)).await {
            entry.end(end);
        }
    }

    async fn run(&self, lease: B::Lease, entry: &mut Entry) -> End {
        if lease.dropped().is_some() && lease.deliveries() >= FRESH_COPY {
            let spent = Spent { attempts: lease.attempt(), in_doubt: lease.in_doubt(), deliveries: 0 };
            // Tried once: where the queue takes no copy, the quickest way to the event is the best.
            if let Ok(receipt) = self.broker.defer(&lease, 0, spent, None).await {
                intake::name(&lease, entry);
                return self.complete(lease, receipt, End::Returned).await;
            }
        }
        let job = match Intake::read(lease.body(), lease.properties(), &self.rules.admission) {
            Ok(Intake::Job(job)) => *job,
            Ok(Intake::Several(bodies)) => return self.divide(lease, &bodies, entry).await,
            Ok(Intake::Nothing(nothing)) => return self.dismiss(lease, nothing, entry).await,
            Err(refused) => return self.refuse(lease, *refused, entry).await,
        };
        let image = ImageReport::of(job.image());
        entry.names(job.id(), Some(&image));
        let key = ledger_key(&job, &self.rules.judge);
        let mut pass = self.gate.pass(job.id());
        let mut met = None;
        loop {
            let mut progress = Progress::new(image.clone(), lease.in_doubt());
            let examined = match lease.dropped() {
                None => self.examine(&lease, &job, &key, &mut pass, &mut progress, entry).await,
                Some(dropped) => self.examine_dropped(dropped, &lease, &job, &mut progress, entry).await,
            };
            pass.leave();
            // A ledger that takes some steps and refuses others is not back: only a job that came through all of them proves that it is.
            if matches!(examined, Examined::Concluded(_) | Examined::Ended(_) | Examined::Failed(..)) {
                self.gate.proof(Proof::Ledger);
            }
            let known = |progress: Progress| Known {
                origin: job.origin().clone(),
                image: Some(progress.image),
                key: progress.keeps.then(|| key.clone()),
                claim: progress.claim,
                after_ms: progress.after_ms,
                in_doubt: progress.in_doubt,
                over: progress.over,
            };
            // The whole count: found busy with the claim of the worker that it has just ended, a killer would never come to its own end.
            let deliveries = lease.deliveries();
            let spent = Spent { attempts: lease.attempt(), in_doubt: progress.in_doubt, deliveries };
            match examined {
                Examined::Concluded(conclusion) => {
                    return self.announce(lease, job.origin(), &key, *conclusion, entry).await;
                }
                Examined::Ended(conclusion) => {
                    return self.end_again(lease, known(progress), *conclusion, entry).await;
                }
                Examined::Held => return self.give_back_unspent(lease, spent, None).await,
                Examined::Stopped => return self.stopped(lease).await,
                Examined::Lost => return End::Lost,
                Examined::GateClosed => entry.waits(&self.gate.why_closed()),
                Examined::LedgerAway => pass.ledger_is_away(),
                Examined::Failed(failure, blame) => {
                    entry.failed(&failure);
                    match plan(&failure, blame, lease.attempt(), &self.rules.policy) {
                        // The claim is held until here, so that no other delivery of the job slips in before its end is on record.
                        Plan::Park { .. } => return self.park(lease, known(progress), failure, entry).await,
                        Plan::TryAgain { tier, spent: attempts } => {
                            self.give_up(progress.claim.as_deref(), failure.may_be_paid()).await;
                            return self.defer(lease, tier, Spent { attempts, deliveries: 0, ..spent }, &failure).await;
                        }
                        Plan::GiveBack => self.give_up(progress.claim.as_deref(), false).await,
                    }
                    met = Some(failure);
                }
            }
            // Where the job is to find out whether it is over, it keeps its lease: to cycle it through the queue would bring nothing but load.
            match self.stop.soft().run_until_cancelled(pass.again()).await {
                None => return self.stopped(lease).await,
                // The probe is dropped with the pass, after the job has found its place: the next job takes over.
                Some(false) => return self.give_back_unspent(lease, spent, met.as_ref()).await,
                Some(true) if !lease.usable() => return End::Lost,
                Some(true) => {}
            }
        }
    }

    async fn give_up(&self, claim: Option<&str>, paid: bool) {
        if let Some(claim) = claim {
            self.books.release(claim, paid).await;
        }
    }

    /// A failure event, then the parked queue.
    async fn park(&self, lease: B::Lease, known: Known, failure: Failure, entry: &mut Entry) -> End {
        // A job that the broker has dropped was not tried this time.
        let spent = if lease.dropped().is_some() { lease.attempt() } else { lease.attempt().next() };
        let mut conclusion =
            Conclusion::failed(&failure, known.image.clone(), spent, (self.ambient.now)(), lease.replay());
        conclusion.after_ms = known.after_ms;
        conclusion.check.in_doubt = known.in_doubt;
        if let Some(key) = &known.key {
            let standing = self.put_on_record(&lease, key, None, &conclusion, known.over.as_deref()).await;
            self.end_round(key, known.claim.as_deref(), failure.may_be_paid()).await;
            match standing {
                OnRecord::Ours => {}
                OnRecord::Another(end) if end.is_verdict() => {
                    let (origin, key) = (known.origin.clone(), key.clone());
                    return self.announce(lease, &origin, &key, *end, entry).await;
                }
                OnRecord::Another(end) if end.ending == conclusion.ending => conclusion = *end,
                OnRecord::Another(end) => return self.end_again(lease, known, *end, entry).await,
                OnRecord::Nowhere => return End::Lost,
            }
        }
        self.end_with(lease, &known, &conclusion, &failure, entry).await
    }
}
