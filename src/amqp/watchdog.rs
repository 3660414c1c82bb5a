//! Finds a connection that is up while its consumer is not: nothing else reports that state.

use super::connect::Link;
use super::depths::{EMPTY_OR_UNKNOWN, look};
use lapin::Channel;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A passive declare is one round trip; longer than this is no answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How often in a row messages may wait in the queue while more could be in flight and none arrives, before that is no coincidence.
const PATIENCE: u8 = 2;

/// Signs of life of a consumer. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Liveness(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    delivered: AtomicU64,
    prefetch: AtomicU16,
    in_flight: AtomicUsize,
    ended: AtomicU64,
    one_ended: Notify,
}

/// One delivery, which is in flight for as long as this lives.
#[derive(Debug)]
pub(super) struct InFlight {
    counters: Arc<Counters>,
    ended: AtomicBool,
}

impl InFlight {
    /// Counts the delivery as ended, though it is still in flight.
    pub(super) fn counts_as_ended(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.counters.ended.fetch_add(1, Ordering::Relaxed);
            self.counters.one_ended.notify_one();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.counts_as_ended();
    }
}

impl Liveness {
    /// Counts a delivery. It is in flight for as long as the returned value lives.
    pub(super) fn delivered(&self) -> InFlight {
        self.0.delivered.fetch_add(1, Ordering::Relaxed);
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { counters: self.0.clone(), ended: AtomicBool::new(false) }
    }

    /// Sets how many deliveries may be in flight; 0 when nothing is consumed.
    pub(super) fn set_prefetch(&self, prefetch: u16) {
        self.0.prefetch.store(prefetch, Ordering::Relaxed);
    }

    /// How many deliveries are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// Waits for the end of another delivery, and returns how many have ended. Cancel safe.
    pub(super) async fn one_ended(&self) -> u64 {
        self.0.one_ended.notified().await;
        self.0.ended.load(Ordering::Relaxed)
    }

    fn prefetch(&self) -> u16 {
        self.0.prefetch.load(Ordering::Relaxed)
    }
}

/// Why a session has to end.
pub(super) struct Alarm {
    pub(super) reason: String,
    /// The broker does not answer on this connection.
    pub(super) silent: bool,
}

/// Ends with an alarm when the session has to end. `other` is a connection whose end may go unnoticed: the publishing one, where
/// there is one.
pub(super) async fn watch(probe: &Channel, other: &Link, queue: &str, every: Duration, liveness: &Liveness) -> Alarm {
    let alarm = |reason: String| Alarm { reason, silent: false };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut seen = 0;
    let mut idle = 0;
    loop {
        ticks.tick().await;
        if !other.status().connected() {
            return alarm("a connection is gone".to_owned());
        }
        let (ready, consumers) = match timeout(ANSWER_LIMIT, look(probe, queue)).await {
            // Where there are no messages, a consumer that is lost is not missed; it is when they come.
            Ok(Ok(EMPTY_OR_UNKNOWN)) => continue,
            Ok(Ok(counts)) => counts,
            Ok(Err(error)) => return alarm(format!("watchdog: {error}")),
            Err(_) => {
                let reason = format!("watchdog: the broker did not answer within {ANSWER_LIMIT:?}");
                return Alarm { reason, silent: true };
            }
        };
        if liveness.prefetch() == 0 {
            idle = 0;
            continue;
        }
        if consumers == 0 {
            return alarm(format!("watchdog: the broker knows no consumer of {queue}"));
        }
        let delivered = liveness.0.delivered.load(Ordering::Relaxed);
        let more_could_be_in_flight = liveness.in_flight() < usize::from(liveness.prefetch());
        idle = if ready > 0 && delivered == seen && more_could_be_in_flight { idle + 1 } else { 0 };
        seen = delivered;
        if idle >= PATIENCE {
            return alarm(format!("watchdog: {ready} messages wait in {queue} and none arrives"));
        }
    }
}
