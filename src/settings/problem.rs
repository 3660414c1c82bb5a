//! What is wrong with the settings, in words for the operator who must put it right.

use std::fmt;

use super::log::LogFormat;
use super::origin::{Origin, Place, printable};
use super::row::Row;

/// One thing that is wrong, or worth a warning: the key, what is wrong, where it was set, what to do.
/// No part of it ever holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    warning: bool,
    key: String,
    what: String,
    places: Vec<Place>,
    remedy: String,
}

/// Every problem that was found; there is at least one. `Display` prints them all, ready for a terminal, with a closing count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    pub(super) found: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// A file could not be read, so the checks that need all the values were not made.
    pub(super) incomplete: bool,
    pub(super) read: Vec<Row>,
    pub(super) log_format: Option<LogFormat>,
}

impl Problem {
    pub(super) fn error(place: Place, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { warning: false, key: place.key.clone(), what: what.into(), places: vec![place], remedy: remedy.into() }
    }

    pub(super) fn warning(place: Place, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(place, what, remedy) }
    }

    /// Names another key that has a part in it, and where that was set.
    pub(super) fn and(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// The dotted key, as `api.timeout`; empty when a file as a whole is meant.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong: a fragment that follows the key.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to change.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// Where the key, and any other key that has a part in it, was set.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.places.iter().map(|place| &place.origin)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.warning { "warning: " } else { "error: " })?;
        if !self.key.is_empty() {
            write!(f, "{}: ", printable(&self.key))?;
        }
        writeln!(f, "{}", self.what)?;
        for place in &self.places {
            if place.key == self.key {
                writeln!(f, "  --> {}", place.origin)?;
            } else {
                writeln!(f, "  --> {}: {}", printable(&place.key), place.origin)?;
            }
            if let Some(snippet) = &place.snippet {
                writeln!(f, "{snippet}")?;
            }
        }
        write!(f, "  = help: {}", self.remedy)
    }
}

impl Problems {
    /// The keys that have no problem of their own, as [`super::Loaded::redacted`] has all. Where a file could not be read whole, what it
    /// sets is not among them.
    pub fn read(&self) -> &[Row] {
        &self.read
    }

    /// `log.format`, where it could be read.
    pub fn log_format(&self) -> Option<LogFormat> {
        self.log_format
    }

    /// The problems in the order they were found: files, environment, flags, then values and how they fit together.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }

    /// What would not have stopped the start.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// How many problems there are, without the warnings.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.found.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.found.iter().chain(&self.warnings) {
            writeln!(f, "{problem}\n")?;
        }
        if self.incomplete {
            writeln!(
                f,
                "How the values fit together was not checked, because a settings file could not be read whole."
            )?;
        }
        write!(f, "{} in the settings", counted(self.found.len(), "problem"))?;
        if !self.warnings.is_empty() {
            write!(f, ", {}", counted(self.warnings.len(), "warning"))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
