//! What the process says about itself: log lines, metrics, and the journal that writes one of each for every job.

pub mod copied;
pub mod journal;
pub mod logs;
pub mod metrics;

pub use copied::{Copied, Counted};
pub use journal::{End, Entry, Journal, KeyNames};
pub use metrics::Metrics;
