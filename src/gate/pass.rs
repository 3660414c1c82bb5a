//! What a job in hand is to the gate.

use super::closed::Tenure;
use super::handle::Gate;
use super::reason::{Met, Proof, Reason};
use super::state::{Entered, State};
use antispoof_core::failure::Failure;
use antispoof_core::plan::Blame;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A job that finds the gate closed waits so long in hand: a short fault is over by then, and the way through a delay queue takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A job that has probed for as often as it may waits so long in hand for the end of an outage.
const LONGEST_LINGER: Duration = Duration::from_mins(5);

/// A probe that is due later than this goes back and leaves it to another job.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// One delivery of a job before the gate. It comes in for each try and leaves after it; dropped, it leaves and hands over the probe where it has it.
#[derive(Debug)]
pub struct Pass {
    gate: Gate,
    job: String,
    inside: bool,
    probe: Option<Probe>,
    /// It has probed for as often as it may: another job is to do it.
    pub(super) retired: bool,
    /// Until then it waits at a closed gate.
    patience: Option<Instant>,
}

/// The right to probe while all other jobs wait. Dropped, it is handed over to the next job that comes.
#[derive(Debug)]
pub struct Probe {
    gate: Gate,
    tenure: Tenure,
}

impl Gate {
    /// What the job with this id is to the gate: for one delivery of it.
    pub fn pass(&self, job: &str) -> Pass {
        Pass::new(self.clone(), job)
    }

    /// Closes the gate for a failure that the caller itself tries to end. Who gets the probe keeps it as long as it tries; `None` means that another one probes.
    pub fn close(&self, reason: impl Into<Reason>, message: &str) -> Option<Probe> {
        let tenure = self.change(|state, now| state.close(reason.into(), message, now));
        tenure.map(|tenure| Probe::new(self.clone(), tenure))
    }

    /// As [`Gate::close`], unless `probe` is still good: for a caller that has failed once more.
    pub fn keep_closed(&self, probe: &mut Option<Probe>, reason: impl Into<Reason>, message: &str) {
        if !probe.as_ref().is_some_and(Probe::holds) {
            *probe = self.close(reason, message);
        }
    }
}

impl Pass {
    fn new(gate: Gate, job: &str) -> Self {
        Self { gate, job: job.to_owned(), inside: false, probe: None, retired: false, patience: None }
    }

    /// Comes in, if the gate is open, or if this job is the one that probes, or the first that may. False: not now.
    pub fn enter(&mut self) -> bool {
        if self.may_go_on() {
            return true;
        }
        if self.probes() || self.retired && !self.gate.read(State::is_open) {
            return false;
        }
        // It may have been closed since this job came in, and be this job's to probe now.
        self.leave();
        match self.gate.change(State::enter) {
            Entered::No => return false,
            Entered::Running => {}
            Entered::Probing(tenure) => self.probe = Some(Probe::new(self.gate.clone(), tenure)),
        }
        self.inside = true;
        self.patience = None;
        true
    }

    /// False for a job that is inside when the gate has been closed since, and for a probe that has to wait.
    pub fn may_go_on(&self) -> bool {
        match &self.probe {
            Some(probe) if probe.holds() => probe.due().is_some_and(|due| due <= Instant::now()),
            _ => self.inside && self.gate.read(State::is_open),
        }
    }

    /// A try is over. The probe, if this job has it, stays with it.
    pub fn leave(&mut self) {
        if std::mem::take(&mut self.inside) {
            self.gate.change(|state, _| state.leave());
        }
    }

    /// Something went well.
    pub fn proof(&self, proof: impl Into<Proof>) {
        self.gate.proof(proof);
    }

    /// A try has failed. Says whether the job is to blame: if not, it spends no attempt.
    pub fn failed(&mut self, failure: &Failure) -> Blame {
        self.met(failure.into())
    }

    /// The ledger cannot be asked, and nothing may be paid for without it.
    pub fn ledger_is_away(&mut self) {
        self.met(Met::LEDGER_AWAY);
    }

    /// The day has had its calls, and the next one begins in so long.
    pub fn daily_limit_is_reached(&mut self, resumes_in: Duration, message: &str) {
        self.met(Met::daily_limit(resumes_in, message));
    }

    /// Waits until this job may try again: as the probe, or because the gate is open. False: it should go back, another one finds out. Cancel safe.
    pub async fn again(&mut self) -> bool {
        let gate = self.gate.clone();
        let began = Instant::now();
        let mut lingers = None;
        loop {
            let changed = gate.changed();
            let now = Instant::now();
            let (from, limit) = match self.probe.as_ref().and_then(Probe::due) {
                Some(due) => (Some(due), now + LONGEST_WAIT),
                None if self.retired && !gate.read(State::is_open) => {
                    if lingers.is_none() {
                        lingers = Lingers::at(&gate);
                    }
                    if lingers.is_none() {
                        return false;
                    }
                    (None, began + LONGEST_LINGER)
                }
                None => {
                    let limit = *self.patience.get_or_insert(now + PATIENCE);
                    (gate.read(|state| state.admits_from(now)), limit)
                }
            };
            if from.is_some_and(|from| from <= now) {
                return true;
            }
            if limit <= now || from.is_some_and(|from| from > limit) {
                return false;
            }
            // Whichever it was, the next look tells.
            drop(timeout_at(from.unwrap_or(limit), changed).await);
        }
    }

    fn met(&mut self, met: Met<'_>) -> Blame {
        let held = self.probe.take_if(|probe| probe.holds());
        let tenure = held.as_ref().map(|probe| probe.tenure);
        let policy = self.gate.policy;
        let failed = self.gate.change(|state, now| state.failed(&self.job, met, tenure, now, &policy));
        self.retired |= failed.retired;
        match (held, failed.tenure) {
            (Some(probe), Some(tenure)) => self.probe = Some(probe.with(tenure)),
            (None, Some(tenure)) => self.probe = Some(Probe::new(self.gate.clone(), tenure)),
            // Given up already, so that dropping it changes nothing.
            (_, None) => {}
        }
        failed.blame
    }

    fn probes(&self) -> bool {
        self.probe.as_ref().is_some_and(Probe::holds)
    }
}

/// A job that waits in hand for the end of an outage, and does not probe.
struct Lingers<'a>(&'a Gate);

impl<'a> Lingers<'a> {
    fn at(gate: &'a Gate) -> Option<Self> {
        gate.change(|state, _| state.linger(gate.policy.concurrency)).then(|| Self(gate))
    }
}

impl Drop for Lingers<'_> {
    fn drop(&mut self) {
        self.0.change(|state, _| state.linger_no_more());
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Probe {
    fn new(gate: Gate, tenure: Tenure) -> Self {
        Self { gate, tenure }
    }

    /// False once the gate has been opened: the probe is spent.
    pub fn holds(&self) -> bool {
        self.due().is_some()
    }

    fn due(&self) -> Option<Instant> {
        self.gate.read(|state| state.due(self.tenure.number))
    }

    fn with(mut self, tenure: Tenure) -> Self {
        self.tenure = tenure;
        self
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.gate.change(|state, _| state.hand_over(self.tenure.number));
    }
}
