//! Finds the connection that is up and the consumer that is not: the worst of all states, because everything looks well.

use super::connect::Link;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A passive declare is one round trip; longer than this is no answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How often in a row messages may lie there, with hands free and none arriving, before that is no coincidence.
const PATIENCE: u8 = 2;

/// Signs of life of the consumer.
#[derive(Default)]
pub(super) struct Pulse {
    deliveries: AtomicU64,
    wanted: AtomicU16,
    hands: Arc<Hands>,
}

#[derive(Debug, Default)]
struct Hands {
    held: AtomicUsize,
    ended: AtomicU64,
    changed: Notify,
}

/// One delivery in hand: it counts for as long as this lives.
#[derive(Debug)]
pub(super) struct Hand {
    hands: Arc<Hands>,
    ended: AtomicBool,
}

impl Hand {
    /// It counts as one that has found its end, though it is still in hand.
    pub(super) fn counts_as_ended(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.hands.ended.fetch_add(1, Ordering::Relaxed);
            self.hands.changed.notify_one();
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.hands.held.fetch_sub(1, Ordering::Relaxed);
        self.counts_as_ended();
    }
}

impl Pulse {
    pub(super) fn beat(&self) {
        self.deliveries.fetch_add(1, Ordering::Relaxed);
    }

    /// So many may be in hand; 0 when nothing is consumed.
    pub(super) fn expect(&self, wanted: u16) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// A token for a lease: as long as it lives, the lease counts as in hand.
    pub(super) fn in_hand(&self) -> Hand {
        self.hands.held.fetch_add(1, Ordering::Relaxed);
        Hand { hands: self.hands.clone(), ended: AtomicBool::new(false) }
    }

    /// How many deliveries are in hand.
    pub(super) fn held(&self) -> usize {
        self.hands.held.load(Ordering::Relaxed)
    }

    /// How many deliveries have found their end, when there is one more since the last time that this was waited for. Cancel safe.
    pub(super) async fn ended(&self) -> u64 {
        self.hands.changed.notified().await;
        self.hands.ended.load(Ordering::Relaxed)
    }

    fn hands_free(&self) -> bool {
        self.held() < usize::from(self.wanted.load(Ordering::Relaxed))
    }
}

/// How many messages lie in the job queue, as the broker last said.
#[derive(Debug)]
pub(super) struct Waiting(AtomicU64);

impl Default for Waiting {
    fn default() -> Self {
        Self(AtomicU64::new(Self::UNKNOWN))
    }
}

impl Waiting {
    const UNKNOWN: u64 = u64::MAX;

    pub(super) fn known(&self) -> Option<u32> {
        u32::try_from(self.0.load(Ordering::Relaxed)).ok()
    }

    pub(super) fn forget(&self) {
        self.0.store(Self::UNKNOWN, Ordering::Relaxed);
    }

    fn are(&self, ready: u32) {
        self.0.store(ready.into(), Ordering::Relaxed);
    }
}

/// Ends with the reason why the session is not worth keeping, and whether it is that the broker does not answer here. `other` is the connection that nothing may be heard of: the publishing one, where there is one.
pub(super) async fn watch(
    probe: &Channel,
    other: &Link,
    queue: &str,
    every: Duration,
    pulse: &Pulse,
    waiting: &Waiting,
) -> (String, bool) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut seen = 0;
    let mut idle = 0;
    loop {
        ticks.tick().await;
        if !other.status().connected() {
            return ("a connection is gone".to_owned(), false);
        }
        let (ready, consumers) = match timeout(ANSWER_LIMIT, ask(probe, queue)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return (format!("watchdog: {error}"), false),
            Err(_) => return (format!("watchdog: the broker did not answer within {ANSWER_LIMIT:?}"), true),
        };
        waiting.are(ready);
        if pulse.wanted.load(Ordering::Relaxed) == 0 {
            idle = 0;
            continue;
        }
        if consumers == 0 {
            return (format!("watchdog: the broker knows no consumer of {queue}"), false);
        }
        let deliveries = pulse.deliveries.load(Ordering::Relaxed);
        idle = if ready > 0 && deliveries == seen && pulse.hands_free() { idle + 1 } else { 0 };
        seen = deliveries;
        if idle >= PATIENCE {
            return (format!("watchdog: {ready} messages wait in {queue} and none arrives"), false);
        }
    }
}

/// Passive declare: depth and consumers without management rights.
async fn ask(probe: &Channel, queue: &str) -> lapin::Result<(u32, u32)> {
    let options = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
    let answer = probe.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok((answer.message_count(), answer.consumer_count()))
}
