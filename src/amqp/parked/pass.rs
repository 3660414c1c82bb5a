//! One pass over the parked queue: every message that was in it when the pass began, each once.

use super::entry::ParkedMessage;
use crate::amqp::connect::Link;
use crate::amqp::depths::{EMPTY_OR_UNKNOWN, look};
use crate::amqp::reply::{INTERNAL_ERROR, reply_code};
use crate::amqp::tool::{ToolError, gone};
use crate::amqp::topology::Names;
use antispoof_core::job::Admission;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Consumer, Event};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The most that AMQP can name, and the reason that it is named at all: without a prefetch a quorum queue delivers 2,000 messages
/// and then waits for acks.
const PREFETCH: u16 = u16::MAX;

/// A broker that has messages for a consumer delivers one within this time; a busy one within a few of these.
const SILENCE: Duration = Duration::from_secs(5);
const MOST_SILENCES: u32 = 12;

/// A queue that is said to be empty and is not is asked again, and so is one that is said to have as much as a moment ago: a broker that has just started
/// counts what it has read so far.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
const MOST_LOOKS: u32 = 40;

/// A request is one round trip.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A channel that has just ended is still a consumer for a moment, and what it held comes back with its end.
const AFTERGLOW: Duration = Duration::from_secs(3);

/// A pass that has begun. Dropped, or ended, it puts everything back that was not acked.
pub struct Pass {
    link: Link,
    queue: String,
    dead_queue: String,
    admission: Admission,
    control: Channel,
    channels: Vec<Channel>,
    /// Their tags, in the same order.
    consumers: Vec<String>,
    deliveries: SelectAll<Consumer>,
    events: BoxStream<'static, Event>,
    expected: u32,
    others: u32,
    seen: u32,
    unacked: usize,
}

/// A message that is taken and not acked.
#[derive(Debug)]
pub struct Held {
    /// The message.
    pub message: ParkedMessage,
    /// It was delivered before: to a look of this command, if not to another.
    pub redelivered: bool,
    acker: Acker,
}

impl Pass {
    /// Begins to take the messages. `admission` says how a job is read that names no bucket.
    pub async fn begin(link: &Link, names: &Names, admission: Admission) -> Result<Self, ToolError> {
        let events = link.events_listener().boxed();
        let control = in_time("open a channel", link.create_channel()).await?;
        let until = Instant::now() + AFTERGLOW;
        let mut before = None;
        let (expected, others) = loop {
            let counts = depth(&control, &names.parked).await?;
            if (before == Some(counts) && counts.1 == 0) || Instant::now() >= until {
                break counts;
            }
            before = Some(counts);
            sleep(BETWEEN_LOOKS).await;
        };
        let mut pass = Self {
            link: link.clone(),
            queue: names.parked.clone(),
            dead_queue: names.dead.clone(),
            admission,
            control,
            channels: Vec::new(),
            consumers: Vec::new(),
            deliveries: SelectAll::new(),
            events,
            expected,
            others,
            seen: 0,
            unacked: 0,
        };
        if expected > 0 {
            pass.consume().await?;
        }
        Ok(pass)
    }

    /// How many messages were in the queue when the pass began, without those that another consumer had.
    pub fn expected(&self) -> u32 {
        self.expected
    }

    /// How many other consumers the queue had. What those have taken is not in this pass.
    pub fn other_consumers(&self) -> u32 {
        self.others
    }

    /// The next message, in the order of the queue up to 65,535; `None` when there are no more. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Held>, ToolError> {
        let mut silences = 0;
        while self.seen < self.expected {
            if self.unacked >= self.channels.len() * usize::from(PREFETCH) {
                self.consume().await?;
            }
            tokio::select! {
                delivery = self.deliveries.next() => return match delivery {
                    Some(Ok(delivery)) => Ok(Some(self.take(delivery))),
                    Some(Err(error)) => Err(self.lost(&error.to_string())),
                    None => Err(self.lost("the broker cancelled the consumer")),
                },
                why = gone(&mut self.events) => return Err(self.lost(&why)),
                () = sleep(SILENCE) => {
                    silences += 1;
                    // Another consumer may have taken the rest, or removed it.
                    let (ready, _) = depth(&self.control, &self.queue).await?;
                    if ready == 0 {
                        return Ok(None);
                    }
                    if silences == MOST_SILENCES {
                        return Err(self.lost("it has messages and does not deliver them"));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Asks the broker to remove a message from the queue.
    pub async fn ack(&mut self, acker: Held) -> Result<(), ToolError> {
        match timeout(ANSWER_LIMIT, acker.acker.ack(BasicAckOptions::default())).await {
            Ok(Ok(true)) => {
                self.unacked = self.unacked.saturating_sub(1);
                Ok(())
            }
            Ok(Ok(false)) => Err(self.lost("the channel has ended")),
            Ok(Err(error)) => Err(self.lost(&error.to_string())),
            Err(_) => Err(self.lost("an ack could not be written")),
        }
    }

    /// Puts back what was not acked. A channel of RabbitMQ holds back acks of a quorum queue while more than some thirty are not written,
    /// and drops them when it is closed; cancelling the consumer flushes them. Only another pass tells for certain.
    pub async fn end(self) -> Result<(), ToolError> {
        for (channel, tag) in self.channels.iter().zip(&self.consumers) {
            in_time("cancel a consumer", channel.basic_cancel(tag.as_str().into(), BasicCancelOptions::default()))
                .await?;
        }
        for channel in self.channels.iter().chain([&self.control]) {
            in_time("close a channel", channel.close(200, "done".into())).await?;
        }
        Ok(())
    }

    fn take(&mut self, delivery: Delivery) -> Held {
        self.seen += 1;
        self.unacked += 1;
        let (acker, redelivered) = (delivery.acker.clone(), delivery.redelivered);
        Held { redelivered, message: ParkedMessage::of(delivery, &self.dead_queue, &self.admission), acker }
    }

    async fn consume(&mut self) -> Result<(), ToolError> {
        let (channel, consumer) = match timeout(ANSWER_LIMIT, self.consumer()).await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) if reply_code(&error).is_some() => {
                return Err(ToolError::Refused { what: format!("read {}", self.queue), source: error });
            }
            // A message may end the connection before the broker's answer to this is read.
            Ok(Err(error)) => return Err(self.lost(&error.to_string())),
            Err(_) => return Err(self.lost("the broker does not answer")),
        };
        self.channels.push(channel);
        self.consumers.push(consumer.tag().as_str().to_owned());
        self.deliveries.push(consumer);
        Ok(())
    }

    async fn consumer(&self) -> lapin::Result<(Channel, Consumer)> {
        let channel = self.link.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
        Ok((channel, consumer))
    }

    fn lost(&self, why: &str) -> ToolError {
        ToolError::Lost(format!("{why}, after {} of {} messages of {}", self.seen, self.expected, self.queue))
    }
}

/// How many messages are ready, and how many consumers there are.
async fn depth(channel: &Channel, queue: &str) -> Result<(u32, u32), ToolError> {
    for _ in 0..MOST_LOOKS {
        let counts = in_time(&format!("find queue {queue}"), look(channel, queue)).await?;
        if counts != EMPTY_OR_UNKNOWN || is_empty(channel, queue).await? {
            return Ok(counts);
        }
        sleep(BETWEEN_LOOKS).await;
    }
    Err(ToolError::NoLeader(queue.to_owned()))
}

/// Asks for a message, which only the leader of a queue can answer, and puts back what comes.
async fn is_empty(channel: &Channel, queue: &str) -> Result<bool, ToolError> {
    let asked = channel.basic_get(queue.into(), BasicGetOptions::default());
    match in_time(&format!("ask queue {queue} for a message"), asked).await {
        Ok(None) => Ok(true),
        Ok(Some(message)) => {
            let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            in_time("put a message back", message.nack(requeue)).await?;
            Ok(false)
        }
        Err(ToolError::Refused { source, .. }) if reply_code(&source) == Some(INTERNAL_ERROR) => {
            Err(ToolError::NoLeader(queue.to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// lapin may leave a request unanswered for ever whose connection ends at that moment.
async fn in_time<T>(what: &str, request: impl Future<Output = lapin::Result<T>>) -> Result<T, ToolError> {
    match timeout(ANSWER_LIMIT, request).await {
        Ok(answer) => answer.map_err(|source| ToolError::Refused { what: what.to_owned(), source }),
        Err(_) => Err(ToolError::Lost(format!("{what}: no answer within {ANSWER_LIMIT:?}"))),
    }
}
