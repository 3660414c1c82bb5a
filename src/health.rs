//! What `/livez`, `/readyz` and `/startupz` are made of. The metrics of the same facts are for people; nothing decides by them.

use crate::gate::Gate;
use crate::lifecycle::Stop;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// A named check and whether it passes.
pub type Check = (&'static str, bool);

/// The state of the worker, as far as an orchestrator's probes ask for it.
#[derive(Debug)]
pub struct Health {
    connected: AtomicBool,
    consuming: AtomicBool,
    has_consumed: AtomicBool,
    isolated: AtomicBool,
    gate: Gate,
    stop: Stop,
}

impl Health {
    /// A worker that has not connected yet.
    pub fn new(gate: Gate, stop: Stop) -> Self {
        let no = || AtomicBool::new(false);
        Self { connected: no(), consuming: no(), has_consumed: no(), isolated: no(), gate, stop }
    }

    /// Whether there is a session with the broker.
    pub fn connected(&self, up: bool) {
        self.connected.store(up, Ordering::Relaxed);
    }

    /// Whether the consumer of the job queue is registered.
    pub fn consuming(&self, on: bool) {
        self.consuming.store(on, Ordering::Relaxed);
        if on {
            self.has_consumed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether consumption is paused for a job that is run with nothing beside it.
    pub fn isolated(&self, on: bool) {
        self.isolated.store(on, Ordering::Relaxed);
    }

    /// Alive as long as it answers at all: restarting the process helps neither broker, store nor API.
    pub fn liveness(&self) -> [Check; 1] {
        [("process", true)]
    }

    /// Ready when connected, consuming (or paused on purpose: by the gate, or for a job that is run alone) and not draining.
    pub fn readiness(&self) -> [Check; 3] {
        let by_the_gate = self.gate.read(|state| state.excuses_idleness(Instant::now()));
        let paused_on_purpose = by_the_gate || self.isolated.load(Ordering::Relaxed);
        [
            ("amqp-connected", self.connected.load(Ordering::Relaxed)),
            ("amqp-consuming", paused_on_purpose || self.consuming.load(Ordering::Relaxed)),
            ("not-draining", !self.stop.soft().is_cancelled()),
        ]
    }

    /// Started once the first consumer has been registered.
    pub fn startup(&self) -> [Check; 1] {
        [("consumer-registered", self.has_consumed.load(Ordering::Relaxed))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Policy, Reason};
    use antispoof_core::failure::Stage;
    use antispoof_core::retry::Backoff;
    use std::time::Duration;

    fn health() -> (Health, Gate, Stop) {
        let probe = Backoff::try_new(Duration::from_secs(5), Duration::from_mins(1)).expect("valid");
        let gate = Gate::new(Policy { concurrency: 16, rejection_streak: 0, probe, roll: || 0.5 });
        let stop = Stop::new();
        (Health::new(gate.clone(), stop.clone()), gate, stop)
    }

    fn failing(checks: &[Check]) -> Vec<&'static str> {
        checks.iter().filter(|(_, good)| !good).map(|(name, _)| *name).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn ready_is_connected_and_consuming_and_not_draining() {
        let (health, _gate, stop) = health();
        assert_eq!(failing(&health.readiness()), ["amqp-connected", "amqp-consuming"]);
        assert_eq!(failing(&health.startup()), ["consumer-registered"]);
        health.connected(true);
        health.consuming(true);
        assert!(failing(&health.readiness()).is_empty() && failing(&health.startup()).is_empty());
        health.consuming(false);
        assert_eq!(failing(&health.readiness()), ["amqp-consuming"]);
        assert!(failing(&health.startup()).is_empty(), "started for good");
        health.isolated(true);
        assert!(failing(&health.readiness()).is_empty(), "paused on purpose");
        stop.soft().cancel();
        assert_eq!(failing(&health.readiness()), ["not-draining"]);
        assert!(failing(&health.liveness()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_is_ready() {
        let (health, gate, _stop) = health();
        health.connected(true);
        let _probe = gate.close(Reason::Outage(Stage::Call), "the vendor is away");
        assert!(failing(&health.readiness()).is_empty());
    }
}
