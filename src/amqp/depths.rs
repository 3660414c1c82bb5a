//! How many messages wait in each queue of the topology, for the status page.

use super::connect::Link;
use super::reply::{ACCESS_REFUSED, reply_code};
use super::topology::Names;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A page that is looked at wants to be fresher than a watchdog.
const OFTEN: Duration = Duration::from_secs(5);

/// A busy quorum queue is said to be empty and without consumers (RabbitMQ 3.10.8, after 250 ms). An answer that took so long and
/// says that says nothing.
const BUSY: Duration = Duration::from_millis(100);

/// What the broker last said of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Its name.
    pub queue: String,
    /// Messages that are ready to be delivered; `None` where it does not exist, may not be asked for, or is too busy to tell.
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
pub(super) async fn count(link: &Link, names: &Names, every: Duration, depths: &Depths) -> Infallible {
    let mut ticks = interval(every.min(OFTEN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let retry = names.retry.iter().map(|(queue, _)| queue);
    let queues: Vec<_> = [&names.jobs].into_iter().chain(retry).chain([&names.dead, &names.parked]).collect();
    // What the user may not ask for is asked for once: each refusal is a line in the broker's log.
    let mut refused = vec![false; queues.len()];
    let mut channel = None;
    loop {
        ticks.tick().await;
        let mut known = Vec::with_capacity(queues.len());
        for (queue, refused) in queues.iter().zip(&mut refused) {
            let answer = if *refused { None } else { ask(link, &mut channel, queue, refused).await };
            let (ready, consumers) = answer.unzip();
            known.push(Depth { queue: (*queue).clone(), ready, consumers: consumers.unwrap_or_default() });
        }
        depths.set(known);
    }
}

/// Messages that are ready and consumers, without management rights. `None`: the broker is too busy to tell. A queue that does not
/// exist or may not be asked for is an error, with which the broker closes the channel.
pub(super) async fn look(channel: &Channel, queue: &str) -> lapin::Result<Option<(u32, u32)>> {
    let asked = Instant::now();
    let options = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
    let answer = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    let counts = (answer.message_count(), answer.consumer_count());
    Ok((counts != (0, 0) || asked.elapsed() <= BUSY).then_some(counts))
}

async fn ask(link: &Link, channel: &mut Option<Channel>, queue: &str, refused: &mut bool) -> Option<(u32, u32)> {
    let open = match channel.take() {
        Some(open) => open,
        None => link.create_channel().await.ok()?,
    };
    match look(&open, queue).await {
        Ok(counts) => {
            // A broker closes the channel with a refusal.
            *channel = Some(open);
            counts
        }
        Err(error) => {
            *refused = reply_code(&error) == Some(ACCESS_REFUSED);
            None
        }
    }
}
