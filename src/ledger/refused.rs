//! Why a shared ledger does not take steps.

/// Why a server does not take the steps of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which server, and what is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// It may pass by itself.
    pub passes: bool,
}
