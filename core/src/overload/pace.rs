//! The learned pace: at most so many calls a second.
//!
//! A refusal says that the API has no room at that moment. So between two refusals it has taken as much as it could: the calls that it
//! served, over the time between them, are its limit, and somewhat less than that is the new pace. After a while at that pace it grows,
//! slowly at first and then fast, so that a limit that is still the same is met again gently and one that has been raised is found soon.

use super::call::Call;
use std::time::Duration;

/// The pause after a refusal that names none.
const PAUSE: Duration = Duration::from_secs(1);

/// How much of the measured limit is used: refusals become rare, and two workers that share a limit leave each other room.
const KEPT: f64 = 0.98;

/// What refusals leave at least, of the pace that was there after the one before: the first, those that follow when a measurement has
/// been near, and those that come within [`SHORTLY`]. What was measured in so short a time is chance, and the share of another worker.
const DEEPEST: f64 = 0.5;
const DEEP: f64 = 0.85;
const SHALLOW: f64 = 0.95;
const SHORTLY: Duration = Duration::from_secs(5);

/// So many measurements in a row far below the pace are no chance.
const FAR_OFF: u8 = 5;

/// What a refusal leaves when calls were not held back by the pace, so that nothing was measured.
const UNMEASURED: f64 = 0.9;

/// Time at a pace before it grows. A refusal costs one call and a pause, so they should be far apart.
const HOLD: Duration = Duration::from_secs(15);

/// How fast it then grows, in parts per second: at first, with the square of the time, and at most. It is a fifth higher after ten
/// seconds, three times after twenty, and forty times after thirty.
const GROWTH: (f64, f64, f64) = (0.004, 0.000_4, 0.35);

/// What is measured at a refusal is the time before it, up to this: at an API that saves nothing up, earlier calls were held back by
/// the pace alone.
const WINDOW: Duration = Duration::from_secs(15);
const SLOT: Duration = Duration::from_millis(200);
const SLOTS: usize = 76;

/// Timers are late by a millisecond or two; what is late by so much may be made good.
const CREDIT: Duration = Duration::from_millis(10);

/// One call in this many seconds is the slowest pace: a longer pause is for the API to ask for.
const SLOWEST: f64 = 1.0 / 10.0;

#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// The limit of the settings.
    most: Option<f64>,
    learned: Option<f64>,
    /// What was learned at the last refusal.
    before: f64,
    /// There has been a measurement.
    known: bool,
    /// How many measurements in a row were far below the pace; [`FAR_OFF`] until one is near.
    far_off: u8,
    /// The next call starts no sooner.
    next: Duration,
    /// When the pace was last lowered. Calls that started before say nothing about it.
    lowered: Duration,
    /// How long calls have waited for the pace since then, and until when that is counted.
    held_back: Duration,
    held_until: Duration,
    /// Until when growth is counted, in terms of `held_back`.
    grown: Duration,
    recent: Recent,
}

/// Calls that were served in each fifth of a second of the last [`WINDOW`].
#[derive(Clone, Debug)]
struct Recent {
    slot: u64,
    counts: [u32; SLOTS],
}

impl Pace {
    pub(super) fn new(per_second: f64) -> Self {
        Self {
            most: (per_second > 0.0).then_some(per_second),
            learned: None,
            before: 0.0,
            known: false,
            far_off: FAR_OFF,
            next: Duration::ZERO,
            lowered: Duration::ZERO,
            held_back: Duration::ZERO,
            held_until: Duration::ZERO,
            grown: Duration::ZERO,
            recent: Recent { slot: 0, counts: [0; SLOTS] },
        }
    }

    pub(super) fn rate(&self) -> Option<f64> {
        match (self.learned, self.most) {
            (Some(learned), Some(most)) => Some(learned.min(most)),
            (learned, most) => learned.or(most),
        }
    }

    /// The next call starts now, or not before the moment that is returned.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        if now < self.next {
            self.held_back += self.next.saturating_sub(now.max(self.held_until));
            self.held_until = self.held_until.max(self.next);
            self.grow();
            return Err(self.next);
        }
        if let Some(rate) = self.rate() {
            self.next = self.next.max(now.saturating_sub(CREDIT)) + interval(rate);
        }
        Ok(())
    }

    pub(super) fn served(&mut self, at: Duration) {
        self.recent.add(at);
    }

    pub(super) fn refused(&mut self, call: Call, asked: Option<Duration>) {
        let (now, pause) = (call.ended, asked.unwrap_or(PAUSE));
        self.next = self.next.max(now + pause);
        // It was on its way when the pace was lowered, and is no news.
        if self.learned.is_some() && call.started < self.lowered {
            return;
        }
        let pace = match self.learned {
            // What was served in the last second may be what the API had saved up: the next refusals tell.
            None => self.recent.rate(now, Duration::from_secs(1)) + 1.0,
            Some(learned) => {
                let elapsed = now.saturating_sub(self.lowered);
                let held_back = self.held_back.as_secs_f64() >= 0.8 * elapsed.as_secs_f64();
                let measured = self.recent.rate(now, elapsed.min(WINDOW));
                self.known = true;
                let pace = if held_back { measured * KEPT } else { learned * UNMEASURED };
                // It has grown since, on trial: that this is far from the measurement says nothing.
                let before = self.before.min(learned);
                if pace >= before * DEEP {
                    self.far_off = 0;
                } else if self.far_off < FAR_OFF {
                    self.far_off += 1;
                }
                let least = match self.far_off {
                    FAR_OFF => DEEPEST,
                    _ if elapsed < SHORTLY => SHALLOW,
                    _ => DEEP,
                };
                pace.clamp(f64::max(before * least, learned * DEEPEST).min(learned * KEPT), learned * KEPT)
            }
        };
        let pace = self.most.map_or(pace, |most| pace.min(most));
        self.before = pace.max(SLOWEST);
        self.learned = Some(self.before);
        self.lowered = now;
        // A call that waits in the pause is held back.
        (self.held_back, self.held_until, self.grown) = (pause, now + pause, pause);
    }

    /// Only time in which calls waited for it counts: a pace that nothing asks for more of is no proof that more is possible.
    fn grow(&mut self) {
        let Some(learned) = &mut self.learned else { return };
        // Nothing is known yet but that there is a limit.
        let unknown = !self.known;
        let hold = if unknown { Duration::ZERO } else { HOLD };
        let (from, to) = (self.grown.max(hold), self.held_back);
        let Some(passed) = to.checked_sub(from) else { return };
        let since = to.saturating_sub(hold).as_secs_f64();
        let growth = if unknown { GROWTH.2 } else { (GROWTH.0 + GROWTH.1 * since * since).min(GROWTH.2) };
        *learned *= (growth * passed.as_secs_f64()).exp();
        // Above what anything can use, so that it does not grow without end.
        *learned = learned.min(1e6);
        self.grown = to;
    }
}

impl Recent {
    fn add(&mut self, at: Duration) {
        self.turn(at);
        self.counts[index(self.slot)] += 1;
    }

    fn turn(&mut self, at: Duration) {
        let slot = slot(at);
        for passed in (self.slot + 1..=slot).take(SLOTS) {
            self.counts[index(passed)] = 0;
        }
        self.slot = self.slot.max(slot);
    }

    /// Calls a second during `window` before `at`.
    fn rate(&mut self, at: Duration, window: Duration) -> f64 {
        self.turn(at);
        // The slot that has just begun, and as many whole ones as there is time.
        let slots = (window.as_millis() / SLOT.as_millis()).clamp(1, SLOTS as u128 - 1);
        let from = self.slot.saturating_sub(u64::try_from(slots).unwrap_or(1));
        let served: u32 = (from..=self.slot).map(|slot| self.counts[index(slot)]).sum();
        let since = at.saturating_sub(SLOT.saturating_mul(u32::try_from(from).unwrap_or(u32::MAX)));
        f64::from(served) / since.max(SLOT.min(window)).as_secs_f64().max(0.001)
    }
}

fn interval(rate: f64) -> Duration {
    Duration::from_secs_f64(1.0 / rate)
}

fn slot(at: Duration) -> u64 {
    u64::try_from(at.as_millis() / SLOT.as_millis()).unwrap_or(u64::MAX)
}

fn index(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}
