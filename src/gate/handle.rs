//! The gate as all parts of the process share it: one state, and who waits for it to change.

use super::policy::Policy;
use super::reason::Proof;
use super::state::State;
use super::transition::Transition;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// The gate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    pub(super) policy: Policy,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the tasks that wait for a change.
    changed: Notify,
}

impl Gate {
    /// An open gate.
    pub fn new(policy: Policy) -> Self {
        Self { shared: Arc::default(), policy }
    }

    /// Something went well, which may be the proof that what closed the gate is over.
    pub fn proof(&self, proof: impl Into<Proof>) {
        self.change(|state, now| state.proof(proof.into(), now, self.policy.concurrency));
    }

    /// Reads the state as it is now.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state())
    }

    /// Ends at the next change of the state after this call. What may be consumed also changes with time: [`Flow::Nothing`](super::state::Flow::Nothing) says when.
    pub fn changed(&self) -> Notified<'_> {
        self.shared.changed.notified()
    }

    /// For the log of a job that does not come in.
    pub fn why_closed(&self) -> String {
        match self.state().closed() {
            Some(closed) => format!("the gate is closed ({})", closed.reason.label()),
            None => "the gate was closed when it came".to_owned(),
        }
    }

    /// How many jobs run at once when everything is well.
    pub fn slots(&self) -> usize {
        self.policy.concurrency.into()
    }

    /// For how long no call is made because the vendor asks for it.
    pub fn held_for(&self) -> Duration {
        self.state().closed().map_or(Duration::ZERO, |closed| closed.held_for(Instant::now()))
    }

    /// Every change goes through here: the tasks that wait are woken, and the log has a line.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let (outcome, changed, transition) = {
            let mut state = self.state();
            let before = state.outlook();
            let closed = state.closed().map(|closed| (closed.reason, closed.since));
            let outcome = change(&mut state, now);
            (outcome, state.outlook() != before, Transition::between(closed, state.closed(), now))
        };
        if changed {
            self.shared.changed.notify_waiters();
        }
        if let Some(transition) = transition {
            transition.log(now);
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
