//! Deliveries that are not settled yet. The only place that acks.

use super::acks::{Acks, Unacked};
use super::headers::{self, names};
use super::outbox::Receipt;
use super::session_failure::SessionFailure;
use super::watchdog::InFlight;
use antispoof_core::dropped::Dropped;
use antispoof_core::job::{NothingAsked, Properties};
use antispoof_core::ports::{Lease, LeaseLost};
use antispoof_core::retry::Attempt;
use lapin::message::Delivery;
use lapin::options::{BasicNackOptions, BasicRejectOptions};
use lapin::{Acker, BasicProperties};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Where leases arrive. Those of a lost session are dropped here: the broker delivers their messages again.
#[derive(Debug)]
pub struct Inbox {
    leases: mpsc::Receiver<JobLease>,
}

impl Inbox {
    pub(super) fn new(leases: mpsc::Receiver<JobLease>) -> Self {
        Self { leases }
    }

    /// The next lease whose session still lives; `None` when the supervisor has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<JobLease> {
        loop {
            let lease = self.leases.recv().await?;
            if lease.usable() {
                return Some(lease);
            }
        }
    }

    /// A lease that has arrived and was not taken: for drain.
    pub fn waiting(&mut self) -> Option<JobLease> {
        self.leases.try_recv().ok()
    }
}

/// A delivery that is not settled. When it is dropped unsettled, after a panic, it is rejected and the broker delivers it again.
///
/// Boxed: it passes through many hands, and the future of each would have room for it twice.
#[derive(Debug)]
pub struct JobLease(Box<Message>);

#[derive(Debug)]
struct Message {
    body: Vec<u8>,
    raw: BasicProperties,
    properties: Properties,
    /// The trace context that copies carry, where the message brought none.
    traceparent: Option<String>,
    unsettled: Option<Unsettled>,
    failure: SessionFailure,
    redelivered: bool,
    /// Why the broker took it off the job queue, where it did.
    dropped: Option<Dropped>,
    arrived_ms: i64,
    in_flight: InFlight,
    /// Runs the rejection.
    tasks: TaskTracker,
}

/// What settles a delivery, once.
#[derive(Debug)]
struct Unsettled {
    tag: u64,
    acks: Arc<Acks>,
    /// Rejects, and knows whether the channel is gone.
    acker: Acker,
}

impl JobLease {
    /// `acks` are those of the channel that it came on.
    pub(super) fn new(
        delivery: Delivery,
        acks: &Arc<Acks>,
        failure: SessionFailure,
        in_flight: InFlight,
        tasks: TaskTracker,
    ) -> Self {
        acks.delivered(delivery.delivery_tag);
        Self(Box::new(Message {
            dropped: None,
            traceparent: None,
            properties: headers::read(&delivery.properties),
            body: delivery.data,
            raw: delivery.properties,
            unsettled: Some(Unsettled { tag: delivery.delivery_tag, acker: delivery.acker, acks: acks.clone() }),
            failure,
            redelivered: delivery.redelivered,
            arrived_ms: headers::now_ms(),
            in_flight,
            tasks,
        }))
    }

    #[cfg(test)]
    pub(super) fn for_test(raw: BasicProperties) -> Self {
        Self(Box::new(Message {
            body: Vec::new(),
            properties: headers::read(&raw),
            traceparent: None,
            raw,
            unsettled: None,
            failure: SessionFailure::default(),
            redelivered: false,
            dropped: None,
            arrived_ms: 0,
            in_flight: super::watchdog::Liveness::default().delivered(),
            tasks: TaskTracker::new(),
        }))
    }

    /// The lease of a message that the broker took off the queue `jobs` by itself.
    pub(super) fn dead_letter_of(mut self, jobs: &str) -> Self {
        self.0.dropped = Some(headers::dropped(&self.0.raw, jobs));
        self
    }

    pub(super) fn traceparent(&self) -> Option<&str> {
        self.0.traceparent.as_deref()
    }

    pub(super) fn raw(&self) -> &BasicProperties {
        &self.0.raw
    }

    /// True when a worker had the message before the time of that was first written on it: the time is not known.
    pub(super) fn redelivered(&self) -> bool {
        if headers::number(&self.0.raw, names::REDELIVERED).is_some() {
            return true;
        }
        let unwritten = headers::number(&self.0.raw, names::FIRST_SEEN).is_none();
        unwritten && (self.0.redelivered || self.0.dropped == Some(Dropped::DeliveryLimit))
    }

    /// When a worker first had the message: as an earlier worker wrote on it, else when it arrived here.
    pub(super) fn first_seen_ms(&self) -> i64 {
        headers::number(&self.0.raw, names::FIRST_SEEN).unwrap_or(self.0.arrived_ms)
    }

    /// As [`Self::first_seen_ms`], for a message that this one is fanned out into. A redelivered one may have been fanned out before, at a
    /// time that is not known.
    pub(super) fn parts_first_seen_ms(&self) -> i64 {
        if self.seen_before(i64::MIN) { 0 } else { self.first_seen_ms() }
    }

    pub(super) async fn ack(self, receipt: Receipt, limit: Duration) -> Result<(), LeaseLost> {
        // The receipt is used up: it stands for one message and no other.
        drop(receipt);
        self.write_ack(limit).await
    }

    pub(super) async fn discard(self, nothing: NothingAsked, limit: Duration) -> Result<(), LeaseLost> {
        drop(nothing);
        self.write_ack(limit).await
    }

    async fn write_ack(mut self, limit: Duration) -> Result<(), LeaseLost> {
        let Some(Unsettled { tag, acks, acker }) = self.0.unsettled.take() else {
            return Err(LeaseLost);
        };
        if acker.poisoned() {
            return Err(LeaseLost);
        }
        match tokio::time::timeout(limit, acks.ack(tag)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Unacked::Ended)) => Err(LeaseLost),
            Ok(Err(Unacked::Refused(error))) => {
                self.0.failure.report(format!("ack refused: {error}"));
                Err(LeaseLost)
            }
            Err(_) => {
                self.0.failure.report(format!("ack not written within {limit:?}"));
                Err(LeaseLost)
            }
        }
    }

    pub(super) async fn requeue(mut self, limit: Duration) {
        let Some(Unsettled { tag, acks, acker }) = self.0.unsettled.take() else { return };
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        if matches!(tokio::time::timeout(limit, acker.nack(options)).await, Ok(Ok(true))) {
            acks.settled_otherwise(tag);
        } else {
            tracing::debug!("a message could not be requeued; the broker requeues it when the channel closes");
        }
    }

    fn count(&self, name: &str) -> u32 {
        headers::count(&self.0.raw, name)
    }
}

impl Lease for JobLease {
    fn trace_as(&mut self, traceparent: String) {
        self.0.traceparent = Some(traceparent);
    }

    fn body(&self) -> &[u8] {
        &self.0.body
    }

    fn properties(&self) -> &Properties {
        &self.0.properties
    }

    fn attempt(&self) -> Attempt {
        Attempt::spent(self.count(names::ATTEMPT))
    }

    fn replay(&self) -> u32 {
        self.count(names::REPLAY)
    }

    fn in_doubt(&self) -> u32 {
        self.count(names::IN_DOUBT)
    }

    fn deliveries(&self) -> u32 {
        // On a message that was not delivered before the broker writes no count: one that is there is the producer's.
        let counted = if self.0.redelivered { self.count(names::DELIVERY_COUNT) } else { 0 };
        if self.0.dropped.is_some() {
            return counted;
        }
        self.count(names::DELIVERIES).saturating_add(counted)
    }

    fn seen_before(&self, at_ms: i64) -> bool {
        self.redelivered()
            || headers::number(&self.0.raw, names::FIRST_SEEN).is_some_and(|first_seen| first_seen <= at_ms)
    }

    fn dropped(&self) -> Option<&Dropped> {
        self.0.dropped.as_ref()
    }

    fn held(&self) {
        self.0.in_flight.counts_as_ended();
    }

    fn usable(&self) -> bool {
        !self.0.failure.reported() && self.0.unsettled.as_ref().is_some_and(|unsettled| unsettled.acker.usable())
    }
}

impl Drop for JobLease {
    fn drop(&mut self) {
        let Some(Unsettled { tag, acks, acker }) = self.0.unsettled.take() else { return };
        if acker.usable()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let rejecting = async move {
                // RabbitMQ from 4.3 on does not count a nack as a delivery: a job whose handling panics would be delivered for ever.
                if matches!(acker.reject(BasicRejectOptions { requeue: true }).await, Ok(true)) {
                    acks.settled_otherwise(tag);
                } else {
                    tracing::debug!("a dropped message could not be rejected; its channel is closing");
                }
            };
            self.0.tasks.spawn_on(rejecting, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::headers::MOST_BELIEVED;
    use lapin::types::{AMQPValue, FieldTable};

    #[test]
    fn a_forged_count_is_believed_up_to_a_limit_and_breaks_no_sum() {
        for (forged, believed) in [
            (i64::MIN, 0),
            (-1, 0),
            (7, 7),
            (1_000_001, MOST_BELIEVED),
            (4_294_967_295, MOST_BELIEVED),
            (i64::MAX, MOST_BELIEVED),
        ] {
            let mut headers = FieldTable::default();
            for name in [names::ATTEMPT, names::IN_DOUBT, names::REPLAY, names::DELIVERIES, names::DELIVERY_COUNT] {
                headers.insert(name.into(), AMQPValue::LongLongInt(forged));
            }
            let mut lease = JobLease::for_test(BasicProperties::default().with_headers(headers));
            assert_eq!(lease.attempt().count(), believed);
            assert_eq!(
                (lease.in_doubt(), lease.replay(), lease.deliveries()),
                (believed, believed, believed),
                "{forged}"
            );
            lease.0.redelivered = true;
            assert_eq!(lease.deliveries(), 2 * believed, "{forged}");
        }
    }
}
