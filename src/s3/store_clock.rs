//! The store's clock, from the `Date` of its answers: the one clock that all of its clients share.

use http::HeaderMap;
use http::header::DATE;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A `Date` says the second alone.
const RESOLUTION_MS: i64 = 999;

/// Two clocks that differ by less are as good as one: they drift.
const NEAR_MS: i64 = 2_000;

/// What is known of the store's clock. It is known by its bounds, since an answer is on its way for some time.
#[derive(Debug)]
pub(super) struct StoreClock {
    start: Instant,
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The earliest and the latest that the store's clock can have been at `start`, in milliseconds since 1970.
    at_start: Option<Bounds>,
    /// The same by answers that contradict it, and how many of them came one after the other.
    doubted: Option<(Bounds, u32)>,
}

type Bounds = (i64, i64);

/// So many answers in a row have to agree that the store's clock is another one than was known: a single node of a store, or a proxy, can be wrong.
const ENOUGH: u32 = 3;

impl StoreClock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), known: Mutex::default() }
    }

    /// Takes the date of an answer to a request that was sent at `sent` and is read now.
    pub(super) fn heard(&self, headers: &HeaderMap, sent: Instant) {
        let date = headers.get(DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
        if let Some(date) = date.and_then(|date: SystemTime| date.duration_since(UNIX_EPOCH).ok()) {
            self.heard_ms(millis(date), sent, Instant::now());
        }
    }

    fn heard_ms(&self, date: i64, sent: Instant, received: Instant) {
        // At some moment between the two, the store's clock showed this second.
        let earliest = date - self.since_start(received);
        let latest = date + RESOLUTION_MS - self.since_start(sent);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = known.and((earliest, latest));
    }

    /// The earliest and the latest that it can be there now, in milliseconds since 1970; `None` before the first date.
    pub(super) fn now_ms(&self) -> Option<(u64, u64)> {
        let since = self.since_start(Instant::now());
        let (low, high) = self.known.lock().unwrap_or_else(PoisonError::into_inner).at_start?;
        let now = |at: i64| u64::try_from(at.saturating_add(since)).unwrap_or_default();
        Some((now(low), now(high)))
    }

    fn since_start(&self, at: Instant) -> i64 {
        millis(at.duration_since(self.start))
    }
}

impl Known {
    fn and(self, heard: Bounds) -> Self {
        let Some(known) = self.at_start else { return Self { at_start: Some(heard), doubted: None } };
        if let Some(both) = both(known, heard) {
            return Self { at_start: Some(both), doubted: None };
        }
        // The clock runs at another pace, was set, or is that of another machine behind the same name.
        let (bounds, count) = match self.doubted {
            Some((doubted, count)) => both(doubted, heard).map_or((heard, 1), |both| (both, count + 1)),
            None => (heard, 1),
        };
        let near = (known.0 - bounds.1).max(bounds.0 - known.1) < NEAR_MS;
        if near || count >= ENOUGH {
            return Self { at_start: Some(bounds), doubted: None };
        }
        Self { doubted: Some((bounds, count)), ..self }
    }
}

/// What is within both.
fn both((low, high): Bounds, (earliest, latest): Bounds) -> Option<Bounds> {
    let (low, high) = (low.max(earliest), high.min(latest));
    (low <= high).then_some((low, high))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_796_000_000_000;
    const DAY: i64 = 86_400_000;

    #[test]
    fn each_answer_narrows_what_is_known() {
        let clock = StoreClock::new();
        assert_eq!(clock.now_ms(), None);
        let at = |ms: u64| clock.start + Duration::from_millis(ms);
        let known = || clock.known.lock().expect("not poisoned").at_start.expect("heard");
        // The store's clock was 400 ms past noon at the start; each answer takes 20 ms.
        clock.heard_ms(NOON, at(0), at(20));
        assert_eq!(known(), (NOON - 20, NOON + 999));
        clock.heard_ms(NOON, at(590), at(610));
        assert_eq!(known(), (NOON - 20, NOON + 409));
        clock.heard_ms(NOON + 1000, at(590), at(610));
        assert_eq!(known(), (NOON + 390, NOON + 409));
        let (low, high) = clock.now_ms().expect("heard");
        assert_eq!(high - low, 19);
    }

    #[test]
    fn a_clock_that_is_set_is_believed_when_three_answers_agree() {
        let clock = StoreClock::new();
        let at = |ms: u64| clock.start + Duration::from_millis(ms);
        clock.heard_ms(NOON, at(0), at(20));
        let known = || clock.known.lock().expect("not poisoned").at_start.expect("heard");
        for _ in 0..2 {
            clock.heard_ms(NOON + DAY, at(900), at(920));
            clock.heard_ms(NOON + DAY, at(900), at(920));
            // One of a good node in between.
            clock.heard_ms(NOON, at(930), at(950));
            assert_eq!(known(), (NOON - 20, NOON + 69));
        }
        for _ in 0..3 {
            assert_eq!(known(), (NOON - 20, NOON + 69));
            clock.heard_ms(NOON - 3_600_000, at(1000), at(1020));
        }
        assert_eq!(known(), (NOON - 3_601_020, NOON - 3_600_001));
        // It drifts.
        clock.heard_ms(NOON - 3_600_000 + 2000, at(1000), at(1020));
        assert_eq!(known(), (NOON - 3_599_020, NOON - 3_598_001));
    }

    #[test]
    fn what_is_no_date_says_nothing() {
        let clock = StoreClock::new();
        let mut headers = HeaderMap::new();
        clock.heard(&headers, Instant::now());
        headers.insert(DATE, "noon".parse().expect("a value"));
        clock.heard(&headers, Instant::now());
        assert_eq!(clock.now_ms(), None);
        headers.insert(DATE, "Sun, 29 Nov 2026 22:16:42 GMT".parse().expect("a value"));
        clock.heard(&headers, Instant::now());
        assert!(clock.now_ms().is_some_and(|(low, high)| low <= 1_795_990_602_999 && high >= 1_795_990_602_000));
    }
}
