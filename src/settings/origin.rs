//! Where a value came from, and what may be shown of that place.

use std::fmt;
use std::path::PathBuf;

/// Where the value of a key was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in `config/default.toml`.
    Default,
    /// A settings file. Line and column count from 1, in characters; both are 0 when the file as a whole is meant.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line of the value, from 1.
        line: usize,
        /// Column of the value, from 1.
        column: usize,
    },
    /// An environment variable.
    Env {
        /// Its full name.
        name: String,
    },
    /// The file that an `x_file` key names.
    SecretFile {
        /// The secret's file.
        path: PathBuf,
    },
    /// A `--set` flag.
    Flag {
        /// The key as it was written in the flag.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Env { name } => write!(f, "environment variable {}", printable(name)),
            Self::SecretFile { path } => write!(f, "secret file {}", path.display()),
            Self::Flag { key } => write!(f, "flag --set {}", printable(key)),
        }
    }
}

/// Keeps escape sequences and new lines of keys out of the terminal, and a mark below its place.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A key at the place that set it. Carries no value: the snippet is masked when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) snippet: Option<Snippet>,
}

impl Place {
    pub(super) fn new(key: impl Into<String>, origin: Origin) -> Self {
        Self { key: key.into(), origin, snippet: None }
    }
}

/// One line of a settings file with a mark under a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    line: usize,
    text: String,
    /// Characters of `text` before the mark, and under it.
    mark: Option<(usize, usize)>,
}

impl Snippet {
    pub(super) fn new(line: usize, text: String, mark: Option<(usize, usize)>) -> Self {
        Self { line, text, mark }
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, " {gutter} |")?;
        write!(f, " {number} | {}", self.text)?;
        if let Some((before, under)) = self.mark {
            write!(f, "\n {gutter} | {}{}", " ".repeat(before), "^".repeat(under.max(1)))?;
        }
        Ok(())
    }
}
