//! Deliveries as a worker sees them.

use crate::life::{Life, now};
use crate::queues::Delivery;
use antispoof_core::dropped::Dropped;
use antispoof_core::event::millis;
use antispoof_core::job::Properties;
use antispoof_core::ports::Lease;
use antispoof_core::retry::Attempt;
use antispoofd::worker::Arrivals;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) struct ModelLease {
    life: Arc<Life>,
    pub(crate) delivery: Delivery,
    pub(crate) arrived_ms: i64,
    pub(crate) settled: bool,
}

pub(crate) struct ModelInbox {
    life: Arc<Life>,
    deliveries: UnboundedReceiver<Delivery>,
}

// === impl ModelInbox ===

impl ModelInbox {
    pub(crate) fn new(life: Arc<Life>, deliveries: UnboundedReceiver<Delivery>) -> Self {
        Self { life, deliveries }
    }

    fn lease(&self, delivery: Delivery) -> ModelLease {
        ModelLease { life: self.life.clone(), delivery, arrived_ms: millis(now()), settled: false }
    }
}

impl Arrivals<ModelLease> for ModelInbox {
    async fn next(&mut self) -> Option<ModelLease> {
        loop {
            let delivery = self.deliveries.recv().await?;
            let lease = self.lease(delivery);
            if lease.usable() {
                return Some(lease);
            }
        }
    }

    fn waiting(&mut self) -> Option<ModelLease> {
        let delivery = self.deliveries.try_recv().ok()?;
        Some(self.lease(delivery))
    }
}

// === impl ModelLease ===

impl ModelLease {
    /// When it was first delivered, for a copy: before everything, where an earlier delivery was not written down.
    pub(crate) fn first_seen_ms(&self) -> i64 {
        let unwritten = if self.seen_before(i64::MIN) { i64::MIN } else { self.arrived_ms };
        self.delivery.message.first_seen_ms.unwrap_or(unwritten)
    }
}

impl Lease for ModelLease {
    fn body(&self) -> &[u8] {
        &self.delivery.message.body
    }

    fn properties(&self) -> &Properties {
        &self.delivery.message.properties
    }

    fn attempt(&self) -> Attempt {
        Attempt::spent(self.delivery.message.attempt)
    }

    fn replay(&self) -> u32 {
        self.delivery.message.replay
    }

    fn in_doubt(&self) -> u32 {
        self.delivery.message.in_doubt
    }

    fn deliveries(&self) -> u32 {
        let message = &self.delivery.message;
        if message.dropped.is_some() { message.deliveries } else { message.counted() }
    }

    fn seen_before(&self, at_ms: i64) -> bool {
        match self.delivery.message.first_seen_ms {
            Some(first_seen_ms) => first_seen_ms <= at_ms,
            None => self.delivery.message.deliveries > 0 || self.dropped() == Some(&Dropped::DeliveryLimit),
        }
    }

    fn dropped(&self) -> Option<&Dropped> {
        self.delivery.message.dropped.as_ref()
    }

    fn held(&self) {
        let Delivery { session, tag, .. } = self.delivery;
        self.life.with(|state| state.queues.held(session, tag));
    }

    fn usable(&self) -> bool {
        !self.settled && self.delivery.alive.load(Ordering::Acquire)
    }
}

impl Drop for ModelLease {
    fn drop(&mut self) {
        // As the real one: handed back, if there is still somebody to hand it to.
        if self.usable() && !self.life.is_dead() {
            self.life.with(|state| state.nack(self.delivery.session, self.delivery.tag));
            self.life.world.tell();
        }
    }
}
