//! The settings of commands that end by themselves.

use super::problem::{self, Problem};
use crate::settings::{self, Loaded, Needs, Sources};
use crate::telemetry::logs;

/// Loads what the command needs, and prints the warnings.
pub(super) fn load(needs: Needs, sources: Sources) -> Result<Loaded, Problem> {
    let loaded = settings::load_for(needs, sources).map_err(Problem::settings)?;
    loaded.warnings.iter().for_each(problem::warn);
    Ok(loaded)
}

/// A command that ends by itself reports its own problems; the libraries' logs are for who asks for them.
pub(super) fn client(loaded: Loaded) -> Result<Loaded, Problem> {
    if loaded.settings.log.rust_log.is_some() {
        logs::install(&loaded.settings.log).map_err(Problem::failed)?;
    }
    Ok(loaded)
}
