//! Lines that are no events of the log and stand among them all the same: with a JSON log each is an object, too, so that a collector can read
//! the last line as well as the first.

use serde_json::{Map, Value, json};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::time::SystemTime;
use tracing::Level;

/// An object of one line, with its end, in the form of the log's own lines.
pub(super) fn object(level: Level, message: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), json!(humantime::format_rfc3339_micros(SystemTime::now()).to_string()));
    line.insert("level".to_owned(), json!(level.as_str()));
    line.insert("message".to_owned(), json!(message));
    line.insert("target".to_owned(), json!("antispoofd"));
    line.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    format!("{}\n", Value::Object(line))
}

/// What a panic says, in place of the lines of the standard library.
pub(super) fn panicked(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("<unnamed>");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let why = info.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let frames = (backtrace.status() == BacktraceStatus::Captured).then(|| ("backtrace", json!(backtrace.to_string())));
    object(Level::ERROR, &format!("thread '{thread}' panicked at {place}: {why}"), frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_said_is_one_line_and_an_object() {
        let line = object(Level::ERROR, "a\n\"b\"\u{1b}", [("hint", json!("c\nd"))]);
        assert_eq!(line.lines().count(), 1);
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&read["message"], &read["hint"]), (&json!("a\n\"b\"\u{1b}"), &json!("c\nd")));
        assert_eq!((&read["level"], read["timestamp"].as_str().map(str::len)), (&json!("ERROR"), Some(27)));
    }
}
