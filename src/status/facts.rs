//! Everything that the sentence is made of, at one moment.

use super::recorder::Lately;
use super::sources::Sources;
use crate::amqp::Depth;
use crate::gate::Reason;
use crate::telemetry::{Failures, Trouble};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The facts.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all can hold at once")]
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) stopping: bool,
    pub(super) connected: bool,
    pub(super) consuming: bool,
    /// A job runs with nothing beside it.
    pub(super) alone: bool,
    /// An alarm of the broker blocks publishing.
    pub(super) blocked: bool,
    /// Confirms that are late.
    pub(super) late: i64,
    /// Why there is no session with the broker.
    pub(super) broker: Option<Trouble>,
    /// What the ledger said.
    pub(super) ledger: Option<Trouble>,
    pub(super) gate: Option<ClosedGate>,
    pub(super) in_flight: i64,
    /// How many may be.
    pub(super) limit: i64,
    pub(super) waiting: Option<u32>,
    pub(super) depths: Vec<Depth>,
    pub(super) held: i64,
    /// Calls a second, at most; 0 where there is no limit.
    pub(super) pace: f64,
    /// Calls counted today, and how many may be; 0 where there is no limit.
    pub(super) today: (u64, u64),
    pub(super) lately: Lately,
    /// Codes with failures in the last hour, the most frequent first.
    pub(super) failures: Vec<(u32, Failures)>,
}

/// Why the gate is closed.
#[derive(Clone, Debug)]
pub(super) struct ClosedGate {
    /// As in the metrics.
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) remedy: &'static str,
    pub(super) since: SystemTime,
    /// It passes by itself.
    pub(super) may_pass: bool,
    /// No call is made before this.
    pub(super) until: Option<SystemTime>,
}

impl Facts {
    pub(super) fn gather(sources: &Sources, now: SystemTime) -> Self {
        let metrics = &sources.metrics;
        let gate = sources.gate.read(|state| {
            state.closed().map(|closed| ClosedGate {
                reason: closed.reason.label(),
                message: closed.message.clone(),
                remedy: closed.reason.remedy(),
                since: ago(now, Instant::now().saturating_duration_since(closed.since)),
                may_pass: matches!(closed.reason, Reason::Hold | Reason::DailyLimit),
                until: Some(closed.held_for(Instant::now())).filter(|held| !held.is_zero()).map(|held| now + held),
            })
        });
        Self {
            stopping: sources.stop.soft().is_cancelled(),
            connected: metrics.amqp_connected.get() > 0,
            consuming: metrics.amqp_consuming.get() > 0,
            alone: metrics.alone_now.get() > 0,
            blocked: metrics.amqp_blocked.get() > 0,
            late: metrics.amqp_late.get(),
            broker: metrics.recent.broker_trouble(),
            ledger: metrics.recent.ledger_trouble(),
            gate,
            in_flight: metrics.in_flight.get(),
            limit: metrics.concurrency(),
            waiting: sources.broker.waiting(),
            depths: sources.broker.depths(),
            held: metrics.copies_in_hand(),
            pace: metrics.pace(),
            today: metrics.today(),
            lately: sources.recorder.lately(),
            failures: metrics.recent.failures(now),
        }
    }

    /// Messages that wait in this queue.
    pub(super) fn ready(&self, queue: &str) -> Option<u32> {
        self.depths.iter().find(|depth| depth.queue == queue)?.ready
    }
}

fn ago(now: SystemTime, elapsed: Duration) -> SystemTime {
    now.checked_sub(elapsed).unwrap_or(SystemTime::UNIX_EPOCH)
}
