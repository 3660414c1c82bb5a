//! The runtimes that commands run on.

use super::exit::Exit;
use super::problem::Problem;
use anyhow::Context as _;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// One thread is the cheapest for each job: nothing is handed from core to core.
pub(super) fn with_threads(threads: u16) -> io::Result<Runtime> {
    if threads == 1 {
        Builder::new_current_thread().enable_all().build()
    } else {
        Builder::new_multi_thread().worker_threads(usize::from(threads)).enable_all().build()
    }
}

/// Runs a command that is no daemon.
pub(super) fn block_on(command: impl Future<Output = Result<Exit, Problem>>) -> Result<Exit, Problem> {
    block_on_value(command)?
}

/// Runs a part of a command that is no daemon.
pub(super) fn block_on_value<T>(part: impl Future<Output = T>) -> Result<T, Problem> {
    let runtime = with_threads(1).context("start the runtime")?;
    let ended = runtime.block_on(part);
    // A read of stdin cannot be interrupted, and is not waited for.
    runtime.shutdown_background();
    Ok(ended)
}
