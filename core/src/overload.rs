//! How many calls may be under way, and how many may start a second, learned from how the API answers. No clock and no I/O: each
//! moment comes as a [`Duration`] since a moment of the caller's choice.
//!
//! Two limits, because APIs limit two things. An account has a quota of calls a second: a few calls at a time can already be more,
//! where answers are quick, so a limit of concurrency cannot keep to it. That is the `pace`, learned from refusals (429). And a
//! server can do so many things at once: that is the `concurrency`, learned from errors of overload, and from latency as a second
//! signal. [`Hands`] says how many jobs have to be in hand to make use of both.

mod bounds;
mod call;
mod concurrency;
mod hands;
mod pace;
#[cfg(test)]
mod tests;

pub use bounds::{Bounds, InvalidBounds};
pub use call::Call;
pub use hands::Hands;

use concurrency::Concurrency;
use pace::Pace;
use std::time::Duration;

/// Whether the next call may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a call that starts without asking is not counted"]
pub enum Turn {
    /// Now. It is counted as under way until [`AdaptiveLimit::over`].
    Now,
    /// Not before this moment.
    At(Duration),
    /// When another call is over.
    Full,
}

/// What the end of a call says about the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The API did its work, whatever it said about the image.
    Served,
    /// It refuses for being asked too often; for how long, where it says so.
    Refused(Option<Duration>),
    /// It is overloaded, or no answer came in time.
    Overloaded,
}

/// The two limits of one process.
#[derive(Clone, Debug)]
pub struct AdaptiveLimit {
    concurrency: Concurrency,
    pace: Pace,
    under_way: u32,
}

impl AdaptiveLimit {
    /// Begins with as few calls at a time as it may, and with at most `per_second` calls a second; 0 is no limit.
    pub fn new(bounds: Bounds, per_second: f64) -> Self {
        Self { concurrency: Concurrency::new(bounds), pace: Pace::new(per_second), under_way: 0 }
    }

    /// Asks for the next call.
    pub fn take(&mut self, now: Duration) -> Turn {
        if self.under_way >= u32::from(self.concurrency.limit()) {
            return Turn::Full;
        }
        match self.pace.take(now) {
            Ok(()) => {
                self.under_way += 1;
                Turn::Now
            }
            Err(at) => Turn::At(at),
        }
    }

    /// A call for which there was a [`Turn::Now`] is over, or was not made.
    pub fn over(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Learns from a call. It may be reported before or after [`AdaptiveLimit::over`].
    pub fn learn(&mut self, call: Call, signal: Signal) {
        match signal {
            Signal::Served => {
                self.pace.served(call.ended);
                self.concurrency.served(call, self.under_way);
            }
            Signal::Refused(asked) => self.pace.refused(call, asked),
            Signal::Overloaded => self.concurrency.overloaded(call, self.under_way),
        }
    }

    /// The most calls at a time.
    pub fn limit(&self) -> u16 {
        self.concurrency.limit()
    }

    /// The most calls a second; `None` while there is no limit.
    pub fn pace(&self) -> Option<f64> {
        self.pace.rate()
    }
}
