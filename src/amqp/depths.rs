//! How many messages wait in each queue of the topology, for the status page.

use super::connect::Link;
use super::consume_mode::{ConsumeMode, ConsumeState};
use super::reply::{ACCESS_REFUSED, reply_code};
use super::topology::Names;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A page that is looked at wants to be fresher than a watchdog.
const OFTEN: Duration = Duration::from_secs(5);

/// What a declare says of a queue that is empty, and of a quorum queue whose leader is away or busy: mostly at once, sometimes after 250 ms, and
/// without a majority for as long as that lasts (RabbitMQ 3.10 to 4.3, findings/rabbitmq-quorum-declare-says-empty.sh).
pub(super) const EMPTY_OR_UNKNOWN: (u32, u32) = (0, 0);

/// A leader answers sooner than this; a later answer of nothing is of a leader that did not.
const BUSY: Duration = Duration::from_millis(100);

/// What the broker last said of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Its name.
    pub queue: String,
    /// Messages that are ready to be delivered; `None` where it does not exist, may not be asked for, or does not answer.
    pub ready: Option<u32>,
    /// Its consumers.
    pub consumers: u32,
}

#[derive(Debug, Default)]
pub(super) struct Depths(Mutex<Vec<Depth>>);

impl Depths {
    pub(super) fn known(&self) -> Vec<Depth> {
        self.lock().clone()
    }

    pub(super) fn ready(&self, queue: &str) -> Option<u32> {
        self.lock().iter().find(|depth| depth.queue == queue)?.ready
    }

    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn set(&self, depths: Vec<Depth>) {
        *self.lock() = depths;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Depth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks again and again, and does not end. That the connection is gone is noticed elsewhere.
pub(super) async fn count(
    link: &Link,
    names: &Names,
    every: Duration,
    depths: &Depths,
    consuming: &watch::Sender<ConsumeState>,
) -> Infallible {
    let mut ticks = interval(every.min(OFTEN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let retry = names.retry.iter().map(|(queue, _)| queue);
    let queues: Vec<_> = [&names.jobs].into_iter().chain(retry).chain([&names.dead, &names.parked]).collect();
    // What the user may not ask for is asked for once: each refusal is a line in the broker's log.
    let mut refused = vec![false; queues.len()];
    let mut channel = None;
    loop {
        ticks.tick().await;
        // Before they are asked: a consumer that is made meanwhile may be counted or not.
        let has_consumer = matches!(*consuming.borrow(), ConsumeState::As(mode) if mode != ConsumeMode::Paused);
        let mut answers = Vec::with_capacity(queues.len());
        for (queue, refused) in queues.iter().zip(&mut refused) {
            answers.push(if *refused { None } else { ask(link, &mut channel, queue, refused).await });
        }
        // The job queue has a consumer, this one. Where it is said to have none, the same answer about another queue may be as wrong.
        let unknown = has_consumer && answers.first() == Some(&Some(EMPTY_OR_UNKNOWN));
        let known = queues.iter().zip(answers).map(|(queue, answer)| {
            let (ready, consumers) = answer.filter(|counts| !unknown || *counts != EMPTY_OR_UNKNOWN).unzip();
            Depth { queue: (*queue).clone(), ready, consumers: consumers.unwrap_or_default() }
        });
        depths.set(known.collect());
    }
}

/// Messages that are ready and consumers, without management rights; [`EMPTY_OR_UNKNOWN`] is no answer to rely on. A queue that does not exist or
/// may not be asked for is an error, with which the broker closes the channel.
pub(super) async fn look(channel: &Channel, queue: &str) -> lapin::Result<(u32, u32)> {
    let options = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
    let answer = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok((answer.message_count(), answer.consumer_count()))
}

async fn ask(link: &Link, channel: &mut Option<Channel>, queue: &str, refused: &mut bool) -> Option<(u32, u32)> {
    let open = match channel.take() {
        Some(open) => open,
        None => link.create_channel().await.ok()?,
    };
    let asked = Instant::now();
    match look(&open, queue).await {
        Ok(counts) => {
            // A broker closes the channel with a refusal.
            *channel = Some(open);
            (counts != EMPTY_OR_UNKNOWN || asked.elapsed() <= BUSY).then_some(counts)
        }
        Err(error) => {
            *refused = reply_code(&error) == Some(ACCESS_REFUSED);
            None
        }
    }
}
