//! The runtimes that commands run on.

use super::exit::Exit;
use super::problem::Problem;
use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// One thread is the cheapest per job: no work moves between cores.
pub(super) fn with_threads(threads: u16) -> Result<Runtime, Problem> {
    let mut builder = if threads <= 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(usize::from(threads));
    }
    Ok(builder.enable_all().build().context("start the runtime")?)
}

/// Runs a command that is no daemon.
pub(super) fn block_on(command: impl Future<Output = Result<Exit, Problem>>) -> Result<Exit, Problem> {
    let runtime = with_threads(1)?;
    let ended = runtime.block_on(command);
    // A read of stdin cannot be interrupted; nobody waits for it.
    runtime.shutdown_background();
    ended
}
