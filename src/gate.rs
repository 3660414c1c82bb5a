//! The circuit breaker between the queue and the paid call. While what a job needs is away, or refuses every job, nothing is consumed, one job probes, and the
//! others wait without spending an attempt.
//!
//! ```text
//!                close (`State::failed`, `Gate::close`)              the probe is gone, or has tried for long enough
//!     Open ───────────────────────────> Closed, a job probes ─────────────────────────> Closed, no job probes
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
//! | `api.daily_call_limit` calls on one day (UTC) | a call that is counted again | at midnight UTC, and every 5 minutes before |
//! | the ledger's failure | an answer of the ledger | as a systemic failure |
//! | a queue of our own that takes nothing, when every slot is held by a job that has to go there | one of those slots that is free again | each job in hand tries every few seconds |
//!
//! After a probe that may have been paid for, the next one waits as after a systemic failure, whichever job makes it.

mod closed;
mod handle;
mod pass;
mod policy;
mod reason;
mod state;
mod streak;
#[cfg(test)]
mod tests;
mod transition;

pub use closed::Closed;
pub use handle::Gate;
pub use pass::{Pass, Probe};
pub use policy::Policy;
pub use reason::{Proof, Reason};
pub use state::{Flow, State};
