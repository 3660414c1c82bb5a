//! What becomes of the message. Nothing is acked without a receipt for what replaces it.

use super::copies::Unkept;
use super::{Known, Pipeline, Reuse};
use crate::telemetry::Copied;
use crate::telemetry::{End, Entry};
use antispoof_core::event::{Conclusion, Ending, Event};
use antispoof_core::failure::{Code, Failure, Stage};
use antispoof_core::job::Origin;
use antispoof_core::ports::{Broker, Detector, ImageStore, Lease as _, Ledger, PublishError, Spent};
use antispoof_core::retry::Attempt;
use futures_util::future::join;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A result is held for so long with its job in hand. The broker takes a job back after 30 minutes (its consumer timeout), counts that as a
/// delivery, and parks the job at the twentieth; given back unspent before that, a job with its end in the ledger can wait for ever.
pub(super) const RESULT_HOLD: Duration = Duration::from_mins(20);

/// Says so at the first try and then ever more rarely: a held result is tried every few seconds, for as long as it takes.
fn held(tries: u32, origin: &Origin, error: &PublishError) {
    if (tries + 1).is_power_of_two() {
        let job = &origin.job_id;
        tracing::warn!(job.id = job, %error, tries = tries + 1, "job {job}: the result is held: {error}");
    }
}

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

/// What came of telling.
enum Told<R> {
    /// A queue has the event.
    Taken(R),
    /// Nobody takes it, and it has been in hand for long enough. The ledger has it.
    Held,
    /// The lease was lost. What is known is in the ledger for the next delivery.
    Lost,
}

impl<S, D, L, B> Pipeline<S, D, L, B>
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Broker,
{
    /// A verdict: told, then acked.
    pub(super) async fn announce(
        &self,
        lease: B::Lease,
        origin: &Origin,
        key: &str,
        conclusion: Conclusion,
        entry: &mut Entry,
    ) -> End {
        entry.concluded(&conclusion);
        let Ending::Verdict { outcome, .. } = conclusion.ending else {
            debug_assert!(false, "only verdicts are announced here");
            return End::Lost;
        };
        match self.tell(&lease, origin, &conclusion, entry).await {
            Told::Taken(receipt) => self.complete_known(lease, receipt, End::Verdict(outcome), Some(key)).await,
            Told::Held => {
                let in_doubt = conclusion.check.in_doubt;
                let spent = Spent { attempts: lease.attempt(), in_doubt, deliveries: 0 };
                self.give_back_unspent(lease, spent, None).await
            }
            Told::Lost => End::Lost,
        }
    }

    /// A failure that the ledger knows as this job's end: told again, the same.
    pub(super) async fn end_again(
        &self,
        lease: B::Lease,
        known: Known,
        conclusion: Conclusion,
        entry: &mut Entry,
    ) -> End {
        let Ending::Failure { code, message, .. } = &conclusion.ending else {
            debug_assert!(false, "only failures end again");
            return End::Lost;
        };
        let code = Code::from_name(code).unwrap_or(Code::DeliveryLimit);
        let failure = Failure::new(code, message.clone());
        entry.ended_before(&failure);
        self.end_with(lease, &known, &conclusion, &failure, entry).await
    }

    /// A failure: told, parked, acked.
    pub(super) async fn end_with(
        &self,
        lease: B::Lease,
        known: &Known,
        conclusion: &Conclusion,
        failure: &Failure,
        entry: &mut Entry,
    ) -> End {
        // The event first: a parked message is found by people, a missing event by nobody.
        let in_doubt = conclusion.check.in_doubt;
        match self.tell(&lease, &known.origin, conclusion, entry).await {
            Told::Taken(_) => {}
            Told::Held => {
                let spent = Spent { attempts: lease.attempt(), in_doubt, deliveries: 0 };
                return self.give_back_unspent(lease, spent, Some(failure)).await;
            }
            Told::Lost => return End::Lost,
        }
        let attempts = Attempt::spent(conclusion.check.attempts);
        let spent = Spent { attempts, in_doubt, deliveries: 0 };
        match self.persist(&lease, Copied::Parked, |_| self.broker.park(&lease, spent, failure)).await {
            Ok(receipt) => self.complete_known(lease, receipt, End::Parked(failure.code()), known.key.as_deref()).await,
            // Its end is on record: told again, and parked, when it comes back.
            Err(Unkept::Held) => {
                let spent = Spent { attempts: lease.attempt(), in_doubt, deliveries: 0 };
                self.give_back_unspent(lease, spent, Some(failure)).await
            }
            Err(Unkept::Lost) => End::Lost,
        }
    }

    /// Into a delay queue, then acked.
    pub(super) async fn defer(&self, lease: B::Lease, tier: usize, spent: Spent, failure: &Failure) -> End {
        match self.delay(&lease, tier, spent, Some(failure)).await {
            Ok(receipt) => self.complete(lease, receipt, End::Deferred(failure.code())).await,
            Err(_unkept) => End::Lost,
        }
    }

    /// Into the shortest delay queue with nothing spent, then acked. Not a nack: up to RabbitMQ 4.2 every nack adds to the delivery count,
    /// and a long outage would park healthy jobs.
    pub(super) async fn give_back_unspent(&self, lease: B::Lease, spent: Spent, why: Option<&Failure>) -> End {
        if self.stop.soft().is_cancelled() {
            return self.stopped(lease).await;
        }
        match self.delay(&lease, 0, spent, why).await {
            Ok(receipt) => self.complete(lease, receipt, End::Returned).await,
            Err(_unkept) => End::Lost,
        }
    }

    /// The process stops and nothing was sent: somebody else gets it at once.
    pub(super) async fn stopped(&self, lease: B::Lease) -> End {
        self.broker.give_back(lease).await;
        End::GivenBack
    }

    /// Publishes the event of a conclusion. While nothing is bound for it, the gate is closed: a verdict that cannot be delivered is worth no
    /// further call.
    async fn tell(
        &self,
        lease: &B::Lease,
        origin: &Origin,
        conclusion: &Conclusion,
        entry: &mut Entry,
    ) -> Told<B::Receipt> {
        let event = match Event::new(&self.rules.source, origin, conclusion) {
            Ok(event) => event,
            Err(error) => {
                // Strings, numbers and checked JSON: nothing in it can fail to serialise.
                tracing::error!(%error, "an event could not be put into words");
                return Told::Lost;
            }
        };
        let mut probe = None;
        let since = Instant::now();
        for tries in 0.. {
            // Asked before the try: the last one is made for a lease that is gone, too, because consumers want to know.
            let last = !lease.usable();
            let error = match self.broker.announce(&event).await {
                Ok(receipt) => {
                    entry.announced("confirmed");
                    self.gate.proof(Stage::Publish);
                    return Told::Taken(receipt);
                }
                Err(error) => error,
            };
            entry.announced(status(&error));
            held(tries, origin, &error);
            if let Some(code) = fault(&error) {
                self.gate.keep_closed(&mut probe, code, &error.to_string());
            }
            if last {
                break;
            }
            let long_enough = match lease.dropped() {
                None => since.elapsed() > RESULT_HOLD && self.books.remembers(),
                // It costs nothing to begin anew with what the broker has dropped.
                Some(_) => since.elapsed() > RESULT_HOLD || self.stop.soft().is_cancelled(),
            };
            if long_enough {
                return Told::Held;
            }
            sleep(self.rules.publish.wait(tries, (self.ambient.roll)()).max(longer(&error))).await;
        }
        Told::Lost
    }

    /// As [`Pipeline::complete`], and the ledger learns that the end was told. That is not waited for before the ack: a job that is delivered again is
    /// told again in any case.
    async fn complete_known(&self, lease: B::Lease, receipt: B::Receipt, end: End, key: Option<&str>) -> End {
        let told = async {
            if let Some(key) = key {
                self.books.announced(key, self.rules.reuse != Reuse::Off).await;
            }
        };
        join(self.complete(lease, receipt, end), told).await.0
    }

    pub(super) async fn complete(&self, lease: B::Lease, receipt: B::Receipt, end: End) -> End {
        match self.broker.complete(lease, receipt).await {
            Ok(()) => end,
            Err(_lost) => End::Lost,
        }
    }
}
