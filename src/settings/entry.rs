//! A layer: dotted keys with their values as they were written, each at its place.

use std::collections::BTreeMap;

use super::origin::Place;

/// What one source sets.
pub(super) type Layer = BTreeMap<String, Entry>;

/// A value with its place. Holds secrets in the clear and therefore has no `Debug`.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A value as it was written; what it means is up to whoever reads its key.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Entry>),
    /// From a variable or a flag, where everything is text.
    Raw(String),
    /// Something no setting can be; the words say what.
    Other(&'static str),
}

impl Value {
    /// The text of a string, from wherever it came.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Raw(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it stands for "not set".
    pub(super) fn is_empty(&self) -> bool {
        self.text().is_some_and(|text| text.trim().is_empty())
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Raw(_) => "a string",
            Self::Int(_) => "a number",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }
}
