//! What was found out, a line each.

use crate::cli::exit::Exit;
use crate::cli::terminal::plain;
use serde_json::{Value, json};
use std::fmt;

/// One thing that was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    subject: &'static str,
    state: State,
    words: String,
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    /// Stops nothing, and may not be meant so.
    Note,
    /// With what the program ends for it.
    Failed(Exit),
}

impl Line {
    pub(super) fn ok(subject: &'static str, words: impl Into<String>) -> Self {
        Self { subject, state: State::Ok, words: words.into(), remedy: None }
    }

    pub(super) fn note(subject: &'static str, words: impl Into<String>) -> Self {
        Self { state: State::Note, ..Self::ok(subject, words) }
    }

    /// The operator has to put something right.
    pub(super) fn wrong(subject: &'static str, words: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::failed(Exit::Settings, subject, words, remedy)
    }

    /// The service does not answer: the same may succeed later.
    pub(super) fn unreachable(subject: &'static str, words: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::failed(Exit::Unreachable, subject, words, remedy)
    }

    pub(super) fn failed(
        exit: Exit,
        subject: &'static str,
        words: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { state: State::Failed(exit), remedy: Some(remedy.into()), ..Self::ok(subject, words) }
    }

    /// Adds what to do about a note.
    pub(super) fn help(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

impl Line {
    /// What was asked.
    pub(super) fn subject(&self) -> &'static str {
        self.subject
    }

    /// As a member of `probes` in the document of `--json`.
    pub(super) fn json(&self) -> Value {
        let ok = !matches!(self.state, State::Failed(_));
        json!({ "name": self.subject, "ok": ok, "state": self.state.name(), "message": self.words, "hint": self.remedy })
    }
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.name();
        write!(f, "{state:<7} {:<9} {}", self.subject, plain(&self.words))?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n        = help: {remedy}"),
            None => Ok(()),
        }
    }
}

/// What needs a person comes before what may pass.
pub(super) fn exit(lines: &[Line]) -> Exit {
    let ends: Vec<Exit> = lines
        .iter()
        .filter_map(|line| match line.state {
            State::Failed(exit) => Some(exit),
            State::Ok | State::Note => None,
        })
        .collect();
    let order = [Exit::Settings, Exit::Unreachable, Exit::Failed];
    order.into_iter().find(|exit| ends.contains(exit)).unwrap_or(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_comes_first() {
        let wrong = Line::wrong("token", "expired", "make another");
        let away = Line::unreachable("broker", "no answer", "start it");
        let broken = Line::failed(Exit::Failed, "ledger", "damaged", "restore it");
        let fine = [Line::ok("settings", ""), Line::note("bucket", "")];
        assert_eq!(exit(&fine), Exit::Ok);
        assert_eq!(exit(std::slice::from_ref(&broken)), Exit::Failed);
        assert_eq!(exit(&[broken.clone(), away.clone()]), Exit::Unreachable);
        assert_eq!(exit(&[broken, away, wrong]), Exit::Settings);
    }

    #[test]
    fn a_line_and_its_remedy() {
        assert_eq!(Line::ok("ledger", "memory").to_string(), "ok      ledger    memory");
        assert_eq!(
            Line::wrong("token", "expired\u{1b}[2J", "make another").to_string(),
            "failed  token     expired\u{fffd}[2J\n        = help: make another"
        );
    }
}
