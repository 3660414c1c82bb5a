//! `[worker]`: the process.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::invalid::{InvalidValue, quoted};
use super::units::{HOUR, SECOND};
use super::values::{Int, OptionalTime, Time, is_word, text};

/// How much this process does at once, and how it stops.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Jobs in flight, which is also the AMQP prefetch.
    #[serde(with = "Int::<1, 1000>")]
    pub concurrency: u16,
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

const SEGMENT: &str = "1 to 128 letters, digits, \"-\", \".\", \"_\" or \"~\"";

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

fn instance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |text| {
        if text.is_empty() || is_segment(text) {
            return Ok(text.to_owned());
        }
        let what = format!("{} cannot stand in an event's source", quoted(text));
        Err(InvalidValue::new(what, format!("write {SEGMENT}")))
    })
}
