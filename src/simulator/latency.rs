//! How long the simulated vendor thinks before it answers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874;

/// A draw from the lognormal tail is cut here, in multiples of the 99th percentile, so that no single call of a long run
/// takes hours. It concerns about one draw in millions for the shapes that occur in practice.
const TAIL: f64 = 10.0;

/// Time between a whole request and its answer: `50ms`, `uniform:50ms..150ms` or `lognormal:p50=200ms,p99=2s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency(Shape);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Fixed(Duration),
    Uniform { low: Duration, high: Duration },
    LogNormal { p50: Duration, p99: Duration },
}

/// Why a text is not a latency.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LatencyError {
    /// Neither a duration nor a known distribution.
    #[error("read the latency `{0}`: write `50ms`, `uniform:50ms..150ms` or `lognormal:p50=200ms,p99=2s`")]
    Shape(String),
    /// The bounds are the wrong way round, or a median of zero.
    #[error("use the latency `{0}`: its bounds must rise, and a lognormal median be above zero")]
    Order(String),
    /// A duration above one hour.
    #[error("use the latency `{0}`: more than an hour")]
    TooLong(String),
}

// === impl Latency ===

impl Latency {
    /// Always the same time.
    pub fn fixed(duration: Duration) -> Self {
        Self(Shape::Fixed(duration))
    }

    /// One draw.
    pub(super) fn sample(&self, rng: &mut fastrand::Rng) -> Duration {
        match self.0 {
            Shape::Fixed(duration) => duration,
            Shape::Uniform { low, high } => low + high.saturating_sub(low).mul_f64(rng.f64()),
            Shape::LogNormal { p50, p99 } => {
                let sigma = (p99.as_secs_f64() / p50.as_secs_f64()).ln() / Z99;
                let factor = (sigma * standard_normal(rng)).exp();
                let limit = p99.mul_f64(TAIL);
                Duration::try_from_secs_f64(p50.as_secs_f64() * factor).map_or(limit, |drawn| drawn.min(limit))
            }
        }
    }
}

/// Box-Muller; the second of the pair is thrown away: cycles do not matter here.
fn standard_normal(rng: &mut fastrand::Rng) -> f64 {
    // 1 - x keeps zero, whose logarithm is not a number to work with, out of the draw.
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

impl FromStr for Latency {
    type Err = LatencyError;

    fn from_str(text: &str) -> Result<Self, LatencyError> {
        let wrong = || LatencyError::Shape(text.to_owned());
        let duration = |part: &str| {
            let read = humantime::parse_duration(part.trim()).map_err(|_| wrong())?;
            if read > Duration::from_hours(1) { Err(LatencyError::TooLong(text.to_owned())) } else { Ok(read) }
        };
        let shape = if let Some(range) = text.strip_prefix("uniform:") {
            let (low, high) = range.split_once("..").ok_or_else(wrong)?;
            Shape::Uniform { low: duration(low)?, high: duration(high)? }
        } else if let Some(points) = text.strip_prefix("lognormal:") {
            let (p50, p99) = points.split_once(',').ok_or_else(wrong)?;
            let p50 = p50.trim().strip_prefix("p50=").ok_or_else(wrong)?;
            let p99 = p99.trim().strip_prefix("p99=").ok_or_else(wrong)?;
            Shape::LogNormal { p50: duration(p50)?, p99: duration(p99)? }
        } else {
            Shape::Fixed(duration(text)?)
        };
        match shape {
            Shape::Uniform { low, high } if low > high => Err(LatencyError::Order(text.to_owned())),
            Shape::LogNormal { p50, p99 } if p50.is_zero() || p50 > p99 => Err(LatencyError::Order(text.to_owned())),
            shape => Ok(Self(shape)),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use humantime::format_duration as show;
        match self.0 {
            Shape::Fixed(duration) => write!(f, "{}", show(duration)),
            Shape::Uniform { low, high } => write!(f, "uniform:{}..{}", show(low), show(high)),
            Shape::LogNormal { p50, p99 } => {
                write!(f, "lognormal:p50={},p99={}", show(p50), show(p99))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_read_and_print_back() {
        for text in ["0s", "50ms", "uniform:50ms..150ms", "lognormal:p50=200ms,p99=2s"] {
            assert_eq!(text.parse::<Latency>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_form_is_refused() {
        for text in ["", "50", "fast", "uniform:50ms", "lognormal:50ms,2s", "lognormal:p99=2s,p50=1s"] {
            assert_eq!(text.parse::<Latency>(), Err(LatencyError::Shape(text.to_owned())));
        }
        for text in ["uniform:2s..1s", "lognormal:p50=0s,p99=1s", "lognormal:p50=3s,p99=2s"] {
            assert_eq!(text.parse::<Latency>(), Err(LatencyError::Order(text.to_owned())));
        }
        assert_eq!("2h".parse::<Latency>(), Err(LatencyError::TooLong("2h".to_owned())));
    }

    #[test]
    fn a_uniform_draw_stays_between_its_bounds() {
        let latency: Latency = "uniform:50ms..150ms".parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let drawn = latency.sample(&mut rng);
            assert!(drawn >= Duration::from_millis(50) && drawn <= Duration::from_millis(150), "{drawn:?}");
        }
    }

    #[test]
    fn a_lognormal_draw_has_the_percentiles_asked_for() {
        let latency: Latency = "lognormal:p50=200ms,p99=2s".parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut drawn: Vec<_> = (0..20_000).map(|_| latency.sample(&mut rng).as_secs_f64()).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((drawn[10_000] - 0.2).abs() < 0.02, "median {}", drawn[10_000]);
        assert!((drawn[19_800] - 2.0).abs() < 0.3, "99th percentile {}", drawn[19_800]);
        assert!(drawn[19_999] <= 20.0);
    }
}
