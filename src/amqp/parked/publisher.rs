//! Publishing in order: many messages on one channel, confirmed together.

use super::entry::ParkedMessage;
use crate::amqp::connect::Link;
use crate::amqp::reply::{ACCESS_REFUSED, reply_code};
use crate::amqp::topology::Names;
use antispoof_core::ports::PublishError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the job queue, as a new generation of the job.
    Jobs,
    /// To the parked queue, as they are.
    Parked,
}

/// Publishes to one queue.
pub struct Publisher {
    channel: Channel,
    exchange: String,
    routing_key: String,
    destination: Destination,
    limit: Duration,
    frame_max: usize,
}

/// Messages were not confirmed. Some of them may be in the queue all the same.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NotPublished {
    /// Why.
    #[source]
    pub why: PublishError,
    /// How many of them, counted from the first, the queue has for certain.
    pub confirmed: usize,
    /// The same may succeed on another connection.
    pub may_pass: bool,
}

struct Failure {
    error: PublishError,
    may_pass: bool,
}

impl Publisher {
    /// Opens a channel on `link`, which has to be a connection that consumes nothing: an alarm of the broker stops all of it. `limit`
    /// bounds a publish up to its confirm.
    pub async fn open(
        link: &Link,
        names: &Names,
        destination: Destination,
        limit: Duration,
    ) -> Result<Self, PublishError> {
        let unavailable = |error: lapin::Error| PublishError::Unavailable(error.to_string());
        let opening = async {
            let channel = link.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await.map(|()| channel)
        };
        let channel = match timeout(limit, opening).await {
            Ok(opened) => opened.map_err(unavailable)?,
            Err(_) => return Err(PublishError::Unavailable(format!("no channel within {limit:?}"))),
        };
        let (exchange, routing_key) = match destination {
            Destination::Jobs => (&names.jobs, &names.jobs),
            Destination::Parked => (&names.internal, &names.parked),
        };
        let frame_max = link.configuration().frame_max() as usize;
        Ok(Self {
            channel,
            exchange: exchange.clone(),
            routing_key: routing_key.clone(),
            destination,
            limit,
            frame_max,
        })
    }

    /// Publishes the messages in their order, and ends when the broker has confirmed that a queue has all of them. After an error the
    /// publisher is not to be used any more.
    pub async fn publish(&self, messages: &[&ParkedMessage]) -> Result<(), NotPublished> {
        let until = Instant::now() + self.limit;
        let mut confirmed = 0;
        let why = match timeout_at(until, self.publish_all(messages, &mut confirmed)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            // Not again at once: each time the broker may take the messages without saying so.
            Err(_) => Failure {
                error: PublishError::Unavailable(format!(
                    "no confirm from the broker within {:?} for {} on {}: does an alarm block publishing?",
                    self.limit, self.routing_key, self.exchange
                )),
                may_pass: false,
            },
        };
        let Failure { error, may_pass } = why;
        // With several publishes on a channel, lapin may give a returned message to another one of them: none counts then.
        let confirmed = if matches!(error, PublishError::Unroutable { .. }) { 0 } else { confirmed };
        Err(NotPublished { why: error, confirmed, may_pass })
    }

    async fn publish_all(&self, messages: &[&ParkedMessage], confirmed: &mut usize) -> Result<(), Failure> {
        let unavailable = |error: lapin::Error| Failure {
            // What the user may not do is not tried again.
            may_pass: reply_code(&error) != Some(ACCESS_REFUSED),
            error: PublishError::Unavailable(error.to_string()),
        };
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            let properties = match self.destination {
                Destination::Jobs => message.replayed(self.frame_max),
                Destination::Parked => message.within(self.frame_max),
            };
            let (exchange, key) = (self.exchange.as_str().into(), self.routing_key.as_str().into());
            confirms.push(
                self.channel
                    .basic_publish(exchange, key, options, &message.body, properties)
                    .await
                    .map_err(unavailable)?,
            );
        }
        let mut first_error = None;
        for confirm in confirms {
            let (exchange, routing_key) = (self.exchange.clone(), self.routing_key.clone());
            let error = match confirm.await.map_err(unavailable)? {
                Confirmation::Ack(None) => {
                    *confirmed += usize::from(first_error.is_none());
                    continue;
                }
                Confirmation::Ack(Some(_)) => PublishError::Unroutable { exchange, routing_key },
                Confirmation::Nack(_) => PublishError::Refused { exchange, routing_key },
                Confirmation::NotRequested => PublishError::Unavailable("the channel does not confirm".to_owned()),
            };
            // That a message was returned says more about the others than that one was refused.
            if first_error.is_none() || matches!(error, PublishError::Unroutable { .. }) {
                first_error = Some(error);
            }
        }
        first_error.map_or(Ok(()), |error| Err(Failure::of(error)))
    }
}

impl Failure {
    fn of(error: PublishError) -> Self {
        Self { may_pass: matches!(error, PublishError::Unavailable(_)), error }
    }
}
