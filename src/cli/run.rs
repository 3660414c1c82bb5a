//! `antispoofd run`: the worker daemon.

use super::runtime;
use crate::app;
use crate::ledger::OpenError;
use crate::settings::Settings;
use crate::telemetry::logs;
use crate::worker::Drained;
use std::io;

/// What the daemon ends with when it was not asked to end, or not in peace.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log.
    #[error(transparent)]
    Log(#[from] logs::LogError),
    /// The runtime.
    #[error("start the runtime: {0}")]
    Runtime(io::Error),
    /// The parts.
    #[error(transparent)]
    Start(#[from] app::StartError),
    /// Jobs were in flight when the time was up or a second signal came.
    #[error("stopped with jobs in flight, the broker delivers them again")]
    Cut,
}

impl RunError {
    /// What to do about it, where the message does not say so itself.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        use app::StartError;
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        match self {
            Self::Start(StartError::Admin { source, .. }) => Some(match source.kind() {
                AddrInUse => {
                    "another process has this port, as a second worker on this machine would: give each its own admin.listen, or port 0"
                }
                AddrNotAvailable => "this machine has no such address: correct admin.listen; 0.0.0.0 is every address",
                PermissionDenied => "ports below 1024 are for root: choose a higher one in admin.listen",
                _ => "correct admin.listen",
            }),
            Self::Start(StartError::LedgerFile(OpenError::Io { .. })) => Some(
                "let the user that runs antispoofd write to the file and its folder, or correct ledger.path; `antispoofd check --connect` tries it",
            ),
            _ => None,
        }
    }
}

/// Runs until a signal.
pub fn run(settings: Settings) -> Result<(), RunError> {
    logs::install(&settings.log)?;
    let runtime = runtime::with_threads(settings.worker.threads).map_err(RunError::Runtime)?;
    match runtime.block_on(app::run(settings))? {
        Drained::Whole => Ok(()),
        Drained::Cut => Err(RunError::Cut),
    }
}
