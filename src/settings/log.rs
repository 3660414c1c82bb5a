//! `[log]`: what is logged, and how.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use tracing_subscriber::EnvFilter;

use super::findings::Findings;
use super::invalid::{InvalidValue, nearest_to, quoted};
use super::secrets::file::Given;
use super::secrets::rotating::RotatingSecret;
use super::values::{Choice, text};

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The form of a line.
    #[serde(with = "Choice::<LogFormat>")]
    pub format: LogFormat,
    /// Directives of an `EnvFilter`, which parse.
    #[serde(deserialize_with = "level")]
    pub level: String,
    /// The variable `RUST_LOG`, where it is set: directives that parse, in place of `level`.
    #[serde(skip)]
    pub rust_log: Option<String>,
    /// How object keys appear.
    #[serde(with = "Choice::<ObjectKeys>")]
    pub object_keys: ObjectKeys,
    /// The key of their hash: at least 16 bytes. None: derived from the API's credentials.
    #[serde(deserialize_with = "hash_key")]
    #[schemars(with = "RotatingSecret")]
    pub hash_key: Option<SecretString>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One object a line.
    Json,
    /// For people.
    Text,
}

/// How object keys, which may hold personal data, appear in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKeys {
    /// Hashed: the same key has the same hash.
    Hash,
    /// As they are.
    Plain,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// In bytes: 64 bits at least, written in hexadecimal digits.
const LEAST_HASH_KEY: usize = 16;

impl Log {
    /// Reads `RUST_LOG`.
    pub(super) fn validate(&mut self, findings: &mut Findings<'_>) {
        let set = findings.env.get("RUST_LOG").map(|text| text.trim()).filter(|text| !text.is_empty());
        match set.map(directives) {
            Some(Ok(directives)) => self.rust_log = Some(directives),
            Some(Err(invalid)) => findings.variable("RUST_LOG", "log.level", invalid),
            None => {}
        }
    }
}

fn hash_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let given = Given::deserialize(deserializer)?;
    if !given.text.is_empty() && given.text.len() < LEAST_HASH_KEY {
        let what = format!("has fewer than {LEAST_HASH_KEY} bytes, so that it could be guessed");
        let invalid = InvalidValue::new(what, "write a random one, as `openssl rand -hex 32` makes it");
        return Err(InvalidValue::error(&[invalid]));
    }
    Ok((!given.text.is_empty()).then(|| SecretString::from(given.text)))
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, directives)
}

/// Whether a word is the path of a module in a crate.
fn is_path(word: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    word.contains("::") && word.split("::").all(is_name)
}

fn directives(text: &str) -> Result<String, InvalidValue> {
    let remedy = "write off, error, warn, info, debug or trace, or per module: \"info,antispoofd::amqp=debug\"";
    if text.is_empty() {
        return Err(InvalidValue::new("is empty", remedy));
    }
    // To the filter a lone word that is no level is a module to trace: a misspelt level would silence everything else.
    for word in text.split(',').map(str::trim) {
        let lone = !word.is_empty() && !word.contains(['=', '[']) && !is_path(word);
        if lone && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
            let hint = nearest_to(word, &LEVELS);
            return Err(InvalidValue::new(format!("{} is not a level", quoted(word)), format!("{hint}{remedy}")));
        }
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(InvalidValue::new(format!("{} is not a log filter: {error}", quoted(text)), remedy)),
    }
}
