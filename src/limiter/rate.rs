//! `api.rate_limit`, and a moment's pause when the vendor refuses for being asked too often.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The pause after a 429 that names none.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct RateLimiter {
    /// Time between two calls; zero is no limit.
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl RateLimiter {
    /// So many calls a second; 0 is no limit.
    pub(super) fn new(calls_per_second: f64) -> Self {
        // Less than one call an hour is a typing mistake, and its interval would overflow the clock.
        let interval = if calls_per_second > 0.0 {
            Duration::from_secs_f64((1.0 / calls_per_second).min(3600.0))
        } else {
            Duration::ZERO
        };
        Self { interval, next: Mutex::default() }
    }

    /// Waits for a slot. A slot given up while waiting is lost, which errs on the slow side.
    pub(super) async fn acquire(&self) {
        if let Some(at) = self.take(Instant::now()) {
            sleep_until(at).await;
        }
    }

    /// No call starts for a moment. (A pause that the vendor asks for holds jobs back, and is the gate's.)
    pub(super) fn pause(&self) {
        let until = Instant::now() + PAUSE;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = next.max(Some(until));
    }

    fn take(&self, now: Instant) -> Option<Instant> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.filter(|&at| at > now);
        if self.interval.is_zero() {
            *next = at;
        } else {
            *next = Some(at.unwrap_or(now) + self.interval);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_spaced_evenly() {
        let limiter = RateLimiter::new(10.0);
        let start = Instant::now();
        for _ in 0..11 {
            limiter.acquire().await;
        }
        assert_eq!(start.elapsed().as_millis(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_all_calls_and_then_none() {
        let limiter = RateLimiter::new(0.0);
        let start = Instant::now();
        limiter.acquire().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        limiter.pause();
        tokio::join!(limiter.acquire(), limiter.acquire());
        assert!(start.elapsed() >= PAUSE && start.elapsed() < PAUSE * 2);
        let held = Instant::now();
        limiter.acquire().await;
        assert_eq!(held.elapsed(), Duration::ZERO);
    }
}
