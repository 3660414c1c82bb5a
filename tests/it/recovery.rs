//! One owner of recovery: whatever happens to connections, consumer and queues, it is all built again, and every job ends.

mod connections;
mod queues;
mod start;

use crate::harness::daemon::Daemon;
use crate::harness::wait::{EVENTUALLY, eventually};

/// Waits until so many sessions have been lost, or could not be built, since the start.
async fn reconnected(daemon: &Daemon, times: f64) {
    eventually(&format!("{times} reconnects"), EVENTUALLY, async || {
        match daemon.metric("antispoofd_amqp_reconnects_total").await {
            Some(count) if count >= times => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Lines of the log that contain `text`.
fn said(daemon: &Daemon, text: &str) -> usize {
    daemon.logs().iter().filter(|line| line.contains(text)).count()
}
