//! The learned concurrency: at most so many calls at a time.
//!
//! Errors of overload and time-outs take a fifth away; calls that are served add one a round, or double the limit where nothing is
//! known against it. Latency is the second signal. Where it is twice what it was, there may be a queue at the API: fewer calls are tried
//! for a round. When that makes the answers quicker, it was this worker's queue, and the limit stays lower. When it does not, the API is
//! merely slow: the limit comes back, because fewer calls at a time would only be fewer calls, and this latency is the new baseline. So
//! the baseline rises by a proof and not by getting used to a queue.

use super::bounds::Bounds;
use super::call::Call;
use std::time::Duration;

/// What an overload leaves.
const OVERLOADED: f64 = 0.8;

/// What a trial leaves.
const LOWERED: f64 = 0.7;

/// Latency beyond this many times the baseline is tried with fewer calls.
const SLOW: f64 = 2.0;

/// A trial with 0.7 of the calls has shown a queue when the latency is at most this part of what it was. With a queue of this worker alone
/// it is 0.7; where others have more than half of the queue, it is left to them, and to the errors.
const QUICKER: f64 = 0.8;

/// So many trials in a row that show no queue are no chance, and the API is merely slow.
const CONVINCED: u8 = 3;

/// Latency that is within these parts of what it was in the round before stands still.
const STEADY: (f64, f64) = (0.9, 1.1);

/// Without an overload for so long, the limit may double again.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// One more call at a time comes no sooner than this after the last one.
const STEP: Duration = Duration::from_secs(1);

/// Calls whose median is looked at together: at least these, and as many as there may be at a time, up to these.
const ROUND: (usize, usize) = (16, 64);

#[derive(Clone, Debug)]
pub(super) struct Concurrency {
    min: f64,
    max: f64,
    limit: f64,
    /// When it was last lowered. Calls that started before say nothing about it.
    lowered: Duration,
    /// When there was last an overload, or a queue.
    overload: Option<Duration>,
    /// When it was last raised by one.
    raised: Duration,
    round: Round,
    baseline: Option<f64>,
    trial: Trial,
    /// Trials in a row that made the answers no quicker.
    in_vain: u8,
}

/// The calls whose latency is looked at together.
#[derive(Clone, Debug, Default)]
struct Round {
    since: Duration,
    /// Calls that are still to be passed over, since the quickest end first.
    skipped: usize,
    calls: usize,
    seconds: Vec<f64>,
    /// Whether the limit held calls back.
    full: bool,
}

/// What a high latency leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trial {
    None,
    /// Rounds in which the limit stands still, until the latency does: then there is something to compare with.
    Comparing(f64),
    /// A round with fewer calls.
    Lowered {
        latency: f64,
        limit: f64,
    },
}

impl Concurrency {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (min, max) = (f64::from(bounds.min()), f64::from(bounds.max()));
        Self {
            min,
            max,
            limit: min,
            lowered: Duration::ZERO,
            overload: None,
            raised: Duration::ZERO,
            round: Round::default(),
            baseline: None,
            trial: Trial::None,
            in_vain: 0,
        }
    }

    pub(super) fn limit(&self) -> u16 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between the bounds, which are u16"
        )]
        let whole = self.limit as u16;
        whole
    }

    /// A call was served, while so many were under way.
    pub(super) fn served(&mut self, call: Call, under_way: u32) {
        let full = under_way + 1 >= u32::from(self.limit());
        if full && self.trial == Trial::None {
            self.raise(call.ended);
        }
        self.round.full |= full;
        if call.started >= self.round.since {
            if self.round.skipped > 0 {
                self.round.skipped -= 1;
                return;
            }
            self.round.seconds.push(call.ended.saturating_sub(call.started).as_secs_f64());
            if self.round.seconds.len() >= self.round.calls.max(ROUND.0) {
                self.look_at_latency(call.ended);
            }
        }
    }

    /// A call met an overload, while so many were under way.
    pub(super) fn overloaded(&mut self, call: Call, under_way: u32) {
        self.overload = Some(call.ended);
        // It was on its way when the limit was lowered, and is no news.
        if call.started < self.lowered {
            return;
        }
        self.lower(self.limit.min(f64::from(under_way.max(1))) * OVERLOADED, call.ended);
        self.trial = Trial::None;
        self.next_round(call.ended);
    }

    fn raise(&mut self, now: Duration) {
        let doubles = self.overload.is_none_or(|at| now.saturating_sub(at) >= FORGOTTEN);
        if doubles {
            // One for each call that is served: twice as many in a round.
            self.limit += 1.0;
        } else if now.saturating_sub(self.raised) >= STEP {
            self.raised = now;
            self.limit += 1.0;
        }
        self.limit = self.limit.min(self.max);
    }

    fn lower(&mut self, to: f64, now: Duration) {
        self.limit = to.clamp(self.min, self.max);
        (self.lowered, self.raised) = (now, now);
    }

    /// A round is over.
    fn look_at_latency(&mut self, now: Duration) {
        let (latency, full) = (median(&mut self.round.seconds), self.round.full);
        let baseline = *self.baseline.get_or_insert(latency);
        let slow = latency > baseline * SLOW && full && self.limit > self.min;
        self.trial = match self.trial {
            Trial::None if slow => Trial::Comparing(f64::INFINITY),
            // As long as it rises, or falls, by itself, nothing could be learned from a change.
            Trial::Comparing(before) if slow && !(before * STEADY.0..=before * STEADY.1).contains(&latency) => {
                Trial::Comparing(latency)
            }
            Trial::Comparing(_) if slow => self.try_fewer(latency, now),
            Trial::None | Trial::Comparing(_) => Trial::None,
            Trial::Lowered { latency: before, .. } if latency <= before * QUICKER => {
                (self.overload, self.in_vain) = (Some(now), 0);
                if slow { self.try_fewer(latency, now) } else { Trial::None }
            }
            Trial::Lowered { limit, .. } => {
                self.limit = self.limit.max(limit);
                self.in_vain += 1;
                if self.in_vain >= CONVINCED {
                    (self.baseline, self.in_vain) = (Some(latency), 0);
                }
                Trial::None
            }
        };
        if latency < baseline {
            self.baseline = Some(f64::midpoint(baseline, latency));
        }
        self.next_round(now);
    }

    fn try_fewer(&mut self, latency: f64, now: Duration) -> Trial {
        let limit = self.limit;
        self.lower(limit * LOWERED, now);
        Trial::Lowered { latency, limit }
    }

    fn next_round(&mut self, now: Duration) {
        self.round.seconds.clear();
        (self.round.since, self.round.full) = (now, false);
        self.round.skipped = self.limit().into();
        self.round.calls = self.round.skipped.min(ROUND.1);
    }
}

fn median(seconds: &mut [f64]) -> f64 {
    let middle = seconds.len() / 2;
    *seconds.select_nth_unstable_by(middle, f64::total_cmp).1
}
