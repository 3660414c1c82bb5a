//! `[log]`: what is logged, and how.

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::reader::{Reader, Wrong, nearest_to, quoted};

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// Directives of an `EnvFilter`, which parse.
    pub level: String,
    /// The variable `RUST_LOG`, where it is set: directives that parse, in place of `level`.
    pub rust_log: Option<String>,
    /// How object keys appear.
    pub object_keys: ObjectKeys,
    /// The key of their hash: at least 16 bytes. None: derived from the API's credentials.
    pub hash_key: Option<SecretString>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One object a line.
    Json,
    /// For people.
    Text,
}

/// How object keys, which may hold personal data, appear in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            format: r.choice(
                "log.format",
                &[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)],
            ),
            level: r.text("log.level", level),
            rust_log: r.variable("RUST_LOG", "log.level", level),
            object_keys: r.choice("log.object_keys", &[("hash", ObjectKeys::Hash), ("plain", ObjectKeys::Plain)]),
            hash_key: hash_key(r),
        }
    }
}

fn hash_key(r: &mut Reader<'_>) -> Option<SecretString> {
    let found = r.secret("log.hash_key", None)?;
    if found.text.len() < LEAST_HASH_KEY {
        let what = format!("has fewer than {LEAST_HASH_KEY} bytes, so that it could be guessed");
        r.blame(&found, Wrong::new(what, "write a random one, as `openssl rand -hex 32` makes it"));
        return None;
    }
    Some(SecretString::from(found.text))
}

fn level(text: &str) -> Result<String, Wrong> {
    let remedy = "write off, error, warn, info, debug or trace, or per module: \"info,antispoofd::amqp=debug\"";
    if text.is_empty() {
        return Err(Wrong::new("is empty", remedy));
    }
    // To the filter a lone word that is no level is a module to trace: a misspelt level would silence everything else.
    for word in text.split(',').map(str::trim) {
        let lone = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if lone && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
            let hint = nearest_to(word, &LEVELS);
            return Err(Wrong::new(format!("{} is not a level", quoted(word)), format!("{hint}{remedy}")));
        }
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Wrong::new(format!("{} is not a log filter: {error}", quoted(text)), remedy)),
    }
}
