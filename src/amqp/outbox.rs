//! Publishing with proof. One publish is in flight on a channel at a time: with more, lapin may charge a returned message to another
//! publish, and an unroutable verdict would pass for delivered.

use super::Observer;
use super::connect::Link;
use super::session::Trouble;
use antispoof_core::ports::PublishError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// A confirm takes milliseconds, on a busy cluster some hundred. The broker says that it blocks only to those who publish, and a link that
/// swallows everything says nothing at all: so nothing new is paid for while a confirm takes longer than this, or than half of the limit.
const LATE: Duration = Duration::from_secs(2);

/// A routing key that nothing is bound with.
const NOWHERE: &str = "antispoofd.start";

/// A broker that is there answers in milliseconds.
const SOON: Duration = Duration::from_secs(3);

/// Proof that the broker has a persistent copy in a queue. Made only by [`Outbox::publish`].
#[derive(Debug)]
#[must_use = "a receipt is what a message may be acked for"]
pub struct Receipt(());

/// A pool of confirm channels on the publishing connection.
pub struct Outbox {
    connection: Link,
    idle: Mutex<Vec<Channel>>,
    permits: Semaphore,
    way: watch::Sender<Way>,
    limit: Duration,
    trouble: Trouble,
    observer: Option<Arc<dyn Observer>>,
}

/// What a message that is not confirmed in time says about the next verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is a verdict, or may be one: the next would not be confirmed either.
    Event,
    /// It is on its way into a queue of our own. When others are confirmed meanwhile, that queue alone is at fault.
    Copy,
}

/// What stands in the way of a publish.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    blocked: bool,
    /// Events whose confirm is late.
    late: u32,
    /// Copies whose confirm is late, with none of another message since.
    late_copies: u32,
    /// Publishes that were confirmed.
    confirmed: u64,
}

impl Outbox {
    /// A pool of up to `channels` channels, opened when first needed. `limit` bounds a publish up to its confirm.
    pub fn new(connection: Link, channels: u16, limit: Duration) -> Self {
        Self::of_session(connection, channels, limit, Trouble::default(), None)
    }

    pub(super) fn of_session(
        connection: Link,
        channels: u16,
        limit: Duration,
        trouble: Trouble,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        // To wait for a channel of the pool is better than to ask for one that the broker does not grant, which would end the session. The control
        // channel counts, too, and one may be closing.
        let granted = connection.configuration().channel_max().saturating_sub(2);
        let channels = channels.min(granted).max(1);
        Self {
            connection,
            idle: Mutex::default(),
            permits: Semaphore::new(usize::from(channels)),
            way: watch::Sender::default(),
            limit,
            trouble,
            observer,
        }
    }

    /// False while the broker's alarm blocks the connection or a confirm is late, or once the connection is gone.
    pub fn open(&self) -> bool {
        self.way.borrow().is_clear() && self.connection.status().connected() && !self.trouble.reported()
    }

    /// Ends when no alarm blocks and no confirm is late. Cancel safe.
    pub(super) async fn until_clear(&self) {
        if self.way.subscribe().wait_for(|way| way.is_clear()).await.is_err() {
            // The sender lives as long as this outbox.
            std::future::pending::<()>().await;
        }
    }

    /// The longest frame that the broker takes, in bytes. The properties of a message have to fit into one.
    pub(super) fn frame_max(&self) -> usize {
        self.connection.configuration().frame_max() as usize
    }

    pub(super) fn blocked(&self) -> bool {
        self.way.borrow().blocked
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.way.send_modify(|way| way.blocked = blocked);
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

    /// As `publish`, for a message whose queue is not the verdicts': when others are confirmed while this one is late, they go on.
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
        if self.way.borrow().blocked {
            // A frame written now would hang, and with it the channel.
            return Err(PublishError::Unavailable("the broker blocks publishing (memory or disk alarm)".to_owned()));
        }
        let started = Instant::now();
        let mut attempt = pin!(self.publish_once(exchange, routing_key, body, properties));
        let mut result = timeout_at(started + LATE.min(self.limit / 2), &mut attempt).await;
        if result.is_err() {
            let _late = Late::new(self, kind);
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
        // A blocked connection answers nobody, and is not dead for that.
        if self.way.borrow().blocked {
            return Err(PublishError::Unavailable(what));
        }
        if self.answers().await {
            // To end the session would take from all the others what they have in hand, count as a delivery for each, and bring this one no further.
            let (exchange, routing_key) = (exchange.to_owned(), routing_key.to_owned());
            return Err(PublishError::Unconfirmed { exchange, routing_key, limit: self.limit });
        }
        self.trouble.report(what.clone());
        Err(PublishError::Unavailable(what))
    }

    /// Publishes a message that no queue gets, and ends when the broker has confirmed it and answers what was asked after it: a broker whose alarm blocks says so to
    /// those who publish only. Never ends while it is blocked.
    pub(super) async fn prove(&self, exchange: &str) -> lapin::Result<()> {
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_app_id("antispoofd".into());
        channel.basic_publish(exchange.into(), NOWHERE.into(), options, &[], properties).await?.await?;
        channel.close(200, "it takes messages".into()).await
    }

    /// As [`Outbox::answers`], of a broker that is not busy.
    pub(super) async fn answers_soon(&self) -> bool {
        timeout(SOON, self.answers()).await.unwrap_or_default()
    }

    /// Whether the other end of the connection is there: asked for something that no queue has a part in.
    async fn answers(&self) -> bool {
        let asked = async {
            let channel = self.connection.create_channel().await?;
            channel.close(200, "it answers".into()).await
        };
        matches!(timeout(self.limit / 2, asked).await, Ok(Ok(())))
    }

    fn confirmed(&self) {
        let mut excused = false;
        self.way.send_if_modified(|way| {
            way.confirmed += 1;
            excused = std::mem::take(&mut way.late_copies) > 0;
            excused
        });
        if excused {
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
        self.trouble.report(format!("publish failed: {error}"));
        unavailable(&error.to_string())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn is_clear(self) -> bool {
        !self.blocked && self.late == 0 && self.late_copies == 0
    }
}

/// A publish whose confirm is late, for as long as it is waited for.
struct Late<'a> {
    outbox: &'a Outbox,
    kind: Kind,
    /// The count when it became late: with another since then, a copy is not in the way any more.
    confirmed: u64,
}

impl<'a> Late<'a> {
    fn new(outbox: &'a Outbox, kind: Kind) -> Self {
        let (mut was_clear, mut confirmed) = (true, 0);
        outbox.way.send_modify(|way| {
            was_clear = way.is_clear();
            confirmed = way.confirmed;
            match kind {
                Kind::Event => way.late += 1,
                Kind::Copy => way.late_copies += 1,
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

impl Drop for Late<'_> {
    fn drop(&mut self) {
        let mut cleared = false;
        self.outbox.way.send_modify(|way| {
            let was_clear = way.is_clear();
            match self.kind {
                Kind::Event => way.late = way.late.saturating_sub(1),
                Kind::Copy if way.confirmed == self.confirmed => way.late_copies = way.late_copies.saturating_sub(1),
                Kind::Copy => {}
            }
            cleared = !was_clear && way.is_clear();
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
