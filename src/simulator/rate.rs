//! How many calls a second the simulated vendor takes.

use std::time::{Duration, Instant};

/// Calls a second; zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit(f64);

/// A number that is no rate.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("use the rate limit {0}: it must be 0 (off) or a number of calls a second from 0.001 to 1000000")]
pub struct RateLimitError(f64);

/// A token bucket that holds one second's worth, at least one call, and starts full.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: RateLimit,
    tokens: f64,
    at: Instant,
}

// === impl RateLimit ===

impl RateLimit {
    /// No limit.
    pub const OFF: Self = Self(0.0);

    /// So many calls a second; 0 is [`OFF`](Self::OFF).
    pub fn per_second(rate: f64) -> Result<Self, RateLimitError> {
        if rate == 0.0 || (0.001..=1e6).contains(&rate) { Ok(Self(rate)) } else { Err(RateLimitError(rate)) }
    }

    /// Calls a second; 0 is no limit.
    pub fn get(self) -> f64 {
        self.0
    }
}

// === impl Bucket ===

impl Bucket {
    pub(super) fn new(rate: RateLimit, now: Instant) -> Self {
        Self { rate, tokens: rate.0.max(1.0), at: now }
    }

    /// Takes one call's worth, or says how long until there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let rate = self.rate.0;
        if self.rate == RateLimit::OFF {
            return Ok(());
        }
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * rate).min(rate.max(1.0));
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RateLimit::per_second(2.0).unwrap(), start);
        assert_eq!([bucket.take(start), bucket.take(start)], [Ok(()), Ok(())]);
        assert_eq!(bucket.take(start), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(start + Duration::from_millis(500)), Ok(()));
        assert!(bucket.take(start + Duration::from_millis(600)).is_err());
        let later = start + Duration::from_mins(1);
        assert_eq!([bucket.take(later), bucket.take(later)], [Ok(()), Ok(())]);
        assert!(bucket.take(later).is_err(), "an idle minute does not save up more than a second's worth");
    }

    #[test]
    fn a_slow_rate_still_gives_one() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RateLimit::per_second(0.5).unwrap(), start);
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start), Err(Duration::from_secs(2)));
    }

    #[test]
    fn off_never_refuses_and_nonsense_is_no_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RateLimit::OFF, start);
        assert!((0..1000).all(|_| bucket.take(start).is_ok()));
        for rate in [-1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert!(RateLimit::per_second(rate).is_err(), "{rate}");
        }
    }
}
