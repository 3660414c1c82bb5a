//! `[amqp]`: the broker.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::authorities;
use super::findings::Findings;
use super::invalid::{InvalidValue, quoted};
use super::secrets::urls::AmqpUrl;
use super::units::{MINUTE, SECOND};
use super::values::{Choice, File, Time, is_word, text};

/// Where the broker is, and how long it may take for what.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amqp {
    /// Where the broker is, with credentials.
    pub url: AmqpUrl,
    /// Start of every exchange and queue name: 1 to 64 of `A-Za-z0-9._-`.
    #[serde(deserialize_with = "prefix")]
    pub prefix: String,
    /// What to do about exchanges, queues and bindings at the start.
    #[serde(with = "Choice::<TopologyMode>")]
    pub topology: TopologyMode,
    /// Whole seconds.
    #[serde(with = "Time::<SECOND, { 10 * MINUTE }>")]
    pub heartbeat: Duration,
    /// Limit for a connection, TLS and login included.
    #[serde(with = "Time::<1, { 5 * MINUTE }>")]
    pub connect_timeout: Duration,
    /// Limit from a publish to its confirm.
    #[serde(with = "Time::<1, { 5 * MINUTE }>")]
    pub publish_timeout: Duration,
    /// Limit for writing an acknowledgement.
    #[serde(with = "Time::<1, { 5 * MINUTE }>")]
    pub ack_timeout: Duration,
    /// How often the connection is proved to answer.
    #[serde(with = "Time::<1, { 10 * MINUTE }>")]
    pub watchdog_interval: Duration,
    /// A PEM file of certificate authorities to trust beside those of the system; at the start it held at least one and no broken one.
    #[serde(with = "File")]
    pub ca_file: Option<PathBuf>,
}

/// What to do about exchanges, queues and bindings at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TopologyMode {
    /// Create what is missing.
    Declare,
    /// Compare with what is there, change nothing.
    Check,
    /// Trust that all is in place.
    None,
}

impl Amqp {
    pub(super) fn validate(&self, findings: &mut Findings<'_>) {
        if self.heartbeat.subsec_nanos() != 0 {
            let what = "is not a whole number of seconds, which is all the protocol can say";
            findings.error(&["amqp.heartbeat"], what, "write \"30s\"");
        }
        let Some(path) = &self.ca_file else { return };
        if let Some(wrong) = authorities::wrong(path) {
            let remedy = "name a file with PEM certificates, or set it to \"\" to trust the system's authorities only";
            findings.error(&["amqp.ca_file"], wrong, remedy);
        } else if !self.url.is_tls() {
            let what = "is not used, because amqp.url is not amqps://";
            findings.warn(&["amqp.ca_file", "amqp.url"], what, "write amqps:// for TLS, or remove it");
        }
    }
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |text| {
        if is_word(text, 64, b"._-") {
            return Ok(text.to_owned());
        }
        let remedy = "write 1 to 64 letters, digits, \".\", \"_\" or \"-\"";
        Err(InvalidValue::new(format!("{} cannot start queue names", quoted(text)), remedy))
    })
}
