//! How many jobs have to be in hand, so that calls can be made as fast as the limits allow, and no more of them lie idle here while
//! another worker could run them.

use super::bounds::Bounds;
use std::time::Duration;

/// More hands are taken when there was none idle for so long.
const SHORT: Duration = Duration::from_millis(500);

/// Hands are given up when some were idle all through such a time.
const LONG: Duration = Duration::from_secs(10);

/// The number of jobs that are consumed at a time.
#[derive(Clone, Debug)]
pub struct Hands {
    bounds: Bounds,
    now: u16,
    /// Since when each look found every hand busy.
    busy_since: Option<Duration>,
    /// What the looks since then have found: the least idle ones, and the most busy ones.
    window: Duration,
    idle: u16,
    busy: u16,
}

impl Hands {
    /// As few as there may be.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, now: bounds.min(), busy_since: None, window: Duration::ZERO, idle: u16::MAX, busy: 0 }
    }

    /// How many there are.
    pub fn now(&self) -> u16 {
        self.now
    }

    /// Takes a look, to be repeated a few times a second: so many jobs are in hand, and so many of them wait for their call. Returns how
    /// many there should be.
    pub fn look(&mut self, now: Duration, in_hand: u16, waiting: u16) -> u16 {
        let busy = in_hand.saturating_sub(waiting);
        (self.idle, self.busy) = (self.idle.min(waiting), self.busy.max(busy));
        if waiting > 0 || in_hand < self.now {
            self.busy_since = None;
        } else if now.saturating_sub(*self.busy_since.get_or_insert(now)) >= SHORT {
            self.change(self.now.saturating_mul(2), now);
            return self.now;
        }
        if now.saturating_sub(self.window) >= LONG {
            // A quarter, and two, to spare: not all of them need the same time.
            let enough = self.busy.saturating_add(self.busy / 4).saturating_add(2);
            // Each change takes the consumer off the queue for a moment.
            let fewer = self.idle > 0 && u32::from(enough) * 4 <= u32::from(self.now) * 3;
            self.change(if fewer { enough } else { self.now }, now);
        }
        self.now
    }

    fn change(&mut self, to: u16, now: Duration) {
        self.now = to.clamp(self.bounds.min(), self.bounds.max());
        (self.busy_since, self.window, self.idle, self.busy) = (None, now, u16::MAX, 0);
    }
}
