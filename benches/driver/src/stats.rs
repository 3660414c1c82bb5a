//! Figures of what was measured several times.

use std::time::Duration;

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn mib(bytes: u64) -> f64 {
    count(bytes) / 1_048_576.0
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which nothing here counts to")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of ascending values; of an even number the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// The smallest of ascending values that at least so many thousandths of them do not exceed; zero of none.
pub(crate) fn percentile(values: &[Duration], thousandths: usize) -> Duration {
    let rank = (values.len() * thousandths).div_ceil(1000).max(1);
    values.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[1.0, 2.0, 9.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[1.0, 2.0, 3.0, 9.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
        assert_eq!(sorted([3.0, 1.0, 2.0]), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let waits: Vec<Duration> = (1..=2000).map(Duration::from_millis).collect();
        for (thousandths, expected) in [(0, 1), (500, 1000), (990, 1980), (999, 1998), (1000, 2000)] {
            assert_eq!(percentile(&waits, thousandths), Duration::from_millis(expected), "{thousandths}");
        }
        assert_eq!(percentile(&waits[..10], 999), Duration::from_millis(10));
        assert_eq!(percentile(&waits[..1], 500), Duration::from_millis(1));
        assert_eq!(percentile(&[], 500), Duration::ZERO);
    }
}
