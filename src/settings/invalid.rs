//! Values that cannot be used, and the words that say so.

use serde::{Deserialize, Serialize, de};

/// Why a value cannot be used, and what could be. Never repeats a secret.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InvalidValue {
    /// What is wrong, as it follows the name of a key.
    pub(super) what: String,
    /// What to write instead.
    pub(super) remedy: String,
    /// The part that is meant: the index of a list's item, or the name of a table's entry.
    pub(super) part: Option<String>,
}

impl InvalidValue {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), part: None }
    }

    pub(super) fn part(self, part: impl Into<String>) -> Self {
        Self { part: Some(part.into()), ..self }
    }

    /// As serde carries them. Its errors are text, so these travel as JSON.
    pub(super) fn error<E: de::Error>(all: &[Self]) -> E {
        E::custom(serde_json::to_string(all).unwrap_or_default())
    }

    /// What [`Self::error`] put into the text of an error.
    pub(super) fn from_error(text: &str) -> Vec<Self> {
        serde_json::from_str(text).unwrap_or_else(|_| vec![Self::new(text, "correct the value")])
    }
}

/// A value of a key that is no secret, as a message shows it. A URL with credentials may stand at a wrong key.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.contains("://") && text.contains('@') {
        return "a URL with credentials".to_owned();
    }
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    format!("{:?} (cut)", text.chars().take(LONGEST).collect::<String>())
}

/// The start of a remedy: what was probably meant, if anything is near.
pub(super) fn nearest_to(text: &str, choices: &[&str]) -> String {
    nearest(text, choices.iter().copied()).map(|near| format!("did you mean {near}? ")).unwrap_or_default()
}

/// The candidate that `wrong` is most likely a misspelling of, if any is near enough to be worth suggesting.
pub(super) fn nearest<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = match wrong.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=9 => 2,
        // A wrong text of any length must not cost its square in time.
        10..=80 => 3,
        _ => return None,
    };
    candidates
        .map(|candidate| (strsim::osa_distance(wrong, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
