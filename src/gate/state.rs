//! The states of the gate, and what leads from one to the next. Nothing here waits, and the moment comes as an argument.

use super::closed::{Closed, Failed, Tenure};
use super::policy::Policy;
use super::reason::{Finding, Met, Proof, Reason};
use super::streak::Streak;
use antispoof_core::failure::Stage;
use antispoof_core::plan::Blame;
use std::time::Duration;
use tokio::time::Instant;

/// So many different jobs with a transient failure in a row, and no success at that stage between them, are an outage. Five: one or two are bad luck and
/// get their quick tries, and even where every second call fails, five in a row are rare; more would only spend more attempts on what is down.
pub(super) const OUTAGE: usize = 5;

/// A consumer is registered again within this, or the session ends: `amqp.connect_timeout` is what bounds it.
const BACK_WITHIN: Duration = Duration::from_secs(10);

const VENDOR: Reason = Reason::Outage(Stage::Call);

/// The gate's state, and what is remembered for it.
#[derive(Debug, Default)]
pub struct State {
    phase: Phase,
    /// Jobs that have come in and not left.
    inside: u32,
    /// Jobs that have probed for as often as they may, and wait in hand for the end of an outage.
    lingering: u16,
    /// Jobs that met a transient failure since the store last spoke about an object.
    store: Streak,
    /// Jobs that met a transient failure since the vendor last spoke about an image.
    vendor: Streak,
    /// Jobs that were rejected since the last verdict. Nothing else ends this streak, so it outlasts a gate that is closed for something else.
    rejected: Streak,
    /// When it was last opened.
    opened: Option<Instant>,
    /// How often the right to probe was given: a probe of an earlier time must not meddle.
    probes: u64,
}

#[derive(Debug, Default)]
enum Phase {
    /// Everything runs.
    #[default]
    Open,
    /// Open again: at most `window` jobs run, and twice as many when as many have gone well.
    Ramping { over: Reason, window: u16, gone_well: u16 },
    /// One job probes, nothing else runs.
    Closed(Closed),
}

/// What may be consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// As much as there are hands for.
    Full,
    /// So many jobs at a time.
    AtMost(u16),
    /// Nothing; until then, where that is known.
    Nothing(Option<Instant>),
}

/// What has to be told to those who wait when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    Open,
    Ramping { window: u16, full: bool },
    Closed { reason: Reason, probing: bool, not_before: Instant },
}

/// What a job meets that comes to the gate.
#[derive(Debug)]
pub(super) enum Entered {
    Running,
    Probing(Tenure),
    No,
}

impl State {
    /// True while jobs run, be it fewer than usual.
    pub fn is_open(&self) -> bool {
        self.closed().is_none()
    }

    /// Why and since when nothing runs; `None` while something does.
    pub fn closed(&self) -> Option<&Closed> {
        match &self.phase {
            Phase::Closed(closed) => Some(closed),
            Phase::Open | Phase::Ramping { .. } => None,
        }
    }

    /// True while nothing need be consumed: it is closed, or has just been opened, and the consumer takes a moment to be back.
    pub fn excuses_idleness(&self, now: Instant) -> bool {
        !self.is_open() || self.opened.is_some_and(|opened| now.saturating_duration_since(opened) < BACK_WITHIN)
    }

    /// What may be consumed.
    pub fn flow(&self, now: Instant) -> Flow {
        match &self.phase {
            Phase::Open => Flow::Full,
            Phase::Ramping { window, .. } => Flow::AtMost(*window),
            Phase::Closed(closed) if closed.probing => Flow::Nothing(None),
            Phase::Closed(closed) if closed.not_before > now => Flow::Nothing(Some(closed.not_before)),
            Phase::Closed(_) => Flow::AtMost(1),
        }
    }

    pub(super) fn outlook(&self) -> Outlook {
        match &self.phase {
            Phase::Open => Outlook::Open,
            Phase::Ramping { window, .. } => Outlook::Ramping { window: *window, full: self.is_full(*window) },
            Phase::Closed(Closed { reason, probing, not_before, .. }) => {
                Outlook::Closed { reason: *reason, probing: *probing, not_before: *not_before }
            }
        }
    }

    /// From when on a job that is not the probe may come in, where that can be said.
    pub(super) fn admits_from(&self, now: Instant) -> Option<Instant> {
        match &self.phase {
            Phase::Open => Some(now),
            Phase::Ramping { window, .. } => (!self.is_full(*window)).then_some(now),
            Phase::Closed(closed) => (!closed.probing).then_some(closed.not_before.max(now)),
        }
    }

    /// A job that is not the probe asks to come in. At a closed gate that no job probes it becomes the probe.
    pub(super) fn enter(&mut self, now: Instant) -> Entered {
        if self.admits_from(now) != Some(now) {
            return Entered::No;
        }
        self.inside += 1;
        match self.take_probe(now) {
            Some(tenure) => Entered::Probing(tenure),
            None => Entered::Running,
        }
    }

    /// A job that came in has left.
    pub(super) fn leave(&mut self) {
        self.inside = self.inside.saturating_sub(1);
    }

    /// A job that has probed for as often as it may wants to wait in hand for the end of an outage: on its way through a delay queue it would be the last to hear
    /// of it. Half of the hands stay free.
    pub(super) fn linger(&mut self, concurrency: u16) -> bool {
        let may = self.closed().is_some_and(|closed| matches!(closed.reason, Reason::Outage(_)));
        let may = may && self.lingering < concurrency / 2;
        self.lingering += u16::from(may);
        may
    }

    pub(super) fn linger_no_more(&mut self) {
        self.lingering = self.lingering.saturating_sub(1);
    }

    /// Closes the gate for a failure that the caller itself tries to end, again and again. It gets the right to probe, unless another job has it.
    pub(super) fn close(&mut self, reason: Reason, message: &str, now: Instant) -> Option<Tenure> {
        match &mut self.phase {
            Phase::Closed(closed) if closed.probing => return None,
            // The pause that the vendor has asked for is still known.
            Phase::Closed(closed) => closed.becomes(reason, message),
            Phase::Open | Phase::Ramping { .. } => self.phase = Phase::Closed(Closed::new(reason, message, now)),
        }
        self.take_probe(now)
    }

    /// Something went well.
    pub(super) fn proof(&mut self, proof: Proof, now: Instant, concurrency: u16) {
        match proof {
            Proof::Stage(Stage::Fetch) => self.store.end(),
            Proof::Stage(Stage::Call) => self.vendor.end(),
            Proof::Verdict => {
                self.vendor.end();
                self.rejected.end();
            }
            Proof::Stage(_) | Proof::Ledger | Proof::Slot | Proof::CallCounted => {}
        }
        match &mut self.phase {
            Phase::Closed(closed) => {
                if closed.is_over(proof, now) {
                    // One job has gone well, which was the probe: the next are two.
                    self.phase = Phase::ramping(closed.reason, 2, concurrency);
                    self.opened = Some(now);
                }
            }
            Phase::Ramping { over, window, gone_well } if over.ends_by(proof) => {
                *gone_well += 1;
                if *gone_well >= *window {
                    self.phase = Phase::ramping(*over, window.saturating_mul(2), concurrency);
                }
            }
            Phase::Open | Phase::Ramping { .. } => {}
        }
    }

    /// A try of this job has failed: says whether the job is to blame, and closes the gate where others would meet the same. `tenure` is there when the job probes.
    pub(super) fn failed(
        &mut self,
        job: &str,
        met: Met<'_>,
        tenure: Option<Tenure>,
        now: Instant,
        policy: &Policy,
    ) -> Failed {
        let in_a_row = match met.finding {
            Finding::Rejected => policy.rejection_streak > 0 && self.rejected.grow(job, policy.rejection_streak),
            Finding::Transient(Stage::Fetch) => self.store.grow(job, OUTAGE),
            Finding::Transient(_) => self.vendor.grow(job, OUTAGE),
            Finding::Own | Finding::Hold(_) | Finding::Systemic(_) | Finding::LedgerAway | Finding::DailyLimit(_) => {
                true
            }
        };
        let alone = met.finding == Finding::Rejected && !in_a_row;
        let reason = met.finding.reason().filter(|_| !alone);
        if let Some(proof) = met.proof.filter(|_| reason.is_none()) {
            self.proof(proof, now, policy.concurrency);
        }
        let Some(reason) = reason else {
            // The job's own affair. A probe is kept until the job has found its place.
            return Failed { blame: Blame::Job, tenure, retired: false };
        };
        let blame = if met.may_be_paid { Blame::Job } else { Blame::Shared };
        match (&mut self.phase, tenure) {
            // A probe that fails for something else than the gate is closed for, and fails alone with it.
            (Phase::Closed(closed), Some(tenure)) if !in_a_row && !met.may_be_paid && closed.reason != reason => {
                // Whatever it is, the vendor does not ask to slow down any more.
                if closed.reason == Reason::Hold && reason == VENDOR && closed.held_for(now).is_zero() {
                    self.phase = Phase::ramping(Reason::Hold, 2, policy.concurrency);
                    self.opened = Some(now);
                }
                Failed { blame: Blame::Job, tenure: Some(tenure), retired: false }
            }
            (Phase::Open | Phase::Ramping { .. }, _) if !in_a_row => {
                Failed { blame: Blame::Job, tenure: None, retired: false }
            }
            (Phase::Open | Phase::Ramping { .. }, _) => {
                let mut closed = Closed::new(reason, met.message, now);
                closed.put_off(met, now, policy);
                let probes_itself = closed.keeps_its_probe(met);
                self.phase = Phase::Closed(closed);
                let tenure = if probes_itself { self.take_probe(now) } else { None };
                // That the vendor asks to slow down is found out at the cost of one attempt; those who meet it later spend none.
                let hold = reason == Reason::Hold;
                let blame = if hold { Blame::Job } else { blame };
                let timed = hold || reason == Reason::DailyLimit;
                Failed { blame, tenure, retired: !probes_itself && !timed }
            }
            (Phase::Closed(closed), Some(tenure)) => closed.probe_failed(reason, met, tenure, now, policy),
            // The ledger is asked, and an object looked at, without coming in: that is a probe as well, where one is due.
            (Phase::Closed(closed), None) if closed.is_due(now) && !matches!(met.finding, Finding::Hold(_)) => {
                self.probes += 1;
                let tenure = closed.give_probe(self.probes, now);
                closed.probe_failed(reason, met, tenure, now, policy)
            }
            (Phase::Closed(closed), None) => {
                closed.told_to_wait(met, now);
                Failed { blame, tenure: None, retired: false }
            }
        }
    }

    /// The job that probed is gone: the next one takes over.
    pub(super) fn hand_over(&mut self, number: u64) {
        if let Phase::Closed(closed) = &mut self.phase
            && self.probes == number
        {
            closed.probing = false;
        }
    }

    /// When the next try of this probe is due; `None` when it is spent.
    pub(super) fn due(&self, number: u64) -> Option<Instant> {
        self.closed().filter(|closed| closed.probing && self.probes == number).map(|closed| closed.not_before)
    }

    /// The right to probe, where the gate is closed.
    fn take_probe(&mut self, now: Instant) -> Option<Tenure> {
        let Phase::Closed(closed) = &mut self.phase else { return None };
        self.probes += 1;
        Some(closed.give_probe(self.probes, now))
    }

    fn is_full(&self, window: u16) -> bool {
        self.inside >= u32::from(window)
    }
}

// === impl Phase ===

impl Phase {
    fn ramping(over: Reason, window: u16, concurrency: u16) -> Self {
        // Slots become free one by one as the queue takes the jobs that hold them.
        if over == Reason::Queue || window >= concurrency {
            Self::Open
        } else {
            Self::Ramping { over, window, gone_well: 0 }
        }
    }
}
