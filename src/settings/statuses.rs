//! `[api.statuses]`: what an HTTP status of the API means.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use toml::Value;

use super::inline_schema::inline_schema;
use super::invalid::{InvalidValue, quoted};
use super::values::not_text;

/// What a status of success can mean. A code that is tried again at once is not among them: the call has been paid for.
pub const SUCCESS_CODES: [&str; 2] = ["verdict", "api_bad_response"];

/// The failure codes an HTTP status of failure can mean.
pub const STATUS_CODES: [&str; 5] =
    ["api_rejected", "api_unauthorized", "api_forbidden", "api_rate_limited", "api_unavailable"];

/// The table of meanings, whose keys are not a list but two ranges.
pub(super) struct Statuses;

impl Statuses {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, String>, D::Error> {
        let (mut statuses, mut refused) = (BTreeMap::new(), Vec::new());
        for (digits, value) in BTreeMap::<String, Value>::deserialize(deserializer)? {
            let Some(status) = status(&digits) else { continue };
            match value.as_str().map_or_else(|| Err(not_text(&value)), |text| meaning(status, text.trim())) {
                Ok(meaning) => drop(statuses.insert(status, meaning)),
                Err(invalid) => refused.push(invalid.part(digits)),
            }
        }
        if refused.is_empty() { Ok(statuses) } else { Err(InvalidValue::error(&refused)) }
    }
}

impl JsonSchema for Statuses {
    inline_schema!({
        "type": "object",
        "additionalProperties": false,
        "patternProperties": { "^2[0-9]{2}$": { "enum": SUCCESS_CODES }, "^[45][0-9]{2}$": { "enum": STATUS_CODES } },
    });
}

/// A status that can be set.
pub(super) fn status(digits: &str) -> Option<u16> {
    // Three digits and nothing else: "+429" and "0429" would be second names of the same status.
    let status: u16 = if digits.len() == 3 { digits.parse().ok()? } else { return None };
    matches!(status, 200..=299 | 400..=599).then_some(status)
}

fn meaning(status: u16, text: &str) -> Result<String, InvalidValue> {
    let codes = if status < 300 { &SUCCESS_CODES[..] } else { &STATUS_CODES[..] };
    if codes.contains(&text) {
        return Ok(text.to_owned());
    }
    let what = format!("{} is nothing that this status can mean", quoted(text));
    Err(InvalidValue::new(what, format!("write one of {}", codes.join(", "))))
}
