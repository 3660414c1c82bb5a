//! Weather is not blame: when the account, the settings or the broker are at fault, nobody calls until one probe has found out that it is over.
//!
//! ```text
//!           close(reason)                   handover (the probe lost its job)
//!   Open ───────────────> Closed ───────────────────────────────> Handover
//!     ^                     │  the one probe keeps its job             │ one job is consumed; it becomes the probe (close)
//!     └──────── reopen ─────┴────────────────<─────────────────────────┘ or brings the proof (reopen)
//! ```

use antispoof_core::failure::{Code, Stage};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Why nothing is consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A systemic failure.
    Failure(Code),
    /// The ledger cannot be asked (`ledger.on_error = "hold"`).
    Ledger,
}

/// What proves that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Something went well at this stage: a call that was answered, or an event that was taken.
    Stage(Stage),
    /// The ledger answered.
    Ledger,
}

/// Whether jobs may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything runs.
    Open,
    /// Nothing new is consumed; one job probes.
    Closed(Reason),
    /// Nobody probes: one job is consumed to do it.
    Handover(Reason),
}

/// The gate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
    /// How often it has been closed, so that a probe of an earlier time does not meddle. Changed only under the lock of `state`.
    closures: Arc<AtomicU64>,
}

/// The right to probe while everybody else waits. Dropped without [`Gate::reopen`] (the job was lost, or the process stops), it hands over.
#[derive(Debug)]
pub struct Probe {
    gate: Gate,
    closure: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::Open)), closures: Arc::default() }
    }
}

impl Gate {
    /// Closes the gate. The caller that gets the probe keeps its job and tries it again from time to time; `None` means that another one does.
    pub fn close(&self, reason: impl Into<Reason>) -> Option<Probe> {
        let reason = reason.into();
        let mut closure = 0;
        let was_first = self.state.send_if_modified(|state| match state {
            State::Open | State::Handover(_) => {
                *state = State::Closed(reason);
                closure = self.closures.fetch_add(1, Ordering::Relaxed) + 1;
                true
            }
            State::Closed(_) => false,
        });
        if was_first {
            let remedy = reason.remedy();
            tracing::error!(
                reason = %reason,
                remedy,
                "nothing is consumed until {reason} is over, one job finds out: {remedy}"
            );
        }
        was_first.then(|| Probe { gate: self.clone(), closure })
    }

    /// The proof that what closed the gate is over.
    pub fn reopen(&self, proof: impl Into<Proof>) {
        let proof = proof.into();
        let reopened = self.state.send_if_modified(|state| match *state {
            State::Closed(reason) | State::Handover(reason) if reason.ends_by(proof) => {
                *state = State::Open;
                true
            }
            State::Open | State::Closed(_) | State::Handover(_) => false,
        });
        if reopened {
            tracing::info!("what closed the gate is over: consuming again");
        }
    }

    /// True when a job that is not the probe may run.
    pub fn admits(&self) -> bool {
        !matches!(*self.state.borrow(), State::Closed(_))
    }

    /// The state, and its changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}

impl Probe {
    /// False once the gate has been reopened: the probe is spent.
    pub fn holds(&self) -> bool {
        matches!(*self.gate.state.borrow(), State::Closed(_)) && self.is_latest()
    }

    fn is_latest(&self) -> bool {
        self.gate.closures.load(Ordering::Relaxed) == self.closure
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.gate.state.send_if_modified(|state| match *state {
            State::Closed(reason) if self.is_latest() => {
                *state = State::Handover(reason);
                true
            }
            State::Open | State::Closed(_) | State::Handover(_) => false,
        });
    }
}

impl Reason {
    fn remedy(self) -> &'static str {
        match self {
            Self::Failure(Code::ApiUnauthorized) => {
                "check api.api_key and api.secret (or api.token), and this machine's clock"
            }
            Self::Failure(Code::ApiForbidden) => "check the account's plan and balance at the vendor, and api.url",
            Self::Failure(Code::ResultsUnroutable) => "bind a queue to the results exchange",
            Self::Failure(Code::BrokerUnavailable) => {
                "look at the queues that are bound to the results exchange: one is full, or has no leader or majority"
            }
            Self::Failure(_) => "see the failure's own message",
            Self::Ledger => "see what the ledger said, and check ledger.url or the disk of ledger.path",
        }
    }

    fn ends_by(self, proof: Proof) -> bool {
        match (self, proof) {
            (Self::Failure(code), Proof::Stage(stage)) => code.stage() == stage,
            (Self::Ledger, Proof::Ledger) => true,
            (Self::Failure(_), Proof::Ledger) | (Self::Ledger, Proof::Stage(_)) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failure(code) => code.fmt(f),
            Self::Ledger => f.write_str("the ledger's failure"),
        }
    }
}

impl From<Code> for Reason {
    fn from(code: Code) -> Self {
        Self::Failure(code)
    }
}

impl From<Stage> for Proof {
    fn from(stage: Stage) -> Self {
        Self::Stage(stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probes_and_the_right_proof_opens() {
        let gate = Gate::default();
        assert!(gate.admits());
        let probe = gate.close(Code::ApiUnauthorized).expect("the first");
        assert!(gate.close(Code::ApiForbidden).is_none(), "one probe at a time");
        assert!(!gate.admits());
        gate.reopen(Stage::Publish);
        assert!(!gate.admits(), "an event that was taken says nothing about the API");
        gate.reopen(Stage::Call);
        assert!(gate.admits());
        drop(probe);
        assert_eq!(*gate.watch().borrow(), State::Open, "a spent probe changes nothing");
    }

    #[test]
    fn a_lost_probe_is_replaced() {
        let gate = Gate::default();
        drop(gate.close(Code::ResultsUnroutable));
        assert_eq!(*gate.watch().borrow(), State::Handover(Code::ResultsUnroutable.into()));
        assert!(gate.admits(), "the next job may try");
        let _probe = gate.close(Code::ResultsUnroutable).expect("the next probe");
        gate.reopen(Stage::Publish);
        assert_eq!(*gate.watch().borrow(), State::Open);
    }

    #[test]
    fn a_spent_probe_does_not_hand_over_for_another() {
        let gate = Gate::default();
        let first = gate.close(Reason::Ledger).expect("the first");
        assert!(first.holds());
        gate.reopen(Stage::Call);
        assert!(first.holds(), "an answer of the API says nothing about the ledger");
        gate.reopen(Proof::Ledger);
        assert!(gate.admits() && !first.holds());
        let second = gate.close(Code::ApiForbidden).expect("closed anew");
        assert!(!first.holds());
        drop(first);
        assert!(!gate.admits() && second.holds());
    }
}
