//! `antispoofd run`: the worker.

use super::exit::Exit;
use super::problem::Problem;
use super::runtime;
use crate::settings::Loaded;

/// Runs the worker until it is told to stop.
pub(super) fn run(loaded: Loaded) -> Exit {
    match runtime::with_threads(loaded.settings.worker.threads) {
        Ok(_runtime) => Problem::failed(anyhow::anyhow!("run the worker: not wired yet")).report(),
        Err(problem) => problem.report(),
    }
}
