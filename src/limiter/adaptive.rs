//! The learned limits, as the tasks that wait for them see them.

use antispoof_core::failure::{Code, Failure};
use antispoof_core::overload::{AdaptiveLimit, Bounds, Call, Hands, Signal, Turn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

/// A pause up to this is waited for with jobs in hand. For a longer one the gate closes, and nothing is consumed.
const SHORT: Duration = Duration::from_secs(5);

/// When every call has been refused for so long, the gate closes.
const REFUSED: Duration = Duration::from_secs(10);

pub(super) struct Adaptive {
    origin: Instant,
    state: Mutex<State>,
    /// The first of those that wait has it. It alone looks at the state, so that all come in turn.
    turn: Semaphore,
    /// Wakes it.
    changed: Notify,
    waiting: AtomicUsize,
}

struct State {
    limit: AdaptiveLimit,
    hands: Hands,
    /// Since when every call has been refused.
    refused: Option<Duration>,
}

/// What has been learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Jobs to have in hand.
    pub hands: u16,
    /// There are fewer jobs in hand than there may be, and none of them waits.
    pub settled: bool,
    /// The most calls at a time.
    pub limit: u16,
    /// The most calls a second; 0 while there is no limit.
    pub pace: f64,
}

/// Dropped, it gives its place to the next call.
pub(super) struct AdaptivePermit(Arc<Adaptive>);

/// One job that waits for its call.
struct Waiting<'a>(&'a AtomicUsize);

impl Adaptive {
    pub(super) fn new(bounds: Bounds, per_second: f64) -> Self {
        let state = State { limit: AdaptiveLimit::new(bounds, per_second), hands: Hands::new(bounds), refused: None };
        Self {
            origin: Instant::now(),
            state: Mutex::new(state),
            turn: Semaphore::new(1),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(super) async fn acquire(self: &Arc<Self>) -> AdaptivePermit {
        let _waiting = Waiting::begin(&self.waiting);
        // Never closed.
        let _turn = self.turn.acquire().await;
        loop {
            let turn = self.state().limit.take(self.now());
            match turn {
                Turn::Now => return AdaptivePermit(self.clone()),
                Turn::At(at) => sleep_until(self.origin + at).await,
                Turn::Full => self.changed.notified().await,
            }
        }
    }

    pub(super) fn learn(&self, took: Duration, failure: Option<&Failure>) -> bool {
        let now = self.now();
        let Some(signal) = signal(failure) else { return false };
        let mut state = self.state();
        let short = match signal {
            Signal::Served => {
                state.refused = None;
                false
            }
            Signal::Overloaded => false,
            Signal::Refused(asked) => {
                let since = *state.refused.get_or_insert(now);
                asked.is_none_or(|asked| asked <= SHORT) && now.saturating_sub(since) < REFUSED
            }
        };
        state.limit.learn(Call { started: now.saturating_sub(took), ended: now }, signal);
        drop(state);
        self.changed.notify_one();
        short
    }

    pub(super) fn look(&self, in_hand: usize) -> Load {
        let in_hand = u16::try_from(in_hand).unwrap_or(u16::MAX);
        let waiting = u16::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or(u16::MAX);
        let now = self.now();
        let mut state = self.state();
        let hands = state.hands.look(now, in_hand, waiting);
        let settled = in_hand < hands && waiting == 0;
        Load { hands, settled, limit: state.limit.limit(), pace: state.limit.pace().unwrap_or_default() }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AdaptivePermit {
    fn drop(&mut self) {
        self.0.state().limit.over();
        self.0.changed.notify_one();
    }
}

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a call's end says about the load; `None`: nothing. That there was no connection is for the gate to judge.
fn signal(failure: Option<&Failure>) -> Option<Signal> {
    let Some(failure) = failure else { return Some(Signal::Served) };
    let by_status = failure.http_status().is_some_and(|status| status >= 500 || status == 408);
    match failure.code() {
        Code::ApiRejected => Some(Signal::Served),
        Code::ApiRateLimited => Some(Signal::Refused(failure.retry_after().filter(|asked| !asked.is_zero()))),
        Code::ApiInDoubt => Some(Signal::Overloaded),
        Code::ApiUnavailable if by_status => Some(Signal::Overloaded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, timeout};

    fn adaptive(min: u16, max: u16) -> Arc<Adaptive> {
        Arc::new(Adaptive::new(Bounds::try_new(min, max).expect("bounds"), 0.0))
    }

    fn refused(asked: Option<u64>) -> Failure {
        Failure::new(Code::ApiRateLimited, "429").with_retry_after(asked.map(Duration::from_secs))
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_up_goes_to_the_job_that_has_waited_longest() {
        let limiter = adaptive(1, 1);
        let first = limiter.acquire().await;
        let mut second = Box::pin(limiter.acquire());
        let mut third = Box::pin(limiter.acquire());
        assert!(timeout(Duration::from_secs(1), &mut second).await.is_err());
        assert!(timeout(Duration::from_secs(1), &mut third).await.is_err());
        assert_eq!(limiter.look(3).hands, 1);
        assert_eq!(limiter.waiting.load(Ordering::Relaxed), 2);
        drop(first);
        let second = second.await;
        assert!(timeout(Duration::from_secs(1), &mut third).await.is_err(), "one at a time");
        drop(second);
        drop(third.await);
        assert_eq!(limiter.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_gives_up_waiting_is_passed_over() {
        let limiter = adaptive(1, 1);
        let first = limiter.acquire().await;
        assert!(timeout(Duration::from_secs(1), limiter.acquire()).await.is_err());
        drop(first);
        assert!(timeout(Duration::from_secs(1), limiter.acquire()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_pause_is_waited_for_and_a_long_one_is_the_gates() {
        let limiter = adaptive(4, 4);
        let start = Instant::now();
        assert!(limiter.learn(Duration::ZERO, Some(&refused(Some(2)))));
        drop(limiter.acquire().await);
        assert_eq!(start.elapsed().as_secs(), 2);
        assert!(!limiter.learn(Duration::ZERO, Some(&refused(Some(30)))), "nothing need be in hand for so long");
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_that_refuses_everything_is_the_gates() {
        let limiter = adaptive(4, 4);
        assert!(limiter.learn(Duration::ZERO, Some(&refused(None))));
        advance(REFUSED).await;
        assert!(!limiter.learn(Duration::ZERO, Some(&refused(None))));
        assert!(!limiter.learn(Duration::ZERO, None));
        assert!(limiter.learn(Duration::ZERO, Some(&refused(None))), "there was an answer in between");
    }

    #[test]
    fn what_is_no_answer_to_the_load_is_no_signal() {
        let of = |code, status| signal(Some(&Failure::new(code, "x").with_status(status)));
        assert_eq!(signal(None), Some(Signal::Served));
        assert_eq!(of(Code::ApiRejected, 422), Some(Signal::Served));
        assert_eq!(of(Code::ApiUnavailable, 503), Some(Signal::Overloaded));
        assert_eq!(signal(Some(&Failure::new(Code::ApiInDoubt, "no answer"))), Some(Signal::Overloaded));
        assert_eq!(signal(Some(&Failure::new(Code::ApiUnavailable, "no connection"))), None);
        assert_eq!(of(Code::ApiUnauthorized, 401), None);
        assert_eq!(signal(Some(&refused(Some(0)))), Some(Signal::Refused(None)));
    }
}
