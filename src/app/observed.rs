//! The broker's client, as metrics and probes see it.

use crate::amqp::{Consumed, Observer, Product};
use crate::health::Health;
use crate::telemetry::Metrics;
use antispoof_core::dropped::Dropped;
use std::sync::Arc;
use std::time::Duration;

/// What the broker's client reports, for the metrics and for the probes.
pub(super) struct Observed {
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
}

impl Observer for Observed {
    fn connected(&self, up: bool) {
        self.health.connected(up);
        self.metrics.amqp_connected.set(up.into());
        if up {
            self.metrics.recent.broker(None);
        } else {
            self.metrics.amqp_blocked.set(0);
        }
    }

    fn met(&self, broker: &Product) {
        self.metrics.broker_is(broker.name(), broker.version());
    }

    fn reconnecting(&self, reason: &str) {
        self.metrics.recent.broker(Some(reason));
        self.metrics.amqp_reconnects.inc();
    }

    fn delivered(&self, redelivered: bool) {
        let label = if redelivered { "true" } else { "false" };
        self.metrics.deliveries.get_or_create(&[("redelivered", label)]).inc();
    }

    fn cut(&self, queue: Consumed) {
        let queue = match queue {
            Consumed::Jobs => "jobs",
            Consumed::Dead => "dead",
        };
        self.metrics.amqp_cut.get_or_create(&[("queue", queue)]).inc();
    }

    fn dead_letter(&self, dropped: &Dropped) {
        self.metrics.dropped_by_broker.get_or_create(&[("reason", dropped.label())]).inc();
    }

    fn reading_dead_letters(&self, on: bool) {
        self.metrics.amqp_reading_dead.set(on.into());
    }

    fn blocked(&self, blocked: bool) {
        self.metrics.amqp_blocked.set(blocked.into());
    }

    fn consuming(&self, on: bool) {
        self.health.consuming(on);
        self.metrics.amqp_consuming.set(on.into());
    }

    fn published(&self, took: Duration) {
        self.metrics.amqp_publish.observe(took.as_secs_f64());
    }

    fn late(&self, waiting: bool) {
        self.metrics.amqp_late.inc_by(if waiting { 1 } else { -1 });
    }
}
