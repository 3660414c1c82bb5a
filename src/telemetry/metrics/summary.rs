//! Counts as the status page shows them.

use super::{Metrics, SETTLEMENTS};
use crate::telemetry::Copied;
use serde_json::{Value, json};

impl Metrics {
    /// Jobs that ended so: `live`, `spoof`, `review`, `failed`.
    pub fn jobs_ended(&self, outcome: &'static str) -> u64 {
        self.jobs.get_or_create(&[("outcome", outcome)]).get()
    }

    /// Jobs that are held because a queue takes no copy of them.
    pub fn copies_in_hand(&self) -> i64 {
        Copied::ALL.iter().map(|queue| self.copies_held.get_or_create(&[("queue", queue.label())]).get()).sum()
    }

    /// What was counted since the start.
    pub fn summary(&self) -> Value {
        let jobs: serde_json::Map<_, _> = ["live", "spoof", "review", "failed"]
            .into_iter()
            .map(|outcome| (outcome.to_owned(), json!(self.jobs_ended(outcome))))
            .collect();
        let settlements: serde_json::Map<_, _> = SETTLEMENTS
            .into_iter()
            .map(|kind| (kind.to_owned(), json!(self.settlements.get_or_create(&[("kind", kind)]).get())))
            .collect();
        json!({
            "jobs": jobs,
            "settlements": settlements,
            "calls": self.billable.get(),
            "calls_in_doubt": self.in_doubt.get(),
            "verdicts_reused": self.reused.get(),
            "reconnects": self.amqp_reconnects.get(),
        })
    }
}
