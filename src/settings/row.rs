//! A line of `config print`.

use toml::Table;

use super::origin::Origin;

/// One setting as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Dotted key.
    pub key: String,
    /// The value as TOML; a secret is `"***"`, a broker's URL has `***` for user and password.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
}

impl Row {
    /// The value as JSON.
    pub fn json(&self) -> serde_json::Value {
        let table: Table = format!("value = {}", self.value).parse().unwrap_or_default();
        table.get("value").map(|value| serde_json::json!(value)).unwrap_or_default()
    }
}
