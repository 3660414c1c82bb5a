//! Jobs in hand that wait for a queue that takes nothing.

use crate::gate::{Gate, Proof};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How many jobs are in hand because a queue takes no copy of them.
#[derive(Debug, Default)]
pub struct Stuck {
    jobs: AtomicUsize,
    changed: Notify,
}

/// One of them.
pub(super) struct StuckJob<'a> {
    stuck: &'a Stuck,
    gate: &'a Gate,
}

impl Stuck {
    pub(super) fn one_more<'a>(&'a self, gate: &'a Gate) -> StuckJob<'a> {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
        StuckJob { stuck: self, gate }
    }

    /// Ends when there are not so many any more, or others. Cancel safe.
    pub async fn not(&self, so_many: usize) {
        loop {
            let changed = self.changed.notified();
            if self.count() != so_many {
                return;
            }
            changed.await;
        }
    }

    /// Ends when their number changes.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.jobs.load(Ordering::Relaxed)
    }
}

impl Drop for StuckJob<'_> {
    fn drop(&mut self) {
        self.stuck.jobs.fetch_sub(1, Ordering::Relaxed);
        self.stuck.changed.notify_waiters();
        self.gate.proof(Proof::Slot);
    }
}
