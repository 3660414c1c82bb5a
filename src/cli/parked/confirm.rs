//! Asking before something that cannot be taken back.

use super::super::problem::Problem;
use super::super::terminal::say;
use anyhow::Context as _;
use std::io::{BufRead as _, IsTerminal as _};

/// Asks at the terminal. Without one, `--yes` has to have been given.
pub(super) fn confirm(question: &str) -> Result<bool, Problem> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Problem::usage(format!("{question} There is no terminal to answer at"))
            .hint("look with `list` or --dry-run, then add --yes"));
    }
    say(&format!("{question} [y/N]"));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
