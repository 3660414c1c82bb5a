//! `antispoofd run`: the worker daemon.

use super::problem::{self, Problem};
use super::runtime;
use crate::app::{self, StartError};
use crate::settings::Loaded;
use crate::telemetry::logs;
use crate::worker::Drained;
use std::hint::black_box;
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
    /// The worker.
    #[error(transparent)]
    App(#[from] app::Error),
    /// Jobs were in flight when the time was up or a second signal came.
    #[error("stopped with jobs in flight, the broker delivers them again")]
    Cut,
}

impl RunError {
    /// What to do about it, where the message does not say so itself.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::App(app::Error::Start(error)) => error.remedy(),
            _ => None,
        }
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::App(app::Error::Start(StartError::Broker(error))) => error.into(),
            // It names its remedy, and passes with other settings only.
            RunError::App(app::Error::Start(error @ StartError::LedgerStore(_))) => Self::wrong_setting(error),
            error => {
                let remedy = error.remedy();
                Self::failed(error).maybe_hint(remedy)
            }
        }
    }
}

/// Of what jobs free, twice so much stays with the process, in bytes.
const KEPT: usize = 4 * 1024 * 1024;

/// What one job frees the next one needs. glibc returns free memory at the top of its heap from 128 KiB on and asks for it again, page by page: a tenth
/// of the CPU of a small job. It takes that limit, twice, from the largest block that it has had mapped and freed (mallopt(3), `M_MMAP_THRESHOLD`).
/// Nothing of the block is ever touched. Other allocators take no notice.
fn keep_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(KEPT)));
}

/// Runs until a signal.
pub fn run(loaded: Loaded) -> Result<(), RunError> {
    let rows = loaded.redacted().to_vec();
    let Loaded { settings, warnings, .. } = loaded;
    logs::install(&settings.log)?;
    for warning in &warnings {
        problem::warn(warning);
    }
    keep_freed_memory();
    let runtime = runtime::with_threads(settings.worker.threads).map_err(RunError::Runtime)?;
    let ended = runtime.block_on(app::run(settings, rows));
    // A name server or a disk that does not answer holds a thread that cannot be interrupted; everything that has to be finished is.
    runtime.shutdown_background();
    match ended? {
        Drained::Whole => Ok(()),
        Drained::Cut => Err(RunError::Cut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;
    use crate::lifecycle::{How, UnexpectedEnd};

    #[test]
    fn a_task_that_ended_is_exit_code_1() {
        let end = UnexpectedEnd { task: "admin", how: How::Panicked("of 7".to_owned()) };
        let error = RunError::from(app::Error::Task(end));
        assert_eq!(error.to_string(), "the task \"admin\" panicked (of 7) while the worker was running");
        assert_eq!(Problem::from(error).report(), Exit::Failed);
    }
}
