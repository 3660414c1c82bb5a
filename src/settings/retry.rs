//! `[retry]`: when a job is tried again.

use std::fmt;
use std::time::Duration;

use super::reader::{Reader, Wrong, quoted};
use super::units::{parse_duration, plain};

/// When a job is tried again, in memory and by the broker.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Tries in memory, the first included. 1 to 20.
    pub quick_attempts: u32,
    /// Shortest pause between tries in memory. At most `quick_max`.
    pub quick_min: Duration,
    /// Longest pause between tries in memory. At most 5 min.
    pub quick_max: Duration,
    /// Pauses in the broker: 1 to 8, strictly ascending.
    pub delays: Vec<Delay>,
    /// Attempts until a job is parked. 1 to 100.
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
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let pause = Duration::from_millis(1)..=Duration::from_mins(5);
        let retry = Self {
            quick_attempts: r.int("retry.quick_attempts", 1..=20),
            quick_min: r.duration("retry.quick_min", pause.clone()),
            quick_max: r.duration("retry.quick_max", pause),
            delays: r.list("retry.delays", delay),
            max_attempts: r.int("retry.max_attempts", 1..=100),
        };
        retry.check(r);
        retry
    }

    fn check(&self, r: &mut Reader<'_>) {
        if r.sound(&["retry.quick_min", "retry.quick_max"]) && self.quick_min > self.quick_max {
            r.error_with(
                "retry.quick_min",
                &["retry.quick_max"],
                format!("{} is longer than retry.quick_max ({})", plain(self.quick_min), plain(self.quick_max)),
                "lower retry.quick_min or raise retry.quick_max",
            );
        }
        if !r.sound(&["retry.delays"]) {
            return;
        }
        if !(1..=8).contains(&self.delays.len()) {
            let what = format!("has {} delays", self.delays.len());
            r.error("retry.delays", what, "write 1 to 8 delays, as [\"10s\", \"1m\", \"10m\", \"1h\"]");
        }
        for pair in self.delays.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if before.duration == after.duration {
                let what = format!("has {after} twice, which would be one queue");
                r.error("retry.delays", what, "keep one of the two");
            } else if before.duration > after.duration {
                let what = format!("has {after} after {before}: jobs would come back sooner the longer they fail");
                r.error("retry.delays", what, "sort the delays from short to long");
            }
        }
    }
}

fn delay(text: &str) -> Result<Delay, Wrong> {
    let remedy = "write whole seconds from 1s to 24h, as \"10s\" or \"1m\"";
    let Some(duration) = parse_duration(text) else {
        return Err(Wrong::new(format!("{} is not a duration", quoted(text)), remedy));
    };
    if duration.subsec_nanos() != 0 || !(Duration::from_secs(1)..=Duration::from_hours(24)).contains(&duration) {
        return Err(Wrong::new(format!("{} cannot be a delay", quoted(text)), remedy));
    }
    Ok(Delay { name: plain(duration), duration })
}
