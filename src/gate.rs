//! The circuit breaker between the queue and the paid call. While what a job needs is away, or refuses everybody, nothing is consumed, one job probes, and the
//! others wait without spending an attempt.
//!
//! ```text
//!                close (`State::failed`, `Gate::close`)              the probe is gone, or has tried for long enough
//!     Open ───────────────────────────> Closed, a job probes ─────────────────────────> Closed, nobody probes
//!      ^                                   │           ^                                   │
//!      │ as many at once                   │ proof     └── the next job, not before its time ──┘
//!      │ as usual                          v
//!      └────────────────────────────── Ramping: at most 2 jobs, 4, 8, … as they go well
//! ```
//!
//! | closed by | over by | probed |
//! |---|---|---|
//! | a systemic failure | an object that was opened, an image that was judged or rejected, an event that was taken: whatever that failure's stage is | `api.probe_interval`, doubling to a minute |
//! | transient failures of five different jobs in a row, of the store or of the vendor | an answer of that stage about an object or an image | every second or two |
//! | 429, or 503 with `Retry-After` | an answer about an image, when the time is up | then |
//! | `api.rejection_streak` different jobs rejected in a row | a verdict | `api.probe_interval`, with another job each time |
//! | the ledger's failure | an answer of the ledger | as a systemic failure |
//! | a queue of our own that takes nothing, when every slot is held by a job that has to go there | one of those slots that is free again | each job in hand tries every few seconds |
//!
//! After a probe that may have been paid for, the next one waits as after a systemic failure, whoever makes it.

mod closed;
mod pass;
mod reason;
mod state;
mod streak;
#[cfg(test)]
mod tests;

pub use closed::Closed;
pub use pass::{Pass, Probe};
pub use reason::{Proof, Reason};
pub use state::{Flow, State};

use antispoof_core::retry::Backoff;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// Pauses that the vendor asks for are a warning from this length on.
const WORTH_A_WARNING: Duration = Duration::from_secs(5);

/// What the settings say, for the gate.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Jobs that run at once when everything is well.
    pub concurrency: u16,
    /// So many different jobs rejected in a row close the gate; 0 = off.
    pub rejection_streak: usize,
    /// The waits between probes of what does not pass by itself, and after those that may have been paid for.
    pub probe: Backoff,
    /// A number in `0.0..1.0`.
    pub roll: fn() -> f64,
}

/// The gate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    policy: Policy,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Tells of it in the order in which it was waited for.
    changed: Notify,
}

impl Gate {
    /// An open gate.
    pub fn new(policy: Policy) -> Self {
        Self { shared: Arc::default(), policy }
    }

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

    /// Something went well, which may be the proof that what closed the gate is over.
    pub fn proof(&self, proof: impl Into<Proof>) {
        self.change(|state, now| state.proof(proof.into(), now, self.policy.concurrency));
    }

    /// Looks at the state as it is now.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state())
    }

    /// Ends at the next change of the state after this call. What may be consumed also changes with time: [`Flow::Nothing`] says when.
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

    /// Every change goes through here: whoever waits is told, and the log.
    fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let (outcome, changed, news) = {
            let mut state = self.state();
            let before = state.outlook();
            let closed = state.closed().map(|closed| (closed.reason, closed.since));
            let outcome = change(&mut state, now);
            (outcome, state.outlook() != before, News::between(closed, state.closed(), now))
        };
        if changed {
            self.shared.changed.notify_waiters();
        }
        if let Some(news) = news {
            news.tell(now);
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the log is told: once for each reason that closes the gate, and when it opens.
enum News {
    Closed { reason: Reason, message: String, held_for: Duration },
    Open { reason: Reason, since: Instant },
}

impl News {
    fn between(before: Option<(Reason, Instant)>, after: Option<&Closed>, now: Instant) -> Option<Self> {
        match (before, after) {
            (Some((reason, since)), None) => Some(Self::Open { reason, since }),
            (before, Some(closed)) if before.is_none_or(|(reason, _)| reason != closed.reason) => Some(Self::Closed {
                reason: closed.reason,
                message: closed.message.clone(),
                held_for: closed.held_for(now),
            }),
            (None | Some(_), _) => None,
        }
    }

    fn tell(self, now: Instant) {
        match self {
            Self::Open { reason, since } => {
                let seconds = (now - since).as_secs();
                tracing::info!(reason = reason.label(), seconds, "what closed the gate is over: consuming again");
            }
            Self::Closed { reason: reason @ Reason::Hold, message, held_for } => {
                let (reason_name, seconds) = (reason.label(), held_for.as_secs_f64());
                // At its limit, a vendor asks for a second of rest over and over.
                if held_for < WORTH_A_WARNING {
                    tracing::info!(
                        reason = reason_name,
                        seconds,
                        "nothing is consumed until {reason} is over, in {seconds:.1} s: {message}"
                    );
                } else {
                    tracing::warn!(
                        reason = reason_name,
                        seconds,
                        "nothing is consumed until {reason} is over, in {seconds:.1} s: {message}"
                    );
                }
            }
            Self::Closed { reason, message, .. } => {
                let what = match (message.is_empty(), reason.remedy()) {
                    (true, remedy) => remedy.to_owned(),
                    (false, "") => message,
                    (false, remedy) => format!("{message}; {remedy}"),
                };
                let reason_name = reason.label();
                if reason.may_pass() {
                    tracing::warn!(reason = reason_name, "nothing is consumed until {reason} is over: {what}");
                } else {
                    tracing::error!(reason = reason_name, "nothing is consumed until {reason} is over: {what}");
                }
            }
        }
    }
}
