//! When to try again: arithmetic only. The clock and the random numbers come from outside.

use crate::failure::{Failure, Retry};
use serde::Deserialize;
use std::time::Duration;

/// How many attempts of a job have been spent, by any worker. Comes from the `as-attempt` header; 0 on a job's first delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(u32);

impl Attempt {
    /// So many attempts spent.
    pub const fn spent(count: u32) -> Self {
        Self(count)
    }

    /// The count.
    pub const fn count(self) -> u32 {
        self.0
    }

    /// One more.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Exponential backoff with equal jitter: half of each wait is fixed, half is chance.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

/// Bounds that contradict each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidBackoff {
    /// A wait of nothing would be a hot loop.
    #[error("the shortest wait must be above zero")]
    Zero,
    /// The shortest wait is longer than the longest.
    #[error("the shortest wait must not exceed the longest")]
    Inverted,
}

impl Backoff {
    /// Waits that start at `min`, double, and stay at `max`.
    pub const fn try_new(min: Duration, max: Duration) -> Result<Self, InvalidBackoff> {
        if min.is_zero() {
            return Err(InvalidBackoff::Zero);
        }
        if min.as_nanos() > max.as_nanos() {
            return Err(InvalidBackoff::Inverted);
        }
        Ok(Self { min, max })
    }

    /// The wait before try `n` (0 is the first repetition), between half and all of the doubled bound.
    ///
    /// `roll` is a number in `0.0..1.0`. Half stays fixed, so that a zero roll cannot make a hot loop.
    pub fn wait(&self, n: u32, roll: f64) -> Duration {
        let doubled = self.min.saturating_mul(1u32.checked_shl(n).unwrap_or(u32::MAX));
        let bound = doubled.min(self.max);
        bound.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0).max(self.min / 2)
    }

    /// The longest wait.
    pub const fn max(&self) -> Duration {
        self.max
    }
}

/// What the settings say about trying again.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Tries within one delivery; at least 1.
    pub quick_attempts: u32,
    /// The waits between them.
    pub quick: Backoff,
    /// The delays of the delay queues, ascending, at least one.
    pub delays: Vec<Duration>,
    /// Attempts (deliveries that failed for the job's own sake) before it is parked as exhausted; at least 1.
    pub max_attempts: u32,
    /// Whether a call that may have been paid for is made again or set aside.
    pub in_doubt: InDoubt,
}

/// What to do when a call may have been paid for and no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InDoubt {
    /// Call again, through the delay queues. Costs money in the worst case.
    Retry,
    /// Park the job at once. Costs an operator's time.
    Park,
}

impl RetryPolicy {
    /// The wait before the next quick try, or `None` when the job should leave memory.
    ///
    /// `done` tries have been made. A wait that the other side requested is honoured where it is no longer than the longest quick wait;
    /// a longer one belongs into a delay queue, where it holds no connection and no slot.
    pub fn quick_wait(&self, failure: &Failure, done: u32, roll: f64) -> Option<Duration> {
        if failure.may_be_paid() || failure.code().retry() != Retry::Quick || done >= self.quick_attempts {
            return None;
        }
        let wait = self.quick.wait(done.saturating_sub(1), roll);
        match failure.retry_after() {
            Some(asked) if asked > self.quick.max() => None,
            Some(asked) => Some(wait.max(asked)),
            None => Some(wait),
        }
    }

    /// Index of the delay queue for a job with `spent` attempts: its turn in the list, or the first that is long enough for `asked`.
    pub fn tier(&self, spent: Attempt, asked: Option<Duration>) -> usize {
        let last = self.delays.len().saturating_sub(1);
        let by_turn = (spent.count().saturating_sub(1) as usize).min(last);
        let by_request = asked.map_or(0, |asked| self.delays.iter().position(|&delay| delay >= asked).unwrap_or(last));
        by_turn.max(by_request)
    }

    /// Index of the delay queue to use when `tier` and the `refused - 1` after it do not take messages: the longer ones come first, then the shorter.
    pub fn tier_instead(&self, tier: usize, refused: usize) -> usize {
        tier.saturating_add(refused) % self.delays.len().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            quick_attempts: 3,
            quick: Backoff::try_new(Duration::from_millis(200), Duration::from_secs(5)).expect("valid"),
            delays: [10, 60, 600, 3600].map(Duration::from_secs).to_vec(),
            max_attempts: 8,
            in_doubt: InDoubt::Retry,
        }
    }

    #[test]
    fn backoff_doubles_within_its_bounds() {
        let backoff = policy().quick;
        assert_eq!(backoff.wait(0, 1.0), Duration::from_millis(200));
        assert_eq!(backoff.wait(0, 0.0), Duration::from_millis(100));
        assert_eq!(backoff.wait(2, 1.0), Duration::from_millis(800));
        assert_eq!(backoff.wait(40, 1.0), Duration::from_secs(5));
        assert_eq!(backoff.wait(u32::MAX, 0.0), Duration::from_millis(2500));
        assert_eq!(Backoff::try_new(Duration::ZERO, Duration::MAX).expect_err("hot"), InvalidBackoff::Zero);
        assert_eq!(
            Backoff::try_new(Duration::from_secs(2), Duration::from_secs(1)).expect_err("upside down"),
            InvalidBackoff::Inverted
        );
    }

    #[test]
    fn quick_tries_are_counted_and_leave_long_waits_to_the_queues() {
        let policy = policy();
        let plain = Failure::new(Code::ApiUnavailable, "x");
        assert!(policy.quick_wait(&plain, 1, 0.5).is_some());
        assert!(policy.quick_wait(&plain, 3, 0.5).is_none());
        let soon = plain.clone().with_retry_after(Some(Duration::from_secs(2)));
        assert_eq!(policy.quick_wait(&soon, 1, 0.5), Some(Duration::from_secs(2)));
        let late = plain.with_retry_after(Some(Duration::from_secs(6)));
        assert_eq!(policy.quick_wait(&late, 1, 0.5), None);
        assert_eq!(policy.quick_wait(&Failure::new(Code::ApiInDoubt, "x"), 1, 0.5), None);
        let gateway = Failure::new(Code::ApiUnavailable, "x").with_status(502);
        assert!(policy.quick_wait(&gateway, 1, 0.5).is_some(), "the image was not there whole");
        assert_eq!(policy.quick_wait(&gateway.with_request_sent(true), 1, 0.5), None, "it may be paid for");
    }

    #[test]
    fn a_tier_that_takes_nothing_is_gone_around() {
        let policy = policy();
        let tiers: Vec<_> = (0..6).map(|refused| policy.tier_instead(2, refused)).collect();
        assert_eq!(tiers, [2, 3, 0, 1, 2, 3]);
        let one = RetryPolicy { delays: vec![Duration::from_secs(10)], ..policy };
        assert_eq!(one.tier_instead(0, 3), 0);
    }

    #[test]
    fn tiers_follow_the_attempts_and_the_wait_asked_for() {
        let policy = policy();
        let tiers: Vec<_> = (1..=6).map(|n| policy.tier(Attempt::spent(n), None)).collect();
        assert_eq!(tiers, [0, 1, 2, 3, 3, 3]);
        assert_eq!(policy.tier(Attempt::spent(1), Some(Duration::from_secs(11))), 1);
        assert_eq!(policy.tier(Attempt::spent(3), Some(Duration::from_secs(11))), 2);
        assert_eq!(policy.tier(Attempt::spent(1), Some(Duration::from_secs(99_999))), 3);
    }
}
