//! Publishing with confirms. One publish is in flight on a channel at a time: with more, lapin may assign a returned message to
//! another publish, and an unroutable verdict would pass for delivered.

use super::connect::Link;
use super::observer::Observer;
use super::session_failure::SessionFailure;
use antispoof_core::ports::PublishError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// A confirm takes milliseconds, on a busy cluster some hundred. A broker announces an alarm only to connections that publish, and a
/// network that drops every packet announces nothing: so no new call is made while a confirm takes longer than this, or than half
/// of the limit.
const LATE_AFTER: Duration = Duration::from_secs(2);

/// A routing key that no queue is bound with.
const UNBOUND: &str = "antispoofd.start";

/// A broker that is up answers in milliseconds.
const SOON: Duration = Duration::from_secs(3);

/// The broker has confirmed that a queue holds the message. Made only by [`Outbox::publish`].
#[derive(Debug)]
#[must_use = "a receipt is what a message may be acked for"]
pub struct Receipt(());

/// A pool of confirm channels on the publishing connection.
pub struct Outbox {
    connection: Link,
    idle: Mutex<Vec<Channel>>,
    permits: Semaphore,
    status: watch::Sender<PublishStatus>,
    limit: Duration,
    failure: SessionFailure,
    observer: Option<Arc<dyn Observer>>,
}

/// What is published, and so what a late confirm says about the next verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An event: the next would not be confirmed either.
    Event,
    /// A message for a queue of our own. When others are confirmed meanwhile, the fault is in that queue.
    Copy,
}

/// What keeps events from being published.
#[derive(Clone, Copy, Debug, Default)]
struct PublishStatus {
    /// By an alarm of the broker.
    blocked: bool,
    /// Events whose confirm is late.
    late_events: u32,
    /// Copies whose confirm is late, with no other publish confirmed since.
    late_copies: u32,
    /// Publishes that were confirmed.
    confirmed: u64,
}

impl Outbox {
    /// A pool of up to `channels` channels, opened when first needed. `limit` bounds a publish up to its confirm.
    pub fn new(connection: Link, channels: u16, limit: Duration) -> Self {
        Self::of_session(connection, channels, limit, SessionFailure::default(), None)
    }

    pub(super) fn of_session(
        connection: Link,
        channels: u16,
        limit: Duration,
        failure: SessionFailure,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        // Waiting for a channel of the pool is better than opening one that the broker does not grant, which would end the session. The
        // control channel counts, too, and one may be closing.
        let granted = connection.configuration().channel_max().saturating_sub(2);
        let channels = channels.min(granted).max(1);
        Self {
            connection,
            idle: Mutex::default(),
            permits: Semaphore::new(usize::from(channels)),
            status: watch::Sender::default(),
            limit,
            failure,
            observer,
        }
    }

    /// False while the broker's alarm blocks the connection or a confirm is late, or once the connection is gone.
    pub fn open(&self) -> bool {
        self.status.borrow().is_clear() && self.connection.status().connected() && !self.failure.reported()
    }

    /// Ends when no alarm blocks and no confirm is late. Cancel safe.
    pub(super) async fn until_clear(&self) {
        if self.status.subscribe().wait_for(|status| status.is_clear()).await.is_err() {
            // The sender lives as long as this outbox.
            std::future::pending::<()>().await;
        }
    }

    /// The longest frame that the broker takes, in bytes. The properties of a message have to fit into one.
    pub(super) fn frame_max(&self) -> usize {
        self.connection.configuration().frame_max() as usize
    }

    pub(super) fn blocked(&self) -> bool {
        self.status.borrow().blocked
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.status.send_modify(|status| status.blocked = blocked);
    }

    /// Publishes persistently and waits until a queue has it.
    pub async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Receipt, PublishError> {
        self.publish_as(Kind::Event, exchange, routing_key, body, properties).await
    }

    /// As `publish`, for a message to a queue of our own: when others are confirmed while this one is late, publishing goes on.
    pub(super) async fn publish_copy(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Receipt, PublishError> {
        self.publish_as(Kind::Copy, exchange, routing_key, body, properties).await
    }

    async fn publish_as(
        &self,
        kind: Kind,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Receipt, PublishError> {
        if self.status.borrow().blocked {
            // A frame written now would hang, and with it the channel.
            return Err(PublishError::Unavailable("the broker blocks publishing (memory or disk alarm)".to_owned()));
        }
        let started = Instant::now();
        let mut attempt = pin!(self.publish_once(exchange, routing_key, body, properties));
        let mut result = timeout_at(started + LATE_AFTER.min(self.limit / 2), &mut attempt).await;
        if result.is_err() {
            let _late = LateConfirm::new(self, kind);
            result = timeout_at(started + self.limit, attempt).await;
        }
        if let Ok(result) = result {
            if let Some(observer) = &self.observer {
                observer.published(started.elapsed());
            }
            if result.is_ok() {
                self.confirmed();
            }
            return result;
        }
        let what = format!("no confirm from the broker within {:?} for {routing_key} on {exchange}", self.limit);
        // A blocked connection does not answer, and is not dead for that.
        if self.status.borrow().blocked {
            return Err(PublishError::Unavailable(what));
        }
        if self.answers().await {
            // Ending the session would redeliver every other message in flight, count as a delivery for each, and not help this one.
            let (exchange, routing_key) = (exchange.to_owned(), routing_key.to_owned());
            return Err(PublishError::Unconfirmed { exchange, routing_key, limit: self.limit });
        }
        self.failure.report(what.clone());
        Err(PublishError::Unavailable(what))
    }

    /// Publishes a message that no queue gets, and ends when the broker has confirmed it and answered the next request: a broker announces
    /// an alarm only to connections that publish. Does not end while it is blocked.
    pub(super) async fn prove(&self, exchange: &str) -> lapin::Result<()> {
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_app_id("antispoofd".into());
        channel.basic_publish(exchange.into(), UNBOUND.into(), options, &[], properties).await?.await?;
        channel.close(200, "it takes messages".into()).await
    }

    /// As [`Outbox::answers`], within the time of a broker that is not busy.
    pub(super) async fn answers_soon(&self) -> bool {
        timeout(SOON, self.answers()).await.unwrap_or_default()
    }

    /// Whether the broker answers a request in which no queue takes part.
    async fn answers(&self) -> bool {
        let asked = async {
            let channel = self.connection.create_channel().await?;
            channel.close(200, "it answers".into()).await
        };
        matches!(timeout(self.limit / 2, asked).await, Ok(Ok(())))
    }

    fn confirmed(&self) {
        let mut copies_excused = false;
        self.status.send_if_modified(|status| {
            status.confirmed += 1;
            copies_excused = std::mem::take(&mut status.late_copies) > 0;
            copies_excused
        });
        if copies_excused {
            tracing::warn!("a confirm of the broker is late, but others are not: calls go on");
        }
    }

    async fn publish_once(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Receipt, PublishError> {
        let _permit = self.permits.acquire().await.map_err(|_| unavailable("the outbox is closed"))?;
        let idle = self.idle().pop();
        let channel = match idle {
            Some(channel) => channel,
            None => self.open_channel().await?,
        };
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = channel
            .basic_publish(exchange.into(), routing_key.into(), options, body, properties)
            .await
            .map_err(|error| self.failed(&error))?
            .await
            .map_err(|error| self.failed(&error))?;
        // A channel is reused only after a clean end, so a stray confirm can never meet another publish.
        match confirm {
            Confirmation::Ack(None) => {
                self.idle().push(channel);
                Ok(Receipt(()))
            }
            Confirmation::Ack(Some(_)) => {
                self.idle().push(channel);
                Err(PublishError::Unroutable { exchange: exchange.to_owned(), routing_key: routing_key.to_owned() })
            }
            Confirmation::Nack(_) => {
                Err(PublishError::Refused { exchange: exchange.to_owned(), routing_key: routing_key.to_owned() })
            }
            Confirmation::NotRequested => Err(unavailable("the channel does not confirm")),
        }
    }

    async fn open_channel(&self) -> Result<Channel, PublishError> {
        let channel = self.connection.create_channel().await.map_err(|error| self.failed(&error))?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|error| self.failed(&error))?;
        Ok(channel)
    }

    fn failed(&self, error: &lapin::Error) -> PublishError {
        self.failure.report(format!("publish failed: {error}"));
        unavailable(&error.to_string())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PublishStatus {
    fn is_clear(self) -> bool {
        !self.blocked && self.late_events == 0 && self.late_copies == 0
    }
}

/// A publish whose confirm is late, for as long as it is waited for.
struct LateConfirm<'a> {
    outbox: &'a Outbox,
    kind: Kind,
    /// The count when it became late: once another publish is confirmed, a late copy no longer counts.
    confirmed: u64,
}

impl<'a> LateConfirm<'a> {
    fn new(outbox: &'a Outbox, kind: Kind) -> Self {
        let (mut was_clear, mut confirmed) = (true, 0);
        outbox.status.send_modify(|status| {
            was_clear = status.is_clear();
            confirmed = status.confirmed;
            match kind {
                Kind::Event => status.late_events += 1,
                Kind::Copy => status.late_copies += 1,
            }
        });
        if was_clear {
            tracing::warn!("a confirm of the broker is late: no new call is made until it is there");
        }
        if let Some(observer) = &outbox.observer {
            observer.late(true);
        }
        Self { outbox, kind, confirmed }
    }
}

impl Drop for LateConfirm<'_> {
    fn drop(&mut self) {
        let mut cleared = false;
        self.outbox.status.send_modify(|status| {
            let was_clear = status.is_clear();
            match self.kind {
                Kind::Event => status.late_events = status.late_events.saturating_sub(1),
                Kind::Copy if status.confirmed == self.confirmed => {
                    status.late_copies = status.late_copies.saturating_sub(1);
                }
                Kind::Copy => {}
            }
            cleared = !was_clear && status.is_clear();
        });
        if cleared {
            tracing::info!("no confirm of the broker is late any more");
        }
        if let Some(observer) = &self.outbox.observer {
            observer.late(false);
        }
    }
}

fn unavailable(why: &str) -> PublishError {
    PublishError::Unavailable(why.to_owned())
}
