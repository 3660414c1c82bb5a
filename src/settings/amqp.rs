//! `[amqp]`: the broker.

use std::path::PathBuf;
use std::time::Duration;

use super::authorities;
use super::reader::{Reader, Wrong, quoted};
use super::urls::AmqpUrl;

/// Where the broker is, and how long it may take for what.
#[derive(Clone, Debug)]
pub struct Amqp {
    /// Where the broker is, with credentials.
    pub url: AmqpUrl,
    /// Start of every exchange and queue name: 1 to 64 of `A-Za-z0-9._-`.
    pub prefix: String,
    /// What to do about exchanges, queues and bindings at the start.
    pub topology: TopologyMode,
    /// Whole seconds, 1 s to 10 min.
    pub heartbeat: Duration,
    /// Limit for a connection, TLS and login included. At most 5 min.
    pub connect_timeout: Duration,
    /// Limit from a publish to its confirm. At most 5 min.
    pub publish_timeout: Duration,
    /// Limit for writing an acknowledgement. At most 5 min.
    pub ack_timeout: Duration,
    /// How often the connection is proved to answer. At most 10 min.
    pub watchdog_interval: Duration,
    /// A PEM file of certificate authorities to trust beside those of the system; at the start it held at least one and no broken one.
    pub ca_file: Option<PathBuf>,
}

/// What to do about exchanges, queues and bindings at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyMode {
    /// Create what is missing.
    Declare,
    /// Compare with what is there, change nothing.
    Check,
    /// Trust that all is in place.
    None,
}

impl Amqp {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        const UP_TO_5M: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(5);
        const UP_TO_10M: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(10);
        let amqp = Self {
            url: url(r),
            prefix: r.text("amqp.prefix", prefix),
            topology: r.choice(
                "amqp.topology",
                &[("declare", TopologyMode::Declare), ("check", TopologyMode::Check), ("none", TopologyMode::None)],
            ),
            heartbeat: r.duration("amqp.heartbeat", Duration::from_secs(1)..=Duration::from_mins(10)),
            connect_timeout: r.duration("amqp.connect_timeout", UP_TO_5M),
            publish_timeout: r.duration("amqp.publish_timeout", UP_TO_5M),
            ack_timeout: r.duration("amqp.ack_timeout", UP_TO_5M),
            watchdog_interval: r.duration("amqp.watchdog_interval", UP_TO_10M),
            ca_file: r.path("amqp.ca_file"),
        };
        amqp.check(r);
        amqp
    }

    fn check(&self, r: &mut Reader<'_>) {
        if self.heartbeat.subsec_nanos() != 0 {
            r.error(
                "amqp.heartbeat",
                "is not a whole number of seconds, which is all the protocol can say",
                "write \"30s\"",
            );
        }
        let Some(path) = &self.ca_file else { return };
        if let Some(wrong) = authorities::wrong(path) {
            let remedy = "name a file with PEM certificates, or set it to \"\" to trust the system's authorities only";
            r.error("amqp.ca_file", wrong, remedy);
        } else if r.sound(&["amqp.url"]) && !self.url.is_tls() {
            r.warn(
                "amqp.ca_file",
                "is not used, because amqp.url is not amqps://",
                "write amqps:// for TLS, or remove it",
            );
        }
    }
}

fn url(r: &mut Reader<'_>) -> AmqpUrl {
    match r.secret("amqp.url", None) {
        Some(found) => match AmqpUrl::of(&found) {
            Ok(url) => return url,
            Err(wrong) => r.blame(&found, wrong),
        },
        // Where the secret could not be read, that has been noted.
        None if r.sound(&["amqp.url", "amqp.url_file"]) => {
            r.required("amqp.url", "is empty", "set amqp.url, amqp.url_file or ANTISPOOFD__AMQP__URL");
        }
        None => {}
    }
    r.default_of("amqp.url", AmqpUrl::parse)
}

fn prefix(text: &str) -> Result<String, Wrong> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if fits {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot start queue names", quoted(text)),
        "write 1 to 64 letters, digits, \".\", \"_\" or \"-\"",
    ))
}
