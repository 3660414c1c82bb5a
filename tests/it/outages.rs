//! Weather is not blame: services go away and come back, and every job ends as if nothing had been, paid for once.

mod account;
mod delivery;
mod store;
mod vendor;

use crate::harness::daemon::Daemon;
use crate::harness::wait::{SOON, eventually};

/// Waits until a counter is at least `least`.
async fn counted(daemon: &Daemon, series: &str, least: f64) {
    eventually(&format!("{series} to reach {least}"), SOON, async || match daemon.metric(series).await {
        Some(count) if count >= least => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
