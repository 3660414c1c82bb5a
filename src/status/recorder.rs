//! Samples of the last hour.

use crate::telemetry::Metrics;
use crate::telemetry::latency::{Counts, quantile};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::{MissedTickBehavior, interval};

/// The time between two samples.
pub const STEP: Duration = Duration::from_secs(5);

/// An hour of samples.
const KEPT: usize = 720;

/// How many samples "now" is made of: a minute.
const LATELY: usize = 12;

/// What happened within a step, and how things stood at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Seconds since 1970.
    pub(super) at: u64,
    /// Jobs that ended: `live`, `spoof`, `review`, `failed`.
    pub(super) ended: [u64; 4],
    /// Calls that can have been billed.
    pub(super) calls: u64,
    /// Calls in doubt.
    pub(super) in_doubt: u64,
    /// Deliveries that are not settled.
    pub(super) in_flight: i64,
    /// Percentiles 50 and 99 of the calls, in seconds.
    pub(super) api: [Option<f64>; 2],
    /// The same of requests to the store.
    pub(super) store: [Option<f64>; 2],
    /// Messages that wait in the job queue.
    pub(super) waiting: Option<u32>,
}

/// Of the last minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lately {
    pub(super) seconds: f64,
    pub(super) ended: [u64; 4],
    pub(super) api: [Option<f64>; 2],
    pub(super) store: [Option<f64>; 2],
    /// For how long jobs have been in flight of which none has ended.
    pub(super) stalled: Duration,
}

/// Takes a sample every [`STEP`].
pub struct Recorder {
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

struct State {
    samples: VecDeque<Sample>,
    last: Totals,
    /// Latencies of the last steps, oldest first.
    api: VecDeque<Counts>,
    store: VecDeque<Counts>,
}

#[derive(Clone)]
struct Totals {
    ended: [u64; 4],
    calls: u64,
    in_doubt: u64,
    api: Counts,
    store: Counts,
}

impl Recorder {
    /// One that has seen nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let last = totals(&metrics);
        let state = State { samples: VecDeque::new(), last, api: VecDeque::new(), store: VecDeque::new() };
        Self { metrics, state: Mutex::new(state) }
    }

    /// Takes samples; does not end. `waiting` is the length of the job queue.
    pub async fn run(self: Arc<Self>, waiting: impl Fn() -> Option<u32>) {
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.sample(waiting());
        }
    }

    fn sample(&self, waiting: Option<u32>) {
        let now = totals(&self.metrics);
        let mut state = self.state();
        let State { samples, last, api, store } = &mut *state;
        let within = |now: &Counts, last: &Counts| -> Counts { std::array::from_fn(|at| now[at] - last[at]) };
        let (called, fetched) = (within(&now.api, &last.api), within(&now.store, &last.store));
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let sample = Sample {
            at,
            ended: std::array::from_fn(|outcome| now.ended[outcome] - last.ended[outcome]),
            calls: now.calls - last.calls,
            in_doubt: now.in_doubt - last.in_doubt,
            in_flight: self.metrics.in_flight.get(),
            api: percentiles(&called),
            store: percentiles(&fetched),
            waiting,
        };
        keep(samples, sample, KEPT);
        keep(api, called, LATELY);
        keep(store, fetched, LATELY);
        *last = now;
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        self.state().samples.iter().copied().collect()
    }

    /// With what has happened since the last sample.
    pub(super) fn lately(&self) -> Lately {
        let now = totals(&self.metrics);
        let state = self.state();
        let recent = state.samples.iter().rev().take(LATELY);
        let mut ended: [u64; 4] = std::array::from_fn(|outcome| now.ended[outcome] - state.last.ended[outcome]);
        let mut steps = 0_u32;
        for sample in recent {
            steps += 1;
            for (sum, count) in ended.iter_mut().zip(sample.ended) {
                *sum += count;
            }
        }
        let stalls = |sample: &&Sample| sample.in_flight > 0 && sample.ended == [0; 4];
        let stalled = if now.ended == state.last.ended && self.metrics.in_flight.get() > 0 {
            state.samples.iter().rev().take_while(stalls).map(|_| STEP).sum()
        } else {
            Duration::ZERO
        };
        let sum = |parts: &VecDeque<Counts>, now: &Counts, last: &Counts| -> Counts {
            std::array::from_fn(|at| now[at] - last[at] + parts.iter().map(|part| part[at]).sum::<u64>())
        };
        Lately {
            seconds: f64::from(steps.max(1)) * STEP.as_secs_f64(),
            ended,
            api: percentiles(&sum(&state.api, &now.api, &state.last.api)),
            store: percentiles(&sum(&state.store, &now.store, &state.last.store)),
            stalled,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn totals(metrics: &Metrics) -> Totals {
    Totals {
        ended: ["live", "spoof", "review", "failed"].map(|outcome| metrics.jobs_ended(outcome)),
        calls: metrics.billable_calls(),
        in_doubt: metrics.in_doubt.get(),
        api: metrics.recent.api.counts(),
        store: metrics.recent.store.counts(),
    }
}

fn percentiles(counts: &Counts) -> [Option<f64>; 2] {
    [0.5, 0.99].map(|q| quantile(counts, q).map(|took| took.as_secs_f64()))
}

fn keep<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_lasts_while_jobs_are_in_flight_and_none_ends() {
        let metrics = Arc::new(Metrics::new());
        let recorder = Recorder::new(metrics.clone());
        let live = || metrics.jobs.get_or_create(&[("outcome", "live")]).clone();
        recorder.sample(None);
        metrics.in_flight.set(2);
        assert_eq!(recorder.lately().stalled, Duration::ZERO, "they have just come");
        (0..3).for_each(|_| recorder.sample(None));
        assert_eq!(recorder.lately().stalled, STEP * 3);
        live().inc();
        assert_eq!(recorder.lately().stalled, Duration::ZERO);
        recorder.sample(None);
        assert_eq!(recorder.lately().stalled, Duration::ZERO, "one ended in the last step");
        recorder.sample(None);
        assert_eq!(recorder.lately().stalled, STEP);
        metrics.in_flight.set(0);
        assert_eq!(recorder.lately().stalled, Duration::ZERO);
    }

    #[test]
    fn a_sample_has_what_happened_within_its_step() {
        let metrics = Arc::new(Metrics::new());
        let recorder = Recorder::new(metrics.clone());
        let live = || metrics.jobs.get_or_create(&[("outcome", "live")]).clone();
        live().inc_by(3);
        (0..4).for_each(|_| metrics.billed());
        metrics.recent.api.record(Duration::from_millis(200));
        recorder.sample(Some(7));
        live().inc();
        recorder.sample(None);
        let samples = recorder.samples();
        assert_eq!(samples.iter().map(|sample| sample.ended[0]).collect::<Vec<_>>(), [3, 1]);
        assert_eq!((samples[0].calls, samples[1].calls), (4, 0));
        assert_eq!((samples[0].waiting, samples[1].waiting), (Some(7), None));
        assert!(samples[0].api[1].is_some_and(|p99| (0.2..0.23).contains(&p99)) && samples[1].api[1].is_none());
        live().inc();
        let lately = recorder.lately();
        assert_eq!((lately.ended[0], lately.seconds), (5, 10.0));
        assert!(lately.api[0].is_some());
        for _ in 0..KEPT + 5 {
            recorder.sample(None);
        }
        assert_eq!(recorder.samples().len(), KEPT);
        assert_eq!(recorder.lately().ended, [0; 4]);
        assert_eq!(recorder.lately().api, [None; 2]);
    }
}
