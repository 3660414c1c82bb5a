//! When the next call may start: by the settings alone, or by what has been learned of the API beside them.

mod adaptive;
mod rate;

pub use adaptive::Load;

use adaptive::{Adaptive, AdaptivePermit};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::overload::Bounds;
use rate::RateLimiter;
use std::sync::Arc;
use std::time::Duration;

/// Holds calls back.
pub struct Limiter(Kind);

enum Kind {
    Fixed(RateLimiter),
    Adaptive(Arc<Adaptive>),
}

/// The right to make one call, for as long as this lives.
pub struct Permit(#[expect(dead_code, reason = "what matters is when it is dropped")] Option<AdaptivePermit>);

impl Limiter {
    /// At most so many calls a second; 0 is no limit. As many at a time as there are jobs.
    pub fn fixed(per_second: f64) -> Self {
        Self(Kind::Fixed(RateLimiter::new(per_second)))
    }

    /// What the API takes, within these bounds, and at most so many calls a second; 0 is no limit.
    pub fn adaptive(bounds: Bounds, per_second: f64) -> Self {
        Self(Kind::Adaptive(Arc::new(Adaptive::new(bounds, per_second))))
    }

    /// Waits for the next call's turn: first come, first served. Cancel safe.
    pub async fn acquire(&self) -> Permit {
        match &self.0 {
            Kind::Fixed(limiter) => {
                limiter.acquire().await;
                Permit(None)
            }
            Kind::Adaptive(limiter) => Permit(Some(limiter.acquire().await)),
        }
    }

    /// Learns from a call that took so long and ended well, or with this failure. True: the failure is a refusal that calls for no more than the slower pace, and
    /// the job may wait for its next turn.
    pub fn learn(&self, took: Duration, failure: Option<&Failure>) -> bool {
        match &self.0 {
            Kind::Fixed(limiter) => {
                // A pause that the API asks for holds jobs back, and is the gate's.
                if failure.is_some_and(|it| it.code() == Code::ApiRateLimited && it.retry_after().is_none()) {
                    limiter.pause();
                }
                false
            }
            Kind::Adaptive(limiter) => limiter.learn(took, failure),
        }
    }

    /// Looks whether there are enough jobs in hand, or too many; to be called a few times a second. `None`: their number is not for this to say.
    pub fn look(&self, in_hand: usize) -> Option<Load> {
        match &self.0 {
            Kind::Fixed(_) => None,
            Kind::Adaptive(limiter) => Some(limiter.look(in_hand)),
        }
    }
}
