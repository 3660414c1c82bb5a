//! Writing to stderr without ever panicking when its reader has left.

use crate::telemetry::logs;
use std::io::Write as _;

/// Writes a line for the person at the terminal; where stderr is closed, it is dropped. Beside a log it goes through the log's writer, which never blocks.
pub(super) fn say(text: &str) {
    if logs::say(text) {
        return;
    }
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

/// Text from elsewhere without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
