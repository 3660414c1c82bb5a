//! Durations in buckets a tenth apart: what the status page takes its percentiles from. The histograms of the metrics are coarser, and
//! cannot be read back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// From a tenth of a millisecond to some five minutes.
const BUCKETS: usize = 160;
const FIRST_MICROS: f64 = 100.0;
const GROWTH: f64 = 1.1;

/// Counts of durations.
pub struct Latency {
    buckets: [AtomicU64; BUCKETS],
}

/// The counts as they were at a moment.
pub type Counts = [u64; BUCKETS];

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Latency {
    /// Counts one.
    pub fn record(&self, took: Duration) {
        let micros = took.as_secs_f64() * 1e6;
        let steps = (micros / FIRST_MICROS).max(1.0).ln() / GROWTH.ln();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to some hundreds")]
        let bucket = (steps.ceil() as usize).min(BUCKETS - 1);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// All counts since the start.
    pub fn counts(&self) -> Counts {
        std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed))
    }
}

/// The duration that a share `q` (0 to 1) of those counted does not exceed, to a tenth; `None` when none was counted.
pub fn quantile(counts: &Counts, q: f64) -> Option<Duration> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rank")]
    let rank = ((total as f64 * q).ceil() as u64).max(1);
    let mut seen = 0;
    let bucket = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    })?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "below 160")]
    let micros = FIRST_MICROS * GROWTH.powi(bucket as i32);
    Some(Duration::from_secs_f64(micros / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_a_tenth_from_end_to_end() {
        for micros in [1_u64, 100, 101, 412_000, 30_000_000, 120_000_000] {
            let latency = Latency::default();
            latency.record(Duration::from_micros(micros));
            let read = quantile(&latency.counts(), 0.99).expect("one was counted").as_secs_f64() * 1e6;
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let given = (micros as f64).max(FIRST_MICROS);
            assert!(read >= given * 0.999 && read <= given * 1.101, "{micros}: {read}");
        }
        let longest = Latency::default();
        longest.record(Duration::MAX);
        assert!(quantile(&longest.counts(), 0.5).is_some_and(|read| read > Duration::from_mins(5)));
    }

    #[test]
    fn of_a_hundred_the_median_is_the_fiftieth() {
        let latency = Latency::default();
        for ms in 1..=100 {
            latency.record(Duration::from_millis(ms));
        }
        let at = |q| quantile(&latency.counts(), q).expect("some").as_secs_f64() * 1e3;
        assert!((49.0..=56.0).contains(&at(0.5)), "{}", at(0.5));
        assert!((98.0..=110.0).contains(&at(0.99)), "{}", at(0.99));
        assert_eq!(quantile(&[0; BUCKETS], 0.5), None);
    }
}
