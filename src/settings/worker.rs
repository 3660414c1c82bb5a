//! `[worker]`: the process.

use std::time::Duration;

use super::reader::{Reader, Wrong, quoted};

/// How much this process does at once, and how it stops.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Jobs in flight, which is also the AMQP prefetch. 1 to 1000.
    pub concurrency: u16,
    /// Limit for a stop. 1 s to 1 h, at least `api.timeout`.
    pub drain_timeout: Duration,
    /// When whoever stops the process kills it, as far as it is known. 1 s to 24 h, more than `drain_timeout`.
    pub termination_grace: Option<Duration>,
    /// Name of this process: a segment of a URI path, 1 to 128 characters.
    pub instance: String,
    /// Threads that run the jobs. 1 to 64.
    pub threads: u16,
}

impl Worker {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            concurrency: r.int("worker.concurrency", 1..=1000),
            drain_timeout: r.duration("worker.drain_timeout", Duration::from_secs(1)..=Duration::from_hours(1)),
            termination_grace: r
                .maybe_duration("worker.termination_grace", Duration::from_secs(1)..=Duration::from_hours(24)),
            instance: instance(r),
            threads: r.int("worker.threads", 1..=64),
        }
    }
}

fn instance(r: &mut Reader<'_>) -> String {
    let set = r.text("worker.instance", |text| if text.is_empty() { Ok(None) } else { segment(text).map(Some) });
    if let Some(name) = set {
        return name;
    }
    // Where nobody says it, the machine has no name worth telling apart.
    let host = r.env.get("HOSTNAME").map_or("localhost", |name| name.trim());
    match segment(host) {
        Ok(name) => name,
        Err(_) if !r.sound(&["worker.instance"]) => "localhost".to_owned(),
        Err(_) => {
            r.error(
                "worker.instance",
                format!("is not set, and the host name {} cannot stand in an event's source", quoted(host)),
                "set worker.instance to 1 to 128 letters, digits, \"-\", \".\", \"_\" or \"~\"",
            );
            "localhost".to_owned()
        }
    }
}

/// The characters that a URI path takes as they are; "." and ".." would be resolved away.
fn segment(text: &str) -> Result<String, Wrong> {
    let fits = (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        && text != "."
        && text != "..";
    if fits {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot stand in an event's source", quoted(text)),
        "write 1 to 128 letters, digits, \"-\", \".\", \"_\" or \"~\"",
    ))
}
