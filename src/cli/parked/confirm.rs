//! Asking before something that cannot be taken back.

use super::super::problem::Problem;
use super::super::terminal::say;
use anyhow::Context as _;
use std::io::{BufRead as _, IsTerminal as _};

/// Asks at the terminal. Without one, `--yes` has to have been given. `what` would be `done`.
pub(super) fn confirm(what: &str, done: &str) -> Result<bool, Problem> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Problem::usage(format!("{what}; there is no terminal to ask at, so nothing was {done}"))
            .hint("look with `parked list` and the same filter, then add --yes"));
    }
    say(&format!("{what}. Go on? [y/N]"));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
