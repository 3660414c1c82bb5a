//! The message in hand: its copies, its events, and its settlement. Nothing is acked without a receipt for what replaces it.

use super::parts::{Lease, Pipeline, Receipt};
use crate::telemetry::{Copied, JobRecord, Settlement};
use antispoof_core::event::{Event, FailureResult, VerdictResult};
use antispoof_core::failure::{Code, Failure, Stage};
use antispoof_core::job::Origin;
use antispoof_core::policy::Reuse;
use antispoof_core::ports::{Broker, Lease as _, Ports, PublishError, Spent};
use antispoof_core::retry::Attempt;
use futures_util::future::join;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A result is held for so long with its job in hand. The broker takes a job back after 30 minutes (its consumer timeout), counts that as a
/// delivery, and dead-letters the job at the twentieth; requeued uncounted before that, a job with its result in the ledger can wait for ever.
pub(super) const RESULT_HOLD: Duration = Duration::from_mins(20);

/// The value of the label `status` in metrics.
pub(super) fn status(error: &PublishError) -> &'static str {
    match error {
        PublishError::Unroutable { .. } => "unroutable",
        PublishError::Refused { .. } => "refused",
        PublishError::Unconfirmed { .. } => "unconfirmed",
        PublishError::Unavailable(_) => "unavailable",
    }
}

/// What is at fault where the next message of the kind would not fare better; nothing where a session that comes back puts it right.
pub(super) fn fault(error: &PublishError) -> Option<Code> {
    match error {
        PublishError::Unroutable { .. } => Some(Code::ResultsUnroutable),
        PublishError::Refused { .. } | PublishError::Unconfirmed { .. } => Some(Code::BrokerUnavailable),
        PublishError::Unavailable(_) => None,
    }
}

/// What was not confirmed may have arrived, and arrives once more with each try: the next one is made after three times the wait for a confirm.
fn longer(error: &PublishError) -> Duration {
    match error {
        PublishError::Unconfirmed { limit, .. } => *limit * 3,
        _ => Duration::ZERO,
    }
}

/// Why nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpublished {
    /// The broker has taken the message back. What is known of its job is in the ledger, for the next delivery.
    LeaseLost,
    /// The queue takes nothing, and the message has been in hand for long enough.
    Held,
}

/// A message in hand.
pub(super) struct Delivery<'a, P: Ports> {
    pub(super) pipeline: &'a Pipeline<P>,
    pub(super) lease: Lease<P>,
    /// The line in the log, and the metrics, of this delivery.
    pub(super) record: &'a mut JobRecord,
}

impl<P: Ports> Delivery<'_, P> {
    /// A verdict: its event, then the ack.
    pub(super) async fn publish_verdict(
        mut self,
        origin: &Origin,
        key: Option<&str>,
        result: VerdictResult,
    ) -> Settlement {
        self.record.verdict(&result);
        let untried = self.untried(result.report.check.in_doubt);
        let source = &self.pipeline.rules.source;
        let event = self.record.event(origin, |origin| Event::verdict(source, origin, &result));
        match self.publish(event).await {
            Ok(receipt) => self.ack_result(receipt, key, Settlement::Verdict(result.outcome)).await,
            Err(Unpublished::Held) => Box::pin(self.requeue_uncounted(untried, None)).await,
            Err(Unpublished::LeaseLost) => Settlement::Lost,
        }
    }

    /// A failure: its event, a copy in the parked queue, then the ack. The event first: a parked message is found by operators, a missing event by no
    /// consumer.
    pub(super) async fn publish_failure(
        mut self,
        origin: &Origin,
        key: Option<&str>,
        result: FailureResult,
    ) -> Settlement {
        self.record.failure(&result);
        let failure = result.failure();
        let in_doubt = result.report.check.in_doubt;
        let untried = self.untried(in_doubt);
        let source = &self.pipeline.rules.source;
        let event = self.record.event(origin, |origin| Event::failure(source, origin, &result));
        match self.publish(event).await {
            Ok(_receipt) => {}
            Err(Unpublished::Held) => return Box::pin(self.requeue_uncounted(untried, Some(&failure))).await,
            Err(Unpublished::LeaseLost) => return Settlement::Lost,
        }
        let spent = Spent { attempts: Attempt::spent(result.report.check.attempts), in_doubt, deliveries: 0 };
        let broker = &self.pipeline.broker;
        match self.persist(Copied::Parked, |_| broker.park(&self.lease, spent, &failure)).await {
            Ok(receipt) => self.ack_result(receipt, key, Settlement::Parked(result.code)).await,
            // Its result is on record: published again, and parked, when it comes back.
            Err(Unpublished::Held) => Box::pin(self.requeue_uncounted(untried, Some(&failure))).await,
            Err(Unpublished::LeaseLost) => Settlement::Lost,
        }
    }

    /// Into a delay queue, then acked.
    pub(super) async fn defer(self, tier: usize, spent: Spent, failure: &Failure) -> Settlement {
        match self.delay(tier, spent, Some(failure)).await {
            Ok(receipt) => self.ack(receipt, Settlement::Deferred(failure.code())).await,
            Err(_unpublished) => Settlement::Lost,
        }
    }

    /// Into the shortest delay queue with nothing spent, then acked. Not a nack: up to RabbitMQ 4.2 every nack adds to the delivery count,
    /// and a long outage would dead-letter healthy jobs.
    pub(super) async fn requeue_uncounted(self, spent: Spent, why: Option<&Failure>) -> Settlement {
        if self.pipeline.stop.soft().is_cancelled() {
            return self.requeue().await;
        }
        match self.delay(0, spent, why).await {
            Ok(receipt) => self.ack(receipt, Settlement::RequeuedUncounted).await,
            Err(_unpublished) => Settlement::Lost,
        }
    }

    /// The process stops and nothing was sent: another worker gets the message at once.
    pub(super) async fn requeue(self) -> Settlement {
        self.pipeline.broker.requeue(self.lease).await;
        Settlement::Requeued
    }

    /// Replaces a dead letter by a copy whose deliveries are counted anew. Tried once.
    pub(super) async fn renew(self) -> Result<Settlement, Self> {
        match self.pipeline.broker.defer(&self.lease, 0, self.untried(self.lease.in_doubt()), None).await {
            Ok(receipt) => Ok(self.ack(receipt, Settlement::RequeuedUncounted).await),
            Err(_unpublished) => Err(self),
        }
    }

    pub(super) async fn ack(self, receipt: Receipt<P>, settlement: Settlement) -> Settlement {
        match self.pipeline.broker.ack(self.lease, receipt).await {
            Ok(()) => settlement,
            Err(_lost) => Settlement::Lost,
        }
    }

    /// As [`Delivery::ack`], and the ledger learns that the result was published. The ack does not wait for that: a job that is redelivered is
    /// published again in any case. An end that is to be forgotten is forgotten only then, or the redelivery after a lost ack would be paid for again.
    async fn ack_result(self, receipt: Receipt<P>, key: Option<&str>, settlement: Settlement) -> Settlement {
        let pipeline = self.pipeline;
        let Some(key) = key else { return self.ack(receipt, settlement).await };
        if pipeline.rules.reuse != Reuse::Off {
            return join(self.ack(receipt, settlement), pipeline.ledger.published(key, true)).await.0;
        }
        let settled = self.ack(receipt, settlement).await;
        if settled != Settlement::Lost {
            pipeline.ledger.published(key, false).await;
        }
        settled
    }

    /// Attempts spent with this delivery. One that the broker has dropped was not tried this time.
    pub(super) fn attempts(&self) -> Attempt {
        if self.lease.dropped().is_some() { self.lease.attempt() } else { self.lease.attempt().next() }
    }

    fn untried(&self, in_doubt: u32) -> Spent {
        Spent { attempts: self.lease.attempt(), in_doubt, deliveries: 0 }
    }

    /// Publishes an event. While no queue takes it, the gate is closed: a verdict that cannot be delivered is worth no further call.
    async fn publish(&mut self, event: Result<Event, serde_json::Error>) -> Result<Receipt<P>, Unpublished> {
        let event = event.map_err(|error| {
            // Strings, numbers and checked JSON: nothing in it can fail to serialise.
            tracing::error!(%error, "an event could not be serialised");
            Unpublished::LeaseLost
        })?;
        let Pipeline { broker, gate, ledger, rules, clock_and_rng, stop, .. } = self.pipeline;
        let mut probe = None;
        let since = Instant::now();
        for tries in 0.. {
            // Asked before the try: the last one is made for a lease that is gone, too, because consumers want to know.
            let last = !self.lease.usable();
            let error = match broker.publish_event(&event).await {
                Ok(receipt) => {
                    self.record.published("confirmed");
                    gate.proof(Stage::Publish);
                    return Ok(receipt);
                }
                Err(error) => error,
            };
            self.record.published(status(&error));
            self.log_held(tries, &error);
            if let Some(code) = fault(&error) {
                gate.keep_closed(&mut probe, code, &error.to_string());
            }
            if last {
                break;
            }
            let long_enough = match self.lease.dropped() {
                None => since.elapsed() > RESULT_HOLD && ledger.remembers(),
                // It costs nothing to begin anew with a dead letter.
                Some(_) => since.elapsed() > RESULT_HOLD || stop.soft().is_cancelled(),
            };
            if long_enough {
                return Err(Unpublished::Held);
            }
            sleep(rules.publish.wait(tries, (clock_and_rng.random)()).max(longer(&error))).await;
        }
        Err(Unpublished::LeaseLost)
    }

    /// Logs the first try and then ever fewer: a held result is tried every few seconds, for as long as it takes.
    fn log_held(&self, tries: u32, error: &PublishError) {
        if (tries + 1).is_power_of_two() {
            let job = self.record.job();
            tracing::warn!(%error, tries = tries + 1, "job {job}: the result is held: {error}");
        }
    }
}
