//! What kinds of values there are, for who describes the settings.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::units::{plain, plain_size};

/// What a key is read as, with its bounds. `Display` is for a table: Markdown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Text,
    Path,
    Secret,
    Flag,
    Int(RangeInclusive<i64>),
    Number(RangeInclusive<f64>),
    Duration {
        bounds: RangeInclusive<Duration>,
        or_empty: bool,
    },
    Size(RangeInclusive<u64>),
    Choice(Vec<String>),
    /// Of texts.
    List,
    /// The meaning of an HTTP status.
    Status,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Path => f.write_str("path"),
            Self::Secret => f.write_str("text, secret"),
            Self::Flag => f.write_str("`true` or `false`"),
            Self::Int(bounds) => write!(f, "whole number, {} to {}", bounds.start(), bounds.end()),
            Self::Number(bounds) => write!(f, "number, {} to {}", bounds.start(), bounds.end()),
            Self::Duration { bounds, or_empty } => {
                write!(f, "duration, {} to {}", plain(*bounds.start()), plain(*bounds.end()))?;
                f.write_str(if *or_empty { ", or empty" } else { "" })
            }
            Self::Size(bounds) => write!(f, "size, {} to {}", plain_size(*bounds.start()), plain_size(*bounds.end())),
            Self::Choice(choices) => {
                let quoted: Vec<String> = choices.iter().map(|choice| format!("`\"{choice}\"`")).collect();
                f.write_str(&quoted.join(", "))
            }
            Self::List => f.write_str("list of texts"),
            Self::Status => f.write_str("meaning of a status"),
        }
    }
}
