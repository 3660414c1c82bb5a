//! The effective settings as lines to print.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use toml::Value as Toml;

use super::entry::{Entry, Layer, Value};
use super::keys::Keys;
use super::origin::Origin;
use super::reader::Reader;
use super::{ApiAuth, LedgerBackend, Settings};

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
        let table: toml::Table = format!("value = {}", self.value).parse().unwrap_or_default();
        table.get("value").map(|value| serde_json::json!(value)).unwrap_or_default()
    }
}

/// A row for every key that there is or that was set.
pub(super) fn rows(settings: &Settings, reader: &Reader<'_>, keys: &Keys, top: &Layer, default: &Layer) -> Vec<Row> {
    // `top` has the statuses that are set beside the default ones; `keys` has `amqp.url`, which a file takes out of `top`.
    let all: BTreeSet<&str> = keys.iter().chain(top.keys().map(String::as_str)).collect();
    all.into_iter()
        .map(|key| {
            let value = match key {
                "amqp.url" => Toml::from(settings.amqp.url.to_string()),
                "ledger.url" => Toml::from(ledger_url(settings, top)),
                "worker.instance" => Toml::from(settings.worker.instance.as_str()),
                _ if keys.is_secret(key) => Toml::from(if is_set(key, settings) { "***" } else { "" }),
                _ => top.get(key).map_or_else(|| Toml::from(""), |entry| as_toml(entry, default.get(key))),
            };
            Row { key: key.to_owned(), value: value.to_string(), origin: reader.place(key).origin }
        })
        .collect()
}

/// One that is not used is only masked.
fn ledger_url(settings: &Settings, top: &Layer) -> String {
    match &settings.ledger.backend {
        LedgerBackend::Redis(url) => url.to_string(),
        LedgerBackend::None | LedgerBackend::Memory | LedgerBackend::File(_) => {
            let set = ["ledger.url", "ledger.url_file"].iter().any(|key| {
                top.get(*key).and_then(|entry| entry.value.text()).is_some_and(|text| !text.trim().is_empty())
            });
            if set { "***" } else { "" }.to_owned()
        }
    }
}

fn is_set(secret: &str, settings: &Settings) -> bool {
    match secret {
        "api.api_key" | "api.secret" => matches!(settings.api.auth, ApiAuth::Keys { .. }),
        "api.token" => match &settings.api.auth {
            ApiAuth::Keys { .. } => false,
            ApiAuth::Token(token) => !token.now().expose_secret().is_empty(),
        },
        "log.hash_key" => settings.log.hash_key.is_some(),
        _ => true,
    }
}

/// What came as text from a variable or a flag has the type of the default.
fn as_toml(entry: &Entry, default: Option<&Entry>) -> Toml {
    match &entry.value {
        Value::Text(text) => Toml::from(text.as_str()),
        Value::Int(number) => Toml::from(*number),
        Value::Float(number) => Toml::from(*number),
        Value::Bool(flag) => Toml::from(*flag),
        Value::List(items) => Toml::Array(items.iter().map(|item| as_toml(item, None)).collect()),
        Value::Raw(text) => from_text(text.trim(), default.map(|entry| &entry.value)),
        Value::Other(kind) => Toml::from(*kind),
    }
}

fn from_text(text: &str, default: Option<&Value>) -> Toml {
    match default {
        Some(Value::List(_)) if text.is_empty() => Toml::Array(Vec::new()),
        Some(Value::List(_)) => Toml::Array(text.split(',').map(|item| Toml::from(item.trim())).collect()),
        Some(Value::Bool(_)) => text.parse().map_or_else(|_| Toml::from(text), Toml::Boolean),
        Some(Value::Int(_) | Value::Float(_)) => {
            let number = text.replace('_', "");
            let float = || number.parse().map(Toml::Float);
            number.parse().map(Toml::Integer).or_else(|_| float()).unwrap_or_else(|_| Toml::from(text))
        }
        _ => Toml::from(text),
    }
}
