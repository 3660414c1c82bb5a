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
use tokio::time::{Instant, timeout_at};

/// A confirm takes milliseconds, on a busy cluster some hundred. The broker says that it blocks only to those who publish, and a link that
/// swallows everything says nothing at all: so nothing new is paid for while a confirm takes longer than this, or than half of the limit.
const LATE: Duration = Duration::from_secs(2);

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

/// What stands in the way of a publish.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    blocked: bool,
    /// Publishes whose confirm is late.
    late: u32,
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
        if self.way.borrow().blocked {
            // A frame written now would hang, and with it the channel.
            return Err(PublishError::Unavailable("the broker blocks publishing (memory or disk alarm)".to_owned()));
        }
        let started = Instant::now();
        let mut attempt = pin!(self.publish_once(exchange, routing_key, body, properties));
        let mut result = timeout_at(started + LATE.min(self.limit / 2), &mut attempt).await;
        if result.is_err() {
            let _late = Late::new(self);
            result = timeout_at(started + self.limit, attempt).await;
        }
        if let Ok(result) = result {
            if let Some(observer) = &self.observer {
                observer.published(started.elapsed());
            }
            return result;
        }
        if !self.way.borrow().blocked {
            self.trouble.report(format!("no confirm from the broker within {:?}", self.limit));
        }
        Err(PublishError::Unavailable(format!("no confirm within {:?}", self.limit)))
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
            Confirmation::Nack(_) => Err(unavailable("the broker refused the message (is a queue full?)")),
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
        !self.blocked && self.late == 0
    }
}

/// A publish whose confirm is late, for as long as it is waited for.
struct Late<'a>(&'a Outbox);

impl<'a> Late<'a> {
    fn new(outbox: &'a Outbox) -> Self {
        let late = Self(outbox);
        late.count(|late| late + 1);
        if let Some(observer) = &outbox.observer {
            observer.late(true);
        }
        late
    }

    fn count(&self, change: impl FnOnce(u32) -> u32) {
        let (mut was, mut is) = (0, 0);
        self.0.way.send_modify(|way| {
            was = way.late;
            way.late = change(way.late);
            is = way.late;
        });
        match (was, is) {
            (0, _) => tracing::warn!("a confirm of the broker is late: no new call is made until it is there"),
            (_, 0) => tracing::info!("no confirm of the broker is late any more"),
            _ => {}
        }
    }
}

impl Drop for Late<'_> {
    fn drop(&mut self) {
        self.count(|late| late.saturating_sub(1));
        if let Some(observer) = &self.0.observer {
            observer.late(false);
        }
    }
}

fn unavailable(why: &str) -> PublishError {
    PublishError::Unavailable(why.to_owned())
}
