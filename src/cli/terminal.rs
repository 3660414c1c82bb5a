//! Writing to stdout and stderr without ever panicking over who reads it.

use super::problem::Problem;
use crate::telemetry::logs;
use anyhow::Context as _;
use std::io::{ErrorKind, Write as _};

/// Writes a line of data. A reader that has left is [`Problem::closed`].
pub(super) fn print(line: &str) -> Result<(), Problem> {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Problem::closed()),
        Err(error) => {
            Err(Err::<(), _>(error).context("write to stdout").map_or_else(Problem::failed, |()| Problem::closed()))
        }
    }
}

/// Says something to the person at the terminal. Where nobody can be told, nobody is. Beside a log it takes the log's way, which never blocks.
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
