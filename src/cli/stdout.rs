//! Writing data to stdout without ever panicking when its reader has left.

use super::problem::Problem;
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
