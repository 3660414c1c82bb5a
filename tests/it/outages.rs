//! Services go away and come back, and every job ends as if nothing had been, paid for once.

mod account;
mod delivery;
mod ledger;
mod rejections;
mod store;
mod together;
mod vendor;

use crate::harness::daemon::Daemon;
use crate::harness::wait::{EVENTUALLY, eventually, eventually_equals};

/// Waits until the gate is closed for this reason.
async fn closed_by(daemon: &Daemon, reason: &str) {
    let series = format!("antispoofd_gate_closed{{reason=\"{reason}\"}}");
    eventually_equals(&format!("the gate to close for {reason}"), EVENTUALLY, Some(1.0), async || {
        daemon.metric(&series).await
    })
    .await;
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(0.0));
}

/// The lines of the log that say why nothing is consumed.
fn closures(daemon: &Daemon) -> Vec<String> {
    daemon.logs().into_iter().filter(|line| line.contains("nothing is consumed until ")).collect()
}

/// Waits until a counter is at least `least`.
async fn counted(daemon: &Daemon, series: &str, least: f64) {
    eventually(&format!("{series} to reach {least}"), EVENTUALLY, async || match daemon.metric(series).await {
        Some(count) if count >= least => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
