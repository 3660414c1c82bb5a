//! Why a command failed, and the one place that prints it.

use super::exit::Exit;
use super::terminal::say;
use crate::amqp::{ConnectError, ManagementError, ToolError};
use crate::settings::LogFormat;
use crate::telemetry::logs;
use crate::{s3, settings};
use serde_json::{Value, json};
use std::fmt::Display;
use tracing::Level;

/// What to do when an exchange is not there.
pub(super) const NO_TOPOLOGY: &str = "a worker with amqp.topology = \"declare\" has to have run on this vhost; \
     are amqp.url and amqp.prefix the same here and there?";

/// An error with the exit code that it leads to and, where there is something to be done, a hint.
#[derive(Debug)]
pub(super) struct Problem {
    exit: Exit,
    /// None: there is nothing to be said.
    error: Option<anyhow::Error>,
    hint: Option<String>,
    /// It is the daemon's, whose stderr is its log from the first line on.
    daemon: bool,
}

impl Problem {
    /// It was tried and failed.
    pub(super) fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Failed, error: Some(error.into()), hint: None, daemon: false }
    }

    /// A service cannot be had.
    pub(super) fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Unreachable, ..Self::failed(error) }
    }

    /// Wrong usage.
    pub(super) fn usage(what: impl Display) -> Self {
        Self { exit: Exit::Usage, ..Self::failed(anyhow::anyhow!("{what}")) }
    }

    /// The settings; their problems bring their own help.
    pub(super) fn settings(problems: settings::Problems) -> Self {
        Self { exit: Exit::Settings, ..Self::failed(problems) }
    }

    /// A setting that only running with it shows to be wrong.
    pub(super) fn wrong_setting(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Settings, ..Self::failed(error) }
    }

    /// The settings of the daemon: where they ask for a JSON log, their problems are lines of it.
    pub(super) fn of_daemon(problems: settings::Problems) -> Self {
        Self { daemon: true, ..Self::settings(problems) }
    }

    /// The reader of stdout has left: the end of a pipeline, not an error.
    pub(super) fn closed() -> Self {
        Self { exit: Exit::Ok, error: None, hint: None, daemon: false }
    }

    /// Adds what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds what to do about it, where that is known.
    pub(super) fn maybe_hint(self, hint: Option<&str>) -> Self {
        Self { hint: hint.map(str::to_owned).or(self.hint), ..self }
    }

    /// Says at what it happened.
    pub(super) fn context(self, what: impl Display + Send + Sync + 'static) -> Self {
        Self { error: self.error.map(|error| error.context(what)), ..self }
    }

    /// True when something to be done has been said.
    pub(super) fn has_hint(&self) -> bool {
        self.hint.is_some()
    }

    /// True when stdout was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.error.is_none()
    }

    /// Prints the whole chain and the hint to stderr; in a JSON log as one of its lines.
    pub(super) fn report(&self) -> Exit {
        let Some(error) = &self.error else { return self.exit };
        match error.downcast_ref::<settings::Problems>() {
            Some(problems) if self.daemon && problems.log_format() == Some(LogFormat::Json) => {
                problems
                    .iter()
                    .for_each(|problem| say(logs::json_line(Level::ERROR, &line(problem), fields(problem)).trim_end()));
                problems
                    .warnings()
                    .iter()
                    .for_each(|warning| say(logs::json_line(Level::WARN, &line(warning), fields(warning)).trim_end()));
            }
            Some(problems) if self.exit == Exit::Settings => say(&problems.to_string()),
            _ => {
                let hint = self.hint.as_ref().map(|hint| ("hint", json!(hint)));
                let fields = hint.into_iter().chain([("exit_code", json!(self.exit as u8))]);
                if !logs::say_object(Level::ERROR, &chain(error), fields) {
                    say(&self.words(error));
                }
            }
        }
        self.exit
    }

    fn words(&self, error: &anyhow::Error) -> String {
        let words = format!("error: {}", chain(error));
        match &self.hint {
            Some(hint) => format!("{words}\nhint: {hint}"),
            None => words,
        }
    }
}

/// Says a warning about the settings of the daemon, once its log is there.
pub(super) fn warn(warning: &settings::Problem) {
    if !logs::say_object(Level::WARN, &line(warning), fields(warning)) {
        say(&warning.to_string());
    }
}

/// `worker.concurrency: is 0, …`
fn line(problem: &settings::Problem) -> String {
    if problem.key().is_empty() { problem.what().to_owned() } else { format!("{}: {}", problem.key(), problem.what()) }
}

fn fields(problem: &settings::Problem) -> [(&'static str, Value); 3] {
    let origins: Vec<String> = problem.origins().map(ToString::to_string).collect();
    [("key", json!(problem.key())), ("origin", json!(origins.join(", "))), ("hint", json!(problem.remedy()))]
}

/// From what was to be done to why it could not, each once.
fn chain(error: &anyhow::Error) -> String {
    let mut words = String::new();
    let mut last = String::new();
    for link in error.chain() {
        let link = link.to_string();
        // Some errors repeat their source in their own words.
        if last.contains(&link) {
            continue;
        }
        if !last.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&link);
        last = link;
    }
    words
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(error)
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Url(_) | ConnectError::CaFile { .. } => Self { exit: Exit::Settings, ..Self::failed(error) },
            ConnectError::TooOld { .. } => {
                Self { exit: Exit::Settings, ..Self::failed(error) }.hint(ConnectError::UPGRADE)
            }
            // The broker has said what it does not like.
            ConnectError::Refused { refusal: Some(_), .. } => Self::unreachable(error),
            ConnectError::Timeout(_) | ConnectError::Refused { .. } => {
                Self::unreachable(error).hint("is the broker up, and is amqp.url (ANTISPOOFD__AMQP__URL) right?")
            }
        }
    }
}

impl From<ToolError> for Problem {
    fn from(error: ToolError) -> Self {
        let hint = error.is_missing().then_some(NO_TOPOLOGY);
        Self::unreachable(error).maybe_hint(hint)
    }
}

impl From<ManagementError> for Problem {
    fn from(error: ManagementError) -> Self {
        let hint = super::differences::management_remedy(&error);
        match error {
            ManagementError::Url(_) => Self { exit: Exit::Usage, ..Self::failed(error) },
            ManagementError::Client(_) => Self { exit: Exit::Settings, ..Self::failed(error) },
            ManagementError::Unreachable { .. } => Self::unreachable(error).hint(hint),
            ManagementError::Refused { .. } => Self::failed(error).hint(hint),
        }
    }
}

impl From<s3::ToolError> for Problem {
    fn from(error: s3::ToolError) -> Self {
        match &error {
            s3::ToolError::Unreachable { .. } => {
                Self::unreachable(error).hint("is the store up, and are s3.endpoint_url and s3.region right?")
            }
            s3::ToolError::NoBucket { .. } => {
                Self::failed(error).hint("name another bucket; for uploads, --create-bucket makes it")
            }
            s3::ToolError::Read { .. } | s3::ToolError::Store { .. } => Self::failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_whole_chain_is_said_and_nothing_twice() {
        let inner = std::io::Error::other("disk on fire");
        let error = Err::<(), _>(inner).context("read b: disk on fire").context("submit a").expect_err("made above");
        let problem = Problem::from(error).hint("leave the building");
        let words = problem.words(problem.error.as_ref().expect("made above"));
        assert_eq!(words, "error: submit a: read b: disk on fire\nhint: leave the building");
    }

    #[test]
    fn a_closed_stdout_is_no_error() {
        assert!(Problem::closed().is_closed());
        assert_eq!(Problem::closed().report(), Exit::Ok);
    }
}
