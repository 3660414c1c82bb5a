//! A change of the settings, as JSON says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};

use super::auth::Auth;
use super::backoff::{RateHeaders, RetryAfterForm, RetryStatuses};
use super::config::{Config, RefusalManner, parse_wait};
use super::faults::Faults;
use super::latency::Latency;
use super::rate::RateLimit;
use super::verdict::VerdictRule;

/// A change to a [`Config`]: fields that are absent stay as they are, an unknown field is an error. Setting `faults` also
/// forgets what was left of counted ones and ends every `hang-connection`; setting `rate_limit` starts with a full bucket.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// `{"type":"open"}`, `{"type":"token","token":"…"}` or `{"type":"keys","api_key":"…","secret":"…"}`.
    #[serde(default, deserialize_with = "auth")]
    pub auth: Option<Auth>,
    /// As in [`Latency`].
    #[serde(default, deserialize_with = "text")]
    pub latency: Option<Latency>,
    /// As in [`Faults`].
    #[serde(default, deserialize_with = "text")]
    pub faults: Option<Faults>,
    /// As in [`VerdictRule`].
    #[serde(default, deserialize_with = "text")]
    pub verdict: Option<VerdictRule>,
    /// Calls a second; 0 is no limit.
    #[serde(default, deserialize_with = "rate")]
    pub rate_limit: Option<RateLimit>,
    /// A duration such as `"2s"`.
    #[serde(default, deserialize_with = "duration")]
    pub retry_after: Option<Duration>,
    /// `"seconds"`, `"fraction"`, `"negative"`, `"date"` or `"none"`.
    #[serde(default, deserialize_with = "text")]
    pub retry_after_form: Option<RetryAfterForm>,
    /// Statuses such as `"429,503"`.
    #[serde(default, deserialize_with = "text")]
    pub retry_after_on: Option<RetryStatuses>,
    /// `"none"`, `"legacy"`, `"draft-6"`, `"draft-7"` or `"draft-8"`.
    #[serde(default, deserialize_with = "text")]
    pub rate_headers: Option<RateHeaders>,
    /// A duration such as `"250ms"`.
    #[serde(default, deserialize_with = "duration")]
    pub slow_interval: Option<Duration>,
    /// `"drain"`, `"close"` or `"linger"`.
    #[serde(default, deserialize_with = "text")]
    pub refusal: Option<RefusalManner>,
    /// Requests of a connection; 0 is no limit.
    #[serde(default)]
    pub max_requests: Option<u32>,
    /// A duration such as `"6s"`; `"0s"` is none.
    #[serde(default, deserialize_with = "duration")]
    pub idle_timeout: Option<Duration>,
    /// A duration such as `"5s"`; `"0s"` is none.
    #[serde(default, deserialize_with = "duration")]
    pub keep_alive: Option<Duration>,
    /// A duration such as `"10m"`.
    #[serde(default, deserialize_with = "duration")]
    pub hang_time: Option<Duration>,
}

// === impl Change ===

impl Change {
    pub(super) fn apply_to(self, config: &mut Config) {
        put(&mut config.auth, self.auth);
        put(&mut config.latency, self.latency);
        put(&mut config.faults, self.faults);
        put(&mut config.verdict, self.verdict);
        put(&mut config.rate_limit, self.rate_limit);
        put(&mut config.retry_after, self.retry_after);
        put(&mut config.retry_after_form, self.retry_after_form);
        put(&mut config.retry_after_on, self.retry_after_on);
        put(&mut config.rate_headers, self.rate_headers);
        put(&mut config.slow_interval, self.slow_interval);
        put(&mut config.refusal, self.refusal);
        put(&mut config.max_requests, self.max_requests);
        put(&mut config.idle_timeout, self.idle_timeout);
        put(&mut config.keep_alive, self.keep_alive);
        put(&mut config.hang_time, self.hang_time);
    }
}

fn put<T>(place: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *place = new;
    }
}

// === reading a Change ===

/// What JSON says of [`Auth`]; apart from it so that the secrets are plain text for no longer than it takes to read them.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
enum AuthText {
    // With braces, because serde lets unknown fields pass beside a tag that has none.
    Open {},
    Token { token: String },
    Keys { api_key: String, secret: String },
}

fn auth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Auth>, D::Error> {
    Ok(Some(match AuthText::deserialize(deserializer)? {
        AuthText::Open {} => Auth::Open,
        AuthText::Token { token } => Auth::Token(SecretString::from(token)),
        AuthText::Keys { api_key, secret } => Auth::Keys { api_key, secret: SecretString::from(secret) },
    }))
}

fn text<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(deserializer: D) -> Result<Option<T>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    parse_wait(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RateLimit>, D::Error> {
    RateLimit::per_second(f64::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}
