//! The state of one job while this worker has it in hand.

use super::delivery::Delivery;
use super::keys::ledger_key;
use super::ledger_client::LedgerAway;
use crate::gate::Pass;
use antispoof_core::event::{ImageReport, JobResult, Report};
use antispoof_core::failure::Failure;
use antispoof_core::job::Job;
use antispoof_core::plan::Blame;
use antispoof_core::ports::{DailyCalls, Lease as _, Ports, Spent};
use antispoof_core::retry::Attempt;
use std::time::Duration;

/// A job in hand: the delivery that brought it, and what has been learned on its way. What is learned holds for one round through the gate; see
/// [`JobRun::start_over`].
pub(super) struct JobRun<'a, P: Ports> {
    pub(super) delivery: Delivery<'a, P>,
    pub(super) job: Job,
    /// The ledger's key of the job.
    pub(super) key: String,
    /// The job before the gate.
    pub(super) pass: Pass,
    /// What is claimed in the ledger: the key of the job, or of another generation of it.
    pub(super) claim: Option<String>,
    /// The result on record that this generation replaces.
    pub(super) superseded_result: Option<Box<JobResult>>,
    /// When the job had ended in a failure before it was sent once more.
    pub(super) after_ms: Option<i64>,
    /// The `ETag` of an object whose earlier verdict is superseded: the content to check.
    pub(super) new_etag: Option<String>,
    /// Whether a failure of this delivery is the job's result, for the ledger.
    pub(super) recorded: bool,
    /// Calls for the job that may have been paid for without a verdict.
    pub(super) in_doubt: u32,
    pub(super) image: ImageReport,
    /// What other jobs find the verdict under.
    pub(super) object: Option<String>,
    pub(super) api_duration: Duration,
    /// How often the vendor has refused a call for being asked too often, and the job waited for its next turn.
    pub(super) turned_away: u32,
}

/// Why a step does not lead on to the result of the job.
pub(super) enum Interrupt {
    /// The job failed; whose fault, as the gate sees it.
    Failed(Failure, Blame),
    /// The gate is closed.
    GateClosed,
    /// Another delivery of the job is in hand, or has just ended it; or what the job needs here is taken. It is for another time.
    Busy,
    /// Nothing may be paid for before the ledger answers.
    LedgerAway,
    /// The day has had its calls, and the next one begins in so long.
    DailyLimit(DailyCalls, Duration),
    /// The process stops, and nothing has been sent.
    Stopped,
    /// The broker has taken the message back.
    LeaseLost,
}

impl<'a, P: Ports> JobRun<'a, P> {
    pub(super) fn new(delivery: Delivery<'a, P>, job: Job) -> Self {
        let pipeline = delivery.pipeline;
        let key = ledger_key(&job, &pipeline.rules.endpoint);
        let pass = pipeline.gate.pass(job.id());
        Self::begin(delivery, job, key, pass)
    }

    /// Forgets what was learned: the job waited at the gate, and everything may have changed. The claim has been released.
    pub(super) fn start_over(self) -> Self {
        let Self { delivery, job, key, pass, .. } = self;
        Self::begin(delivery, job, key, pass)
    }

    fn begin(delivery: Delivery<'a, P>, job: Job, key: String, pass: Pass) -> Self {
        Self {
            claim: None,
            superseded_result: None,
            after_ms: None,
            new_etag: None,
            recorded: true,
            in_doubt: delivery.lease.in_doubt(),
            image: ImageReport::of(job.image()),
            object: None,
            api_duration: Duration::ZERO,
            turned_away: 0,
            delivery,
            job,
            key,
            pass,
        }
    }

    /// What is written on a copy of the message that goes back to the queue with no attempt counted. Its deliveries go along: found busy with the claim
    /// of the worker that it has just ended, a poison message would otherwise never come to its own end.
    pub(super) fn spent(&self) -> Spent {
        let lease = &self.delivery.lease;
        Spent { attempts: lease.attempt(), in_doubt: self.in_doubt, deliveries: lease.deliveries() }
    }

    /// What the result tells besides the verdict or the failure.
    pub(super) fn report(&self, attempts: Attempt) -> Report {
        let now = (self.delivery.pipeline.clock_and_rng.now)();
        let mut report = Report::new(Some(self.image.clone()), attempts, now, self.delivery.lease.replay());
        report.after_ms = self.after_ms;
        report.check.in_doubt = self.in_doubt;
        report
    }

    pub(super) async fn release_claim(&mut self, may_be_paid: bool) {
        if let Some(claim) = self.claim.take() {
            self.delivery.pipeline.ledger.release(&claim, may_be_paid).await;
        }
    }
}

impl From<Failure> for Interrupt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure, Blame::Job)
    }
}

impl From<LedgerAway> for Interrupt {
    fn from(_: LedgerAway) -> Self {
        Self::LedgerAway
    }
}
