//! `[worker]`: the process.

use std::time::Duration;

use antispoof_core::overload::Bounds;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use toml::Value;

use super::findings::Findings;
use super::inline_schema::inline_schema;
use super::invalid::{InvalidValue, quoted};
use super::toml_values::is_unsettable;
use super::units::{HOUR, SECOND};
use super::values::{Int, OptionalTime, Time, is_word, text};

/// How much this process does at once, and how it stops.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Jobs in flight, which is also the AMQP prefetch.
    #[serde(deserialize_with = "concurrency")]
    #[schemars(with = "ConcurrencyValue")]
    pub concurrency: Concurrency,
    /// Limit for a stop; at least `api.timeout`.
    #[serde(with = "Time::<SECOND, HOUR>")]
    pub drain_timeout: Duration,
    /// When the process is killed after it was told to stop, as far as that is known; more than `drain_timeout`.
    #[serde(with = "OptionalTime::<SECOND, { 24 * HOUR }>")]
    pub termination_grace: Option<Duration>,
    /// Name of this process: a segment of a URI path, 1 to 128 characters.
    #[serde(deserialize_with = "instance")]
    pub instance: String,
    /// Threads that run the jobs.
    #[serde(with = "Int::<1, 64>")]
    pub threads: u16,
}

/// How many jobs may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// So many.
    Fixed(u16),
    /// As many as the API takes, within these bounds.
    Adaptive(Bounds),
}

/// The most jobs in flight that can be set.
const MOST: i64 = 1000;

/// The schema of [`Concurrency`].
struct ConcurrencyValue;

const SEGMENT: &str = "1 to 128 letters, digits, \"-\", \".\", \"_\" or \"~\"";

impl Concurrency {
    /// The most jobs in flight.
    pub fn max(self) -> u16 {
        match self {
            Self::Fixed(jobs) => jobs,
            Self::Adaptive(bounds) => bounds.max(),
        }
    }
}

impl JsonSchema for ConcurrencyValue {
    inline_schema!({
        "type": ["integer", "object"],
        "minimum": 1,
        "maximum": MOST,
        "properties": {
            "min": { "type": "integer", "minimum": 1, "maximum": MOST },
            "max": { "type": "integer", "minimum": 1, "maximum": MOST },
        },
        "required": ["min", "max"],
        "additionalProperties": false,
    });
}

impl Worker {
    /// Gives an instance without a name the host's.
    pub(super) fn validate(&mut self, findings: &mut Findings<'_>) {
        if !self.instance.is_empty() {
            return;
        }
        // A host without a name has none worth telling apart.
        let host = findings.env.get("HOSTNAME").map_or("localhost", |name| name.trim());
        if is_segment(host) {
            host.clone_into(&mut self.instance);
        } else {
            let what = format!("is not set, and the host name {} cannot stand in an event's source", quoted(host));
            findings.error(&["worker.instance"], what, format!("set worker.instance to {SEGMENT}"));
        }
    }
}

/// The characters that a URI path takes as they are; "." and ".." would be resolved away.
fn is_segment(text: &str) -> bool {
    is_word(text, 128, b"-._~") && text != "." && text != ".."
}

fn concurrency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Concurrency, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let (Some(table), false) = (value.as_table(), is_unsettable(&value)) else {
        return Int::<1, MOST>::deserialize(value).map(Concurrency::Fixed).map_err(de::Error::custom);
    };
    let (mut refused, mut bounds) = (Vec::new(), [0; 2]);
    for ((name, other), bound) in [("min", "max"), ("max", "min")].into_iter().zip(&mut bounds) {
        match table.get(name).map(Int::<1, MOST>::parse) {
            Some(Ok(number)) => *bound = number,
            Some(Err(invalid)) => refused.push(invalid.part(name)),
            None => {
                let remedy = "set both, as { min = 4, max = 64 }, or a number instead of the table";
                refused.push(InvalidValue::new(format!("is set without {name}"), remedy).part(other));
            }
        }
    }
    let [min, max] = bounds;
    match Bounds::try_new(min, max) {
        Ok(bounds) if refused.is_empty() => Ok(Concurrency::Adaptive(bounds)),
        Err(_) if refused.is_empty() => {
            let what = format!("{min} is above max ({max})");
            Err(InvalidValue::error(&[InvalidValue::new(what, "write a min that is at most max").part("min")]))
        }
        _ => Err(InvalidValue::error(&refused)),
    }
}

fn instance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |text| {
        if text.is_empty() || is_segment(text) {
            return Ok(text.to_owned());
        }
        let what = format!("{} cannot stand in an event's source", quoted(text));
        Err(InvalidValue::new(what, format!("write {SEGMENT}")))
    })
}
