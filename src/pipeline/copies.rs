//! Copies into queues of our own, and what happens while such a queue takes nothing.

use super::delivery::{Delivery, RESULT_HOLD, Unpublished, fault, status};
use super::parts::{Pipeline, Receipt};
use crate::gate::Reason;
use crate::telemetry::Copied;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::{Broker, Lease as _, Ports, PublishError, Spent};
use std::future::Future;
use tokio::time::{Instant, sleep};

impl<P: Ports> Delivery<'_, P> {
    /// Into the delay queue with index `tier`; or into another, when that one takes nothing.
    pub(super) async fn delay(
        &self,
        tier: usize,
        spent: Spent,
        why: Option<&Failure>,
    ) -> Result<Receipt<P>, Unpublished> {
        let Pipeline { broker, rules, .. } = self.pipeline;
        let queue = if self.lease.dropped().is_some() { Copied::Dead } else { Copied::Retry };
        let tier = |refused| rules.policy.tier_instead(tier, refused);
        self.persist(queue, |refused| broker.defer(&self.lease, tier(refused), spent, why)).await
    }

    /// Publishes a replacement, for as long as the lease is ours. `publish` gets the number of tries that failed by the fault of the queue. Other jobs go on
    /// while there are slots; when the last one is held like this, the gate closes.
    pub(super) async fn persist<F>(
        &self,
        queue: Copied,
        publish: impl Fn(usize) -> F,
    ) -> Result<Receipt<P>, Unpublished>
    where
        F: Future<Output = Result<Receipt<P>, PublishError>>,
    {
        let Pipeline { gate, ledger, rules, clock_and_rng, stuck: all_stuck, log, stop, .. } = self.pipeline;
        let (lease, metrics) = (&self.lease, log.metrics());
        let since = Instant::now();
        let (mut probe, mut stuck, mut counted, mut refused) = (None, None, None, 0);
        for tries in 0.. {
            if !lease.usable() {
                break;
            }
            let error = match publish(refused).await {
                Ok(receipt) => {
                    metrics.copied(queue, "confirmed");
                    return Ok(receipt);
                }
                Err(error) => error,
            };
            metrics.copied(queue, status(&error));
            self.log_copy_held(tries, queue, &error);
            if let Some(code) = fault(&error) {
                refused += usize::from(code == Code::BrokerUnavailable);
                counted.get_or_insert_with(|| metrics.stuck(queue));
                // A dead letter holds no slot.
                if lease.dropped().is_none() {
                    if stuck.is_none() {
                        lease.held();
                        stuck = Some(all_stuck.one_more(gate));
                    }
                    if all_stuck.count() >= gate.slots() {
                        gate.keep_closed(&mut probe, Reason::Queue, &error.to_string());
                    }
                }
            }
            // Its result is on record, and the next delivery finds it again.
            let on_record = lease.dropped().is_some() || queue == Copied::Parked && ledger.remembers();
            if on_record && (since.elapsed() > RESULT_HOLD || stop.soft().is_cancelled()) {
                return Err(Unpublished::Held);
            }
            sleep(rules.publish.wait(tries, (clock_and_rng.random)())).await;
        }
        Err(Unpublished::LeaseLost)
    }

    /// Logs the first try and then ever fewer.
    fn log_copy_held(&self, tries: u32, queue: Copied, error: &PublishError) {
        if (tries + 1).is_power_of_two() {
            let (tries, queue, job) = (tries + 1, queue.label(), self.record.job());
            tracing::warn!(queue, %error, tries, "job {job}: its copy for the {queue} queue is held: {error}");
        }
    }
}
