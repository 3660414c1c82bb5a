//! Durations and sizes, as text and back.

use std::time::Duration;

/// Units of durations, in milliseconds.
pub(super) const SECOND: u64 = 1000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// `"30s"`, `"1m30s"`, `"7d"`. None: not a duration; a bare number is not one.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

/// `1s to 10m`.
pub(super) fn bounds(min: u64, max: u64) -> String {
    format!("{} to {}", plain(Duration::from_millis(min)), plain(Duration::from_millis(max)))
}

/// The shortest way to write a duration of whole milliseconds: `1m30s`, `250ms`, `24h`, `7d`. Days only from two on, so that the
/// queue of a delay of one day is named `24h`.
pub(super) fn plain(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, name) in [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (1, "ms")] {
        let unit = u128::from(unit);
        let at_least = if name == "d" { 2 * unit } else { unit };
        if left >= at_least {
            text += &(left / unit).to_string();
            text += name;
            left %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `10MiB`, `1000B`: in the largest unit that divides it.
pub(super) fn plain_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}
