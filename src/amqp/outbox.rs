//! Publishing with proof. One publish is in flight on a channel at a time: with more, lapin may charge a returned message to another
//! publish, and an unroutable verdict would pass for delivered.

use super::session::Trouble;
use antispoof_core::ports::PublishError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Proof that the broker has a persistent copy in a queue. Made only by [`Outbox::publish`].
#[derive(Debug)]
#[must_use = "a receipt is what a message may be acked for"]
pub struct Receipt(());

/// A pool of confirm channels on the publishing connection.
pub struct Outbox {
    connection: Arc<Connection>,
    idle: Mutex<Vec<Channel>>,
    permits: Semaphore,
    blocked: AtomicBool,
    limit: Duration,
    trouble: Trouble,
}

impl Outbox {
    /// A pool of up to `channels` channels, opened when first needed. `limit` bounds a publish up to its confirm.
    pub fn new(connection: Arc<Connection>, channels: u16, limit: Duration) -> Self {
        Self::with_trouble(connection, channels, limit, Trouble::default())
    }

    pub(super) fn with_trouble(connection: Arc<Connection>, channels: u16, limit: Duration, trouble: Trouble) -> Self {
        // To wait for a channel of the pool is better than to ask for one that the broker does not grant, which would end the session. The control
        // channel counts, too, and one may be closing.
        let granted = connection.configuration().channel_max().saturating_sub(2);
        let channels = channels.min(granted).max(1);
        Self {
            connection,
            idle: Mutex::default(),
            permits: Semaphore::new(usize::from(channels)),
            blocked: AtomicBool::new(false),
            limit,
            trouble,
        }
    }

    /// False while the broker's alarm blocks the connection, or once the connection is gone.
    pub fn open(&self) -> bool {
        !self.blocked.load(Ordering::Acquire) && self.connection.status().connected() && !self.trouble.reported()
    }

    /// The longest frame that the broker takes, in bytes. The properties of a message have to fit into one.
    pub(super) fn frame_max(&self) -> usize {
        self.connection.configuration().frame_max() as usize
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Release);
    }

    /// Publishes persistently and waits until a queue has it.
    pub async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Receipt, PublishError> {
        if self.blocked.load(Ordering::Acquire) {
            // A frame written now would hang, and with it the channel.
            return Err(PublishError::Unavailable("the broker blocks publishing (memory or disk alarm)".to_owned()));
        }
        let attempt = self.publish_once(exchange, routing_key, body, properties);
        if let Ok(result) = tokio::time::timeout(self.limit, attempt).await {
            return result;
        }
        if !self.blocked.load(Ordering::Acquire) {
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

fn unavailable(why: &str) -> PublishError {
    PublishError::Unavailable(why.to_owned())
}
