//! Weather is not blame: when the account, the settings or the broker are at fault, nobody calls until one probe has found out that it is over.
//!
//! ```text
//!            close(code)                    handover (the probe lost its job)
//!   Open ───────────────> Closed ───────────────────────────────> Handover
//!     ^                     │  the one probe keeps its job             │ one job is consumed; it becomes the probe (close)
//!     └──────── reopen ─────┴────────────────<─────────────────────────┘ or brings the proof (reopen)
//! ```

use antispoof_core::failure::{Code, Stage};
use std::sync::Arc;
use tokio::sync::watch;

/// Whether jobs may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything runs.
    Open,
    /// Nothing new is consumed; one job probes.
    Closed(Code),
    /// Nobody probes: one job is consumed to do it.
    Handover(Code),
}

/// The gate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
}

/// The right to probe while everybody else waits. Dropped without [`Gate::reopen`] (the job was lost, or the process stops), it hands over.
#[derive(Debug)]
pub struct Probe {
    gate: Gate,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::Open)) }
    }
}

impl Gate {
    /// Closes the gate. The caller that gets the probe keeps its job and tries it again from time to time; `None` means that another one does.
    pub fn close(&self, code: Code) -> Option<Probe> {
        let was_first = self.state.send_if_modified(|state| match state {
            State::Open | State::Handover(_) => {
                *state = State::Closed(code);
                true
            }
            State::Closed(_) => false,
        });
        if was_first {
            let remedy = remedy(code);
            tracing::error!(
                code = code.name(),
                remedy,
                "nothing is consumed until {code} is over, one job finds out: {remedy}"
            );
        }
        was_first.then(|| Probe { gate: self.clone() })
    }

    /// The proof that what closed the gate is over: a call that was answered, or an event that was taken.
    pub fn reopen(&self, proof: Stage) {
        let reopened = self.state.send_if_modified(|state| match *state {
            State::Closed(code) | State::Handover(code) if code.stage() == proof => {
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

fn remedy(code: Code) -> &'static str {
    match code {
        Code::ApiUnauthorized => "check api.api_key and api.secret (or api.token), and this machine's clock",
        Code::ApiForbidden => "check the account's plan and balance at the vendor, and api.url",
        Code::ResultsUnroutable => "bind a queue to the results exchange",
        _ => "see the failure's own message",
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.gate.state.send_if_modified(|state| match *state {
            State::Closed(code) => {
                *state = State::Handover(code);
                true
            }
            State::Open | State::Handover(_) => false,
        });
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
        assert_eq!(*gate.watch().borrow(), State::Handover(Code::ResultsUnroutable));
        assert!(gate.admits(), "the next job may try");
        let _probe = gate.close(Code::ResultsUnroutable).expect("the next probe");
        gate.reopen(Stage::Publish);
        assert_eq!(*gate.watch().borrow(), State::Open);
    }
}
