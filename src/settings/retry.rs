//! `[retry]`: when a job is tried again.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::invalid::{InvalidValue, quoted};
use super::units::{MINUTE, parse_duration, plain};
use super::values::{Int, Time, list};

/// When a job is tried again, in memory and by the broker.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in memory, the first included.
    #[serde(with = "Int::<1, 20>")]
    pub quick_attempts: u32,
    /// Shortest pause between tries in memory. At most `quick_max`.
    #[serde(with = "Time::<1, { 5 * MINUTE }>")]
    pub quick_min: Duration,
    /// Longest pause between tries in memory.
    #[serde(with = "Time::<1, { 5 * MINUTE }>")]
    pub quick_max: Duration,
    /// Pauses in the broker: 1 to 8, strictly ascending.
    #[serde(deserialize_with = "delays")]
    #[schemars(with = "Vec<String>")]
    pub delays: Vec<Delay>,
    /// Attempts until a job is parked.
    #[serde(with = "Int::<1, 100>")]
    pub max_attempts: u32,
}

/// A pause in the broker: whole seconds from 1 s to 24 h.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// The pause as its queue is named: `10s`, `1m30s`, `24h`. The same for every way to write the same pause.
    pub name: String,
    /// The pause.
    pub duration: Duration,
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Retry {
    pub(super) fn validate(&self, findings: &mut Findings<'_>) {
        let (min, max) = (self.quick_min, self.quick_max);
        if min > max {
            findings.error(
                &["retry.quick_min", "retry.quick_max"],
                format!("{} is longer than retry.quick_max ({})", plain(min), plain(max)),
                "lower retry.quick_min or raise retry.quick_max",
            );
        }
    }
}

fn delays<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Delay>, D::Error> {
    let delays = list(deserializer, delay)?;
    let mut refused = Vec::new();
    if !(1..=8).contains(&delays.len()) {
        let remedy = "write 1 to 8 delays, as [\"10s\", \"1m\", \"10m\", \"1h\"]";
        refused.push(InvalidValue::new(format!("has {} delays", delays.len()), remedy));
    }
    for (before, after) in delays.iter().zip(delays.iter().skip(1)) {
        if before.duration == after.duration {
            let what = format!("has {after} twice, which would be one queue");
            refused.push(InvalidValue::new(what, "keep one of the two"));
        } else if before.duration > after.duration {
            let what = format!("has {after} after {before}: jobs would come back sooner the longer they fail");
            refused.push(InvalidValue::new(what, "sort the delays from short to long"));
        }
    }
    if refused.is_empty() { Ok(delays) } else { Err(InvalidValue::error(&refused)) }
}

fn delay(text: &str) -> Result<Delay, InvalidValue> {
    let remedy = "write whole seconds from 1s to 24h, as \"10s\" or \"1m\"";
    let Some(duration) = parse_duration(text) else {
        return Err(InvalidValue::new(format!("{} is not a duration", quoted(text)), remedy));
    };
    if duration.subsec_nanos() != 0 || !(Duration::from_secs(1)..=Duration::from_hours(24)).contains(&duration) {
        return Err(InvalidValue::new(format!("{} cannot be a delay", quoted(text)), remedy));
    }
    Ok(Delay { name: plain(duration), duration })
}
