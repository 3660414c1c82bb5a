//! Durations and sizes, as text and back.

use std::time::Duration;

use bytesize::ByteSize;

/// "30s", "1m30s", "7d". None: not a duration; a bare number is not one.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

/// "10MiB", "512 KB", "4096". None: not a size.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    text.trim().parse::<ByteSize>().ok().map(|size| size.as_u64())
}

/// The shortest way to write a duration that is whole milliseconds: `1m30s`, `250ms`, `24h`, `7d`. Days only from two on, so that a
/// delay of a day has the name `24h`.
pub(super) fn plain(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    let day = 24 * 60 * 60 * 1000;
    let units = [(day, "d"), (60 * 60 * 1000, "h"), (60 * 1000, "m"), (1000, "s"), (1, "ms")];
    for (unit, name) in units {
        let at_least = if unit == day { 2 * day } else { unit };
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
