//! One message from its delivery to its settlement.
//!
//! ```text
//!   decode → claim → [ guards → open → inspect → guards → (convert → guards) → intent → call ]* → record → publish → ack
//!                    └──────────── quick tries, never after a call that may have been paid for ────────────┘
//! ```
//!
//! Until the intent is on record, stopping drops everything and requeues the job; from there on the call runs to its end.
//!
//! Three owners: `delivery` is the message in hand, its copies and its events; `job_run` is the state of the job that it asks for, with `life` as its
//! path; `check_image` with `convert`, `claim` and `prior_result`, and `record` are the steps of that path.

mod check_image;
mod claim;
mod convert;
mod copies;
mod daily_limit;
mod dead_letter;
mod delivery;
mod head;
mod inspect;
mod intake;
mod job_run;
mod keys;
mod ledger_client;
mod life;
mod parts;
mod prior_result;
mod record;
mod stuck;

pub use convert::LONGEST_READ;
pub use head::HeadMemory;
pub use keys::{ledger_key, object_key};
pub use ledger_client::LedgerClient;
pub use parts::{ClockAndRng, Lease, Pipeline, Rules, SUSPECT};
pub use stuck::Stuck;
