//! Counts as the status page shows them.

use super::{Metrics, SETTLEMENTS, SavedBy};
use crate::telemetry::Copied;
use serde_json::{Value, json};

impl Metrics {
    /// Jobs that ended so: `live`, `spoof`, `review`, `failed`.
    pub fn jobs_ended(&self, outcome: &'static str) -> u64 {
        self.jobs.get_or_create(&[("outcome", outcome)]).get()
    }

    /// Calls whose request was sent in full.
    pub fn billable_calls(&self) -> u64 {
        self.billable.get()
    }

    /// How many calls at a time are made at most, as configured or learned.
    pub fn concurrency(&self) -> i64 {
        self.concurrency_limit.get()
    }

    /// How many calls a second are made at most, as configured or learned; 0 without a limit.
    pub fn pace(&self) -> f64 {
        self.api_pace.get()
    }

    /// Calls counted today, and how many may be; 0 without a limit.
    pub fn today(&self) -> (u64, u64) {
        (self.daily_calls.get(), self.daily_call_limit.get())
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
        let saved: serde_json::Map<_, _> = SavedBy::ALL
            .into_iter()
            .map(|by| (by.label().to_owned(), json!(self.saved.get_or_create(&[("by", by.label())]).get())))
            .collect();
        let verdicts: u64 = ["live", "spoof", "review"].into_iter().map(|outcome| self.jobs_ended(outcome)).sum();
        let judged = verdicts.saturating_sub(self.reused.get());
        #[expect(clippy::cast_precision_loss, reason = "so many calls would not be paid for")]
        let (calls, of) = (self.billable.get() as f64, judged as f64);
        json!({
            "jobs": jobs,
            "settlements": settlements,
            "calls": self.billable.get(),
            "calls_per_verdict": (judged > 0).then(|| (calls / of * 1e3).round() / 1e3),
            "calls_saved": saved,
            "cost": (self.call_price > 0.0).then_some(calls * self.call_price),
            "daily_calls": self.daily_calls.get(),
            "daily_call_limit": self.daily_call_limit.get(),
            "calls_in_doubt": self.in_doubt.get(),
            "verdicts_reused": self.reused.get(),
            "reconnects": self.amqp_reconnects.get(),
        })
    }
}
