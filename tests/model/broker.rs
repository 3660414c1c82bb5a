//! The broker as a worker sees it: confirms, returns, lost confirms, lost acks.

use crate::inbox::ModelLease;
use crate::life::{Life, admission};
use crate::plan::Fault;
use crate::queues::{Delivery, Message, Replaced};
use crate::world::State;
use antispoof_core::event::Event;
use antispoof_core::failure::{Class, Code, Failure};
use antispoof_core::job::{Job, NothingAsked, Properties};
use antispoof_core::ports::{Broker, Lease, LeaseLost, PublishError, Spent};
use antispoofd::amqp::ConsumeMode;
use antispoofd::worker::Consuming;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The delays of the delay queues.
pub(crate) const DELAYS: [Duration; 3] = [Duration::from_secs(10), Duration::from_mins(1), Duration::from_mins(10)];

/// Limit from a publish to its confirm.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct ModelBroker(pub(crate) Arc<Life>);

/// Proof of a confirm.
pub(crate) struct Receipt(());

// === impl ModelBroker ===

impl ModelBroker {
    /// Publishes what `put` puts where it belongs; `false` from it means that nothing is bound there.
    async fn publish(&self, what: String, put: impl FnOnce(&mut State) -> bool) -> Result<Receipt, PublishError> {
        let life = &self.0;
        life.enter(|| what.clone()).await;
        let session = timeout(PUBLISH_TIMEOUT, life.world.until(|state| life.session(state))).await;
        let Ok(session) = session else { return Err(unavailable("not connected")) };
        if life.with(|state| state.services.alarm) {
            return Err(unavailable("blocked"));
        }
        life.latency().await;
        // Whatever was lost on the way, the broker may have the message.
        let gone = life.with(|state| life.session(state) != Some(session));
        if gone && life.with(|state| state.dice.bool()) {
            return Err(unavailable("the connection broke"));
        }
        if life.with(|state| state.fails(Fault::Refusal)) {
            return Err(PublishError::Refused { exchange: "model".to_owned(), routing_key: what });
        }
        let routed = life.with(put);
        life.world.tell();
        if gone || life.with(|state| state.fails(Fault::Confirm)) {
            life.with(|state| {
                state.note(|| format!("broker: the confirm for worker {} is lost: {what}", life.number));
                state.disconnect(session, "no confirm");
            });
            life.world.tell();
            sleep(PUBLISH_TIMEOUT).await;
            return Err(unavailable("no confirm"));
        }
        life.leave().await;
        if !routed {
            let (exchange, routing_key) = ("results".to_owned(), what);
            return Err(PublishError::Unroutable { exchange, routing_key });
        }
        Ok(Receipt(()))
    }

    async fn ack(&self, mut lease: ModelLease) -> Result<(), LeaseLost> {
        let Delivery { session, tag, .. } = lease.delivery;
        self.0.enter(|| format!("ack #{tag}")).await;
        if !lease.usable() {
            return Err(LeaseLost);
        }
        lease.settled = true;
        let told = self.0.with(|state| {
            if !state.fails(Fault::Ack) {
                state.ack(session, tag);
                return Ok(());
            }
            // The ack may or may not have arrived, and the worker may or may not know that the connection is gone.
            if state.dice.bool() {
                state.ack(session, tag);
            }
            state.disconnect(session, "around an ack");
            if state.dice.bool() { Ok(()) } else { Err(LeaseLost) }
        });
        self.0.world.tell();
        told
    }
}

impl Broker for ModelBroker {
    type Lease = ModelLease;
    type Receipt = Receipt;

    async fn publish_event(&self, event: &Event) -> Result<Receipt, PublishError> {
        let what = format!("announce {} of {}", event.routing_key, event.subject);
        let receipt = self.publish(what, |state| told(state, event)).await?;
        self.0.with(|state| {
            if let Some(number) = state.records.number(&event.subject) {
                state.records.jobs[number].confirmed.insert(event.routing_key.clone());
            }
        });
        Ok(receipt)
    }

    async fn defer(
        &self,
        lease: &ModelLease,
        tier: usize,
        spent: Spent,
        why: Option<&Failure>,
    ) -> Result<Receipt, PublishError> {
        let Delivery { session, tag, ref message, .. } = lease.delivery;
        let code = why.map(|why| why.code().name());
        let dead = message.dropped.is_some();
        let copy = Message {
            attempt: spent.attempts.count(),
            in_doubt: spent.in_doubt,
            code,
            deliveries: 0,
            carried: if dead { 0 } else { spent.deliveries },
            first_seen_ms: Some(lease.first_seen_ms()),
            ..message.clone()
        };
        self.0.with(|state| attempts_are_right(state, message, &copy, why));
        let world = self.0.world.clone();
        let what = format!("defer #{tag} of job-{} by {:?}, attempt {spent:?}, {code:?}", message.job, DELAYS[tier]);
        let receipt = self.publish(what, move |state| {
            if dead {
                state.queues.dead.push_back(copy);
                state.deliver();
                return true;
            }
            state.queues.delayed += 1;
            tokio::spawn(async move {
                sleep(DELAYS[tier]).await;
                {
                    let mut state = world.lock();
                    state.queues.delayed -= 1;
                    state.queues.jobs.push_back(copy);
                    state.deliver();
                }
                world.tell();
            });
            true
        });
        let receipt = receipt.await?;
        self.0.with(|state| state.queues.replaced(session, tag, Replaced::Deferred));
        Ok(receipt)
    }

    async fn park(&self, lease: &ModelLease, spent: Spent, why: &Failure) -> Result<Receipt, PublishError> {
        let Delivery { session, tag, ref message, .. } = lease.delivery;
        let code = why.code().name();
        let copy = Message {
            attempt: spent.attempts.count(),
            in_doubt: spent.in_doubt,
            code: Some(code),
            deliveries: 0,
            carried: spent.deliveries,
            dropped: None,
            ..message.clone()
        };
        let what = format!("park #{tag} of job-{}: {why}", message.job);
        let receipt = self.publish(what, |state| {
            state.records.jobs[copy.job].parked.push(code);
            state.queues.parked.push(copy);
            true
        });
        let receipt = receipt.await?;
        self.0.with(|state| state.queues.replaced(session, tag, Replaced::Parked));
        Ok(receipt)
    }

    async fn fan_out(&self, lease: &ModelLease, body: &[u8]) -> Result<Receipt, PublishError> {
        let Delivery { session, tag, ref message, .. } = lease.delivery;
        let first_seen_ms =
            if lease.seen_before(i64::MIN) { 0 } else { message.first_seen_ms.unwrap_or(lease.arrived_ms) };
        let part = Message {
            body: body.into(),
            properties: Properties { message_id: None, ..Properties::clone(&message.properties) }.into(),
            attempt: 0,
            in_doubt: 0,
            code: None,
            deliveries: 0,
            carried: 0,
            first_seen_ms: Some(first_seen_ms),
            ..message.clone()
        };
        let job = Job::decode(body, &part.properties, &admission());
        let (whole, mut number) = (message.job, None);
        let receipt = self.publish(format!("divide #{tag} of job-{whole}"), |state| {
            number = job.ok().and_then(|job| state.records.number(job.id()));
            let Some(number) = number else {
                state.wrong(|| format!("job-{whole} is divided into something that is no job of it"));
                return true;
            };
            state.records.messages += 1;
            let record = &mut state.records.jobs[number];
            record.submitted += 1;
            record.replays = record.replays.max(part.replay);
            record.dropped += u32::from(part.dropped.is_some());
            let queue = if part.dropped.is_some() { &mut state.queues.dead } else { &mut state.queues.jobs };
            queue.push_back(Message { job: number, ..part });
            state.deliver();
            true
        });
        let receipt = receipt.await?;
        self.0.with(|state| {
            state.records.jobs[whole].divided.extend(number);
            state.queues.replaced(session, tag, Replaced::FannedOut);
        });
        Ok(receipt)
    }

    async fn ack(&self, lease: ModelLease, receipt: Receipt) -> Result<(), LeaseLost> {
        let Receipt(()) = receipt;
        self.ack(lease).await
    }

    async fn discard(&self, lease: ModelLease, nothing: NothingAsked) -> Result<(), LeaseLost> {
        drop(nothing);
        let Delivery { session, tag, .. } = lease.delivery;
        self.0.with(|state| state.queues.replaced(session, tag, Replaced::Discarded));
        self.ack(lease).await
    }

    async fn requeue(&self, mut lease: ModelLease) {
        let Delivery { session, tag, .. } = lease.delivery;
        self.0.enter(|| format!("give #{tag} back")).await;
        lease.settled = true;
        self.0.with(|state| state.nack(session, tag));
        self.0.world.tell();
    }

    fn can_publish(&self) -> bool {
        self.0.with(|state| self.0.can_publish(state))
    }

    async fn until_publishable(&self) {
        let life = &self.0;
        life.enter(|| "until publishable".to_owned()).await;
        life.world.until(|state| life.can_publish(state).then_some(())).await;
    }
}

impl Consuming for ModelBroker {
    fn set_consume_mode(&self, mode: ConsumeMode) {
        self.0.set_consume_mode(mode);
        self.0.world.tell();
    }

    async fn until_consuming(&self, _: ConsumeMode) {
        // The mode is in effect when `set_consume_mode` returns.
    }

    fn read_no_more(&self) {
        self.0.read_no_more();
    }

    fn waiting(&self) -> Option<u32> {
        self.0.with(|state| u32::try_from(state.queues.jobs.len()).ok())
    }
}

/// An event arrives where results go, if anything is bound there.
fn told(state: &mut State, event: &Event) -> bool {
    if !state.services.bound {
        return false;
    }
    let Some(number) = state.records.number(&event.subject) else {
        state.wrong(|| format!("an event about {}, which is no job", event.subject));
        return true;
    };
    let job = &mut state.records.jobs[number];
    job.events.push((event.id.clone(), event.routing_key.clone()));
    if let Some(outcome) = event.routing_key.strip_prefix("verdict.")
        && !job.answered.contains(outcome)
    {
        let problem = format!("{} is called {outcome}, which the vendor never said", job.id);
        state.wrong(|| problem);
    }
    true
}

/// A call that may have been paid for always costs an attempt, a fault of nobody's never does. What may pass costs one, unless the gate is closed for it.
fn attempts_are_right(state: &mut State, was: &Message, copy: &Message, why: Option<&Failure>) {
    let job = &mut state.records.jobs[was.job];
    job.attempts = job.attempts.max(copy.attempt);
    let id = job.id.clone();
    let (spent, unspent) = match why {
        Some(why) if why.may_be_paid() => (true, false),
        Some(why) if why.code().class() == Class::Transient => (true, true),
        Some(why) if why.code() == Code::ApiRejected => (false, state.plan.rejection_streak > 0),
        Some(why) => (false, why.code().class() == Class::Systemic),
        None => (false, true),
    };
    let right = spent && copy.attempt == was.attempt + 1 || unspent && copy.attempt == was.attempt;
    if !right {
        state.wrong(|| {
            format!("{id} goes back ({:?}) with {} attempts, it had {}", copy.code, copy.attempt, was.attempt)
        });
    }
    if copy.attempt >= state.plan.max_attempts {
        let most = state.plan.max_attempts;
        state.wrong(|| format!("{id} goes back with {} attempts of {most}", copy.attempt));
    }
}

fn unavailable(why: &str) -> PublishError {
    PublishError::Unavailable(why.to_owned())
}
