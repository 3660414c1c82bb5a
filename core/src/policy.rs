//! What the operator decides about the ledger. The settings are read into these types, and the pipeline follows them.

use serde::Deserialize;

/// Which verdicts are given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reuse {
    /// None once its event is confirmed.
    Off,
    /// The job's own.
    Job,
    /// Also that of another job on the same content.
    Object,
}

/// What to do while the ledger cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLedgerError {
    /// Nothing is paid for.
    Hold,
    /// Work without it; a job that comes again is paid for again.
    Proceed,
}
