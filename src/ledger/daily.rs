//! The count of calls against `api.daily_call_limit`. The memory and the file backend, and the one that remembers nothing, count by these rules; the
//! script of the Redis backend has the same rules again, held to them by the conformance suite.

use super::clock::Clock;
use antispoof_core::ports::{DailyCalls, Intent};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How many calls a day may have, and the clock that says which day it is.
#[derive(Clone, Debug)]
pub(super) struct DailyLimit {
    /// At least 1.
    pub(super) calls: u64,
    clock: Clock,
}

/// The calls of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) day: u64,
    pub(super) counted: u64,
}

/// A count that lives as long as the process.
#[derive(Debug)]
pub struct LocalCount {
    limit: Option<DailyLimit>,
    tally: Mutex<Tally>,
}

impl DailyLimit {
    /// `None` where the limit is 0, which is none.
    pub(super) fn new(calls: u64, clock: Clock) -> Option<Self> {
        (calls > 0).then_some(Self { calls, clock })
    }

    /// The moment by the limit's clock, in milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

impl Tally {
    /// Counts a call, unless that would be one too many.
    pub(super) fn count(&mut self, limit: u64, now_ms: u64) -> Intent {
        *self = self.on(now_ms);
        if self.counted >= limit {
            return Intent::LimitReached { today: self.of(limit), resumes_in: until_midnight(now_ms) };
        }
        self.counted += 1;
        Intent::Recorded(Some(self.of(limit)))
    }

    /// A call of that day is counted no more. What was counted on another day does not matter any more.
    pub(super) fn take_back(&mut self, day: u64) {
        if self.day == day {
            self.counted = self.counted.saturating_sub(1);
        }
    }

    /// At that moment: a count of another day is over, whichever way the clock was set.
    pub(super) fn on(self, now_ms: u64) -> Self {
        let day = now_ms / DAY_MS;
        if self.day == day { self } else { Self { day, counted: 0 } }
    }

    pub(super) fn of(self, limit: u64) -> DailyCalls {
        DailyCalls { day: self.day, counted: self.counted, limit }
    }
}

impl LocalCount {
    /// Counts up to `limit` calls a day; 0: does not count.
    pub fn new(limit: u64, clock: Clock) -> Self {
        Self { limit: DailyLimit::new(limit, clock), tally: Mutex::default() }
    }

    /// As [`Ledger::intent`](antispoof_core::ports::Ledger::intent), as far as the count goes.
    pub(super) fn count(&self) -> Intent {
        match &self.limit {
            Some(limit) => self.tally().count(limit.calls, limit.now_ms()),
            None => Intent::Recorded(None),
        }
    }

    pub(super) fn take_back(&self, day: u64) {
        self.tally().take_back(day);
    }

    pub(super) fn today(&self) -> Option<DailyCalls> {
        let limit = self.limit.as_ref()?;
        Some(self.tally().on(limit.now_ms()).of(limit.calls))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LocalCount {
    fn default() -> Self {
        Self::new(0, Clock::wall())
    }
}

fn until_midnight(now_ms: u64) -> Duration {
    Duration::from_millis(DAY_MS - now_ms % DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::AnyLedger;
    use crate::ledger::conformance::{Hand, Lives, Place, conformance};
    use std::sync::Arc;

    /// The ledger that remembers nothing counts all the same.
    struct Nowhere {
        ledger: Arc<AnyLedger>,
        hand: Hand,
    }

    impl Place for Nowhere {
        type Ledger = AnyLedger;

        async fn limited(_: Lives, daily_call_limit: u64) -> Self {
            let hand = Hand::default();
            let count = LocalCount::new(daily_call_limit, hand.clock());
            Self { ledger: Arc::new(AnyLedger::Nothing(count)), hand }
        }

        fn worker(&self) -> Arc<AnyLedger> {
            self.ledger.clone()
        }

        async fn stranger(&self) -> Option<Arc<AnyLedger>> {
            None
        }

        fn pass(&self, time: Duration) {
            self.hand.pass(time);
        }

        async fn next_day(&self) {
            self.hand.pass(Duration::from_hours(24));
        }

        async fn after_a_crash(self) -> Option<Self> {
            None
        }
    }

    conformance!(Nowhere:
        no_more_calls_than_a_day_may_have
        what_was_sent_counts_and_what_was_not_does_not
        every_day_has_its_own_calls
        without_a_limit_nothing_is_counted
    );

    #[test]
    fn a_day_ends_at_midnight_whichever_way_the_clock_is_set() {
        let mut tally = Tally::default();
        let noon = 20_786 * DAY_MS + DAY_MS / 2;
        assert!(
            matches!(tally.count(1, noon), Intent::Recorded(Some(today)) if today.day == 20_786 && today.counted == 1)
        );
        let reached = tally.count(1, noon + 1);
        assert!(
            matches!(reached, Intent::LimitReached { resumes_in, .. } if resumes_in == Duration::from_millis(DAY_MS / 2 - 1)),
            "{reached:?}"
        );
        assert!(matches!(tally.count(1, noon - DAY_MS), Intent::Recorded(_)), "a clock that was a day ahead");
        assert!(matches!(tally.count(1, 20_788 * DAY_MS), Intent::Recorded(_)));
        assert_eq!(until_midnight(20_788 * DAY_MS), Duration::from_hours(24));
    }
}
