//! A closed gate: who probes, how often, and when it is another job's turn.

use super::policy::Policy;
use super::reason::{Finding, Met, Proof, Reason};
use antispoof_core::plan::Blame;
use antispoof_core::retry::Backoff;
use std::time::Duration;
use tokio::time::Instant;

/// The waits between probes of an outage that cost nothing: jobs are consumed again within two seconds of its end.
const OUTAGE_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1500));

/// The waits after a 429 that names none, or less than the shortest of them.
const HOLD_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// While the day's calls are used up, it is looked every so often whether they still are: a call that was counted and not sent is given back, and clocks are set.
/// It costs a look at an object and a step of the ledger.
const LIMIT_LOOKS: Duration = Duration::from_mins(5);

/// The longest that calls are held because the vendor asks for it.
const LONGEST_HOLD: Duration = Duration::from_hours(1);

/// A job that has probed for so long goes back, well within the broker's consumer timeout of 30 minutes, and the next one takes over.
const LONGEST_TENURE: Duration = Duration::from_mins(10);

/// Why nothing runs, and how it is found out that it is over.
#[derive(Debug)]
pub struct Closed {
    /// Why.
    pub reason: Reason,
    /// What the last probe met.
    pub message: String,
    /// Since when.
    pub since: Instant,
    /// No job probes before this.
    pub(super) not_before: Instant,
    /// The vendor has asked for no call before this, whatever else the gate is closed for.
    hold: Option<Instant>,
    /// A job has the right to probe. Otherwise the next one that comes takes it.
    pub(super) probing: bool,
    /// Tries that failed, of all jobs.
    tries: u32,
    /// Those of them that may have been paid for.
    paid: u32,
    /// Jobs that have probed for as often as they may.
    retired: u32,
}

/// The right to probe. Each job may fail twice as often as the one before it: one that fails for its own sake is soon passed over, and an outage, however
/// long, takes few jobs out of their place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenure {
    pub(super) number: u64,
    since: Instant,
    failed: u32,
    most: u32,
}

/// What comes of a failed try.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) blame: Blame,
    /// The job has the right to probe now.
    pub(super) tenure: Option<Tenure>,
    /// It has probed for as often as it may.
    pub(super) retired: bool,
}

impl Closed {
    pub(super) fn new(reason: Reason, message: &str, now: Instant) -> Self {
        let message = message.to_owned();
        Self { reason, message, since: now, not_before: now, hold: None, probing: false, tries: 0, paid: 0, retired: 0 }
    }

    /// What was met last is what is said.
    pub(super) fn becomes(&mut self, reason: Reason, message: &str) {
        self.reason = reason;
        message.clone_into(&mut self.message);
    }

    /// For how long calls are still held because the vendor has asked for it.
    pub fn held_for(&self, now: Instant) -> Duration {
        self.hold.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Something went well. True when that opens the gate. What ends before the vendor's pause does leaves the pause; and a call that began before the
    /// vendor asked for it, and ends well, is no proof that it asks no more.
    pub(super) fn is_over(&mut self, proof: Proof, now: Instant) -> bool {
        if !self.reason.ends_by(proof) {
            return false;
        }
        let held = !self.held_for(now).is_zero();
        if held {
            self.reason = Reason::Hold;
        }
        !held
    }

    /// True when the next job that comes may probe.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.probing && self.not_before <= now
    }

    pub(super) fn give_probe(&mut self, number: u64, now: Instant) -> Tenure {
        self.probing = true;
        Tenure { number, since: now, failed: 0, most: 1_u32.checked_shl(self.retired).unwrap_or(u32::MAX) }
    }

    /// The next probe waits, because of what this one, or the job that closed the gate, has met.
    pub(super) fn put_off(&mut self, met: Met<'_>, now: Instant, policy: &Policy) {
        let backoff = |(min, max): (Duration, Duration)| Backoff::try_new(min, max).unwrap_or(policy.probe);
        let roll = (policy.roll)();
        let wait = match met.finding {
            // Some limiters round down, and then ask for a pause of nothing: obeyed, that would be a loop of calls.
            Finding::Hold(Some(asked)) if asked >= HOLD_WAITS.0 => asked.min(LONGEST_HOLD),
            Finding::Hold(_) => backoff(HOLD_WAITS).wait(self.tries, 1.0),
            // Each probe may cost money, whichever job makes it.
            _ if met.may_be_paid => policy.probe.wait(self.paid, roll),
            Finding::Transient(_) => backoff(OUTAGE_WAITS).wait(self.tries, roll),
            // Each image is another one: that this one was rejected makes it no less likely that the next one is taken.
            Finding::Rejected => policy.probe.wait(0, roll),
            Finding::DailyLimit(resumes_in) => resumes_in.min(LIMIT_LOOKS),
            Finding::Systemic(_) | Finding::LedgerAway | Finding::Own => policy.probe.wait(self.tries, roll),
        };
        self.tries = self.tries.saturating_add(1);
        self.paid = self.paid.saturating_add(met.may_be_paid.into());
        self.not_before = self.not_before.max(now + wait);
        if matches!(met.finding, Finding::Hold(_)) {
            self.hold = self.hold.max(Some(now + wait));
        }
    }

    /// A job that has failed tries again itself, unless its call may have been paid for, or another one is to find out: with the next image, or when the
    /// vendor's pause is over.
    pub(super) fn keeps_its_probe(&self, met: Met<'_>) -> bool {
        !met.may_be_paid && !matches!(self.reason, Reason::Hold | Reason::Rejections | Reason::DailyLimit)
    }

    /// The probe has failed, for this reason.
    pub(super) fn probe_failed(
        &mut self,
        reason: Reason,
        met: Met<'_>,
        tenure: Tenure,
        now: Instant,
        policy: &Policy,
    ) -> Failed {
        let reason = if self.reason.gives_way_to(reason) { reason } else { self.reason };
        self.becomes(reason, met.message);
        self.put_off(met, now, policy);
        let tenure = Tenure { failed: tenure.failed + 1, ..tenure };
        let too_long = now.saturating_duration_since(tenure.since) > LONGEST_TENURE;
        if self.keeps_its_probe(met) && tenure.failed < tenure.most && !too_long {
            return Failed { blame: Blame::Shared, tenure: Some(tenure), retired: false };
        }
        self.probing = false;
        self.retired = self.retired.saturating_add(1);
        // What a probe meets is not its job's fault, but for three things: the call may have been paid for; the vendor asks to slow down,
        // which costs one job an attempt in each pause; and what fails for so long may after all be the job's fault, which has to end some day.
        let hold = matches!(met.finding, Finding::Hold(_));
        let blame = if met.may_be_paid || hold || too_long { Blame::Job } else { Blame::Shared };
        let timed = hold || matches!(met.finding, Finding::DailyLimit(_));
        Failed { blame, tenure: None, retired: !timed }
    }

    /// A job that came before the gate was closed has met this: the vendor may ask for a longer pause than is known.
    pub(super) fn told_to_wait(&mut self, met: Met<'_>, now: Instant) {
        if let Finding::Hold(Some(asked)) = met.finding {
            let until = now + asked.min(LONGEST_HOLD);
            self.not_before = self.not_before.max(until);
            self.hold = self.hold.max(Some(until));
            if self.reason.gives_way_to(Reason::Hold) {
                self.becomes(Reason::Hold, met.message);
            }
        }
    }
}
