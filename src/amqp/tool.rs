//! What commands of the command line do with the broker, off the worker's path.

use super::connect::Link;
use super::depths::look;
use super::outbox::Outbox;
use super::reply::{ACCESS_REFUSED, NOT_FOUND, reply_code};
use super::topology::Names;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer, Event, ExchangeKind};
use std::pin::pin;
use std::time::Duration;

/// Bounds the closing handshake of a connection that may be dead.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// An operation of a command failed; its connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The broker refused, or went away.
    #[error("{what}")]
    Refused {
        /// What was to be done.
        what: String,
        /// Why not.
        source: lapin::Error,
    },
    /// The connection, or the queue on it, is gone.
    #[error("lost the connection to the broker: {0}")]
    Lost(String),
    /// The broker cannot say what is in this queue.
    #[error("the broker cannot say what is in queue {0}: it has no leader that answers")]
    NoLeader(String),
}

/// What a private queue keeps for a slow reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything.
    All,
    /// So many, of which the oldest are dropped: a reader that has stopped must not fill the broker's memory.
    Latest(u32),
}

/// A private queue behind the results exchange, with its consumer. The queue ends with the connection: events that are published
/// after that are not seen on the next one.
pub struct Tail {
    /// Closing it ends the consumer.
    _channel: Channel,
    consumer: Consumer,
    events: BoxStream<'static, Event>,
    /// Received and not given to the caller yet.
    held: Option<Delivery>,
}

/// Enough to hide the round trip to the broker; events are small.
const PREFETCH: u16 = 256;

/// Why a message of ours would not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The broker blocks what publishes: an alarm. What it says about that.
    Blocked(String),
    /// The user has no right to write to the exchange.
    Forbidden,
    /// The exchange is not there.
    Missing,
    /// No confirm came in time, or the connection broke.
    Unconfirmed(String),
}

impl ToolError {
    /// True when the broker has no such exchange or queue.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Refused { source, .. } => reply_code(source) == Some(NOT_FOUND),
            Self::Lost(_) | Self::NoLeader(_) => false,
        }
    }
}

impl Tail {
    /// Binds a private queue to the results exchange with each of `keys`, and consumes from it. From the return on, no event is missed.
    /// The exchange has to be there: if the reader declared it, the worker's operator would not notice that the names differ.
    pub async fn open(link: &Link, names: &Names, keys: &[String], keep: Keep) -> Result<Self, ToolError> {
        let results = names.results.as_str();
        let at = |what: String| |source| ToolError::Refused { what, source };
        let events = link.events_listener().boxed();
        let channel = link.create_channel().await.map_err(at("open a channel".to_owned()))?;
        let options = ExchangeDeclareOptions { passive: true, durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(results.into(), ExchangeKind::Topic, options, FieldTable::default())
            .await
            .map_err(at(format!("find exchange {results}")))?;
        let mut arguments = FieldTable::default();
        // Explicit, because a virtual host may have another default, which an exclusive queue cannot have.
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        if let Keep::Latest(most) = keep {
            arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(most.into()));
        }
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare("".into(), options, arguments).await;
        let queue = declared.map_err(at("declare a private queue".to_owned()))?.name().as_str().to_owned();
        for key in keys {
            channel
                .queue_bind(
                    queue.as_str().into(),
                    results.into(),
                    key.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await
                .map_err(at(format!("bind a private queue to exchange {results}")))?;
        }
        // Acked one by one, so that a slow reader holds so many and the queue keeps the rest.
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(at("set the prefetch".to_owned()))?;
        let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let consumer = channel
            .basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default())
            .await
            .map_err(at("consume from a private queue".to_owned()))?;
        Ok(Self { _channel: channel, consumer, events, held: None })
    }

    /// The body of the next event. Cancel safe. An error is the end: the queue is gone.
    pub async fn next(&mut self) -> Result<Vec<u8>, ToolError> {
        let delivery = if let Some(held) = &self.held {
            held
        } else {
            tokio::select! {
                delivery = self.consumer.next() => match delivery {
                    Some(Ok(delivery)) => self.held.insert(delivery),
                    Some(Err(error)) => return Err(ToolError::Lost(error.to_string())),
                    None => return Err(ToolError::Lost("the broker cancelled the consumer".to_owned())),
                },
                // The consumer does not report everything that ends its connection.
                why = gone(&mut self.events) => return Err(ToolError::Lost(why)),
            }
        };
        // With all before it: an ack whose future was dropped may not have been written, and cannot be repeated alone.
        let acked = delivery.acker.ack(BasicAckOptions { multiple: true }).await;
        acked.map_err(|error| ToolError::Lost(error.to_string()))?;
        Ok(self.held.take().map(|delivery| delivery.data).unwrap_or_default())
    }
}

/// Ends with the reason when the connection does.
pub(super) async fn gone(events: &mut BoxStream<'static, Event>) -> String {
    loop {
        match events.next().await {
            Some(Event::Error(error)) => return error.to_string(),
            Some(_) => {}
            None => return "the connection ended".to_owned(),
        }
    }
}

/// The first exchange or queue on the way of a submitted job, and of its event when that is `awaited`, that the broker lacks, as
/// `queue antispoof.jobs`. Newer brokers require a right on an object that is checked, and a producer has none on the results.
pub async fn missing(link: &Link, names: &Names, awaited: bool) -> Result<Option<String>, ToolError> {
    let at = |what: String| |source| ToolError::Refused { what, source };
    let channel = link.create_channel().await.map_err(at("open a channel".to_owned()))?;
    let found = |object: String, answer: lapin::Result<()>| match answer.map_err(at(format!("find {object}"))) {
        Ok(()) => Ok(None),
        // The broker has closed the channel with the answer.
        Err(error) if error.is_missing() => Ok(Some(object)),
        Err(error) => Err(error),
    };
    let results = awaited.then_some((&names.results, ExchangeKind::Topic));
    for (exchange, kind) in results.into_iter().chain([(&names.jobs, ExchangeKind::Direct)]) {
        let options = ExchangeDeclareOptions { passive: true, durable: true, ..ExchangeDeclareOptions::default() };
        let answer = channel.exchange_declare(exchange.as_str().into(), kind, options, FieldTable::default()).await;
        if let Some(missing) = found(format!("exchange {exchange}"), answer)? {
            return Ok(Some(missing));
        }
    }
    let answer = look(&channel, &names.jobs).await;
    if let Some(missing) = found(format!("queue {}", names.jobs), answer.map(drop))? {
        return Ok(Some(missing));
    }
    channel.close(200, "done".into()).await.map_err(at("close a channel".to_owned()))?;
    Ok(None)
}

/// Whether the broker takes a message from this user now. The message is one that no queue gets, as a worker publishes at the beginning of each session: a
/// broker announces an alarm only to connections that publish.
pub async fn takes_messages(link: &Link, exchange: &str, limit: Duration) -> Result<(), NotTaken> {
    let mut events = link.events_listener();
    let outbox = Outbox::new(link.clone(), 1, limit);
    let mut proving = pin!(tokio::time::timeout(limit, outbox.prove(exchange)));
    loop {
        tokio::select! {
            biased;
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(why)) => return Err(NotTaken::Blocked(why)),
                Some(_) => {}
                None => return Err(NotTaken::Unconfirmed("the connection ended".to_owned())),
            },
            proven = &mut proving => return match proven {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(match reply_code(&error) {
                    Some(ACCESS_REFUSED) => NotTaken::Forbidden,
                    Some(NOT_FOUND) => NotTaken::Missing,
                    _ => NotTaken::Unconfirmed(error.to_string()),
                }),
                Err(_) => Err(NotTaken::Unconfirmed(format!("no confirm within {limit:?}"))),
            },
        }
    }
}

/// Closes a connection, with the closing handshake where the broker still answers.
pub async fn close(link: &Link) {
    if !matches!(tokio::time::timeout(CLOSE_LIMIT, link.close(200, "bye".into())).await, Ok(Ok(()))) {
        tracing::debug!("the connection did not close in time");
    }
}
