//! What can be changed while the simulator runs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::auth::Auth;
use super::fault::Faults;
use super::latency::Latency;
use super::rate::RateLimit;
use super::verdict::VerdictRule;

/// How the simulator behaves. Everything here can be changed at run time, by [`Change`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may call.
    pub auth: Auth,
    /// Time between a whole, good request and its answer, error statuses included.
    pub latency: Latency,
    /// What goes wrong.
    pub faults: Faults,
    /// Where the verdicts come from.
    pub verdict: VerdictRule,
    /// Calls a second above which a call is answered at once with 429.
    pub rate_limit: RateLimit,
    /// What `Retry-After` says on an injected 429, rounded up to whole seconds. (A 429 of the rate limit says when there will be
    /// room again.)
    pub retry_after: Duration,
    /// How `Retry-After` says it.
    pub retry_after_form: RetryAfterForm,
    /// Time between two bytes of an answer of the fault `slow`.
    pub slow_interval: Duration,
}

/// The two forms of `Retry-After` that HTTP knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfterForm {
    /// `Retry-After: 2`
    Seconds,
    /// `Retry-After: Sun, 22 Nov 2026 23:30:00 GMT`
    Date,
}

/// A text that is no [`RetryAfterForm`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read the form of Retry-After `{0}`: write seconds or date")]
pub struct RetryAfterFormError(String);

/// Longer than anybody waits for a simulator, and short enough that no date overflows.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Why a text is not a time to wait.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Not a duration.
    #[error("read the duration `{text}`: write for instance `2s` or `250ms`")]
    Shape {
        /// What was written.
        text: String,
        /// What is wrong with it.
        source: humantime::DurationError,
    },
    /// More than a day.
    #[error("use the duration `{0}`: more than a day")]
    TooLong(String),
}

/// A change to a [`Config`]: fields that are absent stay as they are, an unknown field is an error. Setting `faults` also
/// forgets what was left of counted ones; setting `rate_limit` starts with a full bucket.
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
    /// `"seconds"` or `"date"`.
    #[serde(default, deserialize_with = "text")]
    pub retry_after_form: Option<RetryAfterForm>,
    /// A duration such as `"250ms"`.
    #[serde(default, deserialize_with = "duration")]
    pub slow_interval: Option<Duration>,
}

// === impl Config ===

impl Config {
    /// Answers at once and never fails.
    pub fn new(auth: Auth) -> Self {
        Self {
            auth,
            latency: Latency::fixed(Duration::ZERO),
            faults: Faults::default(),
            verdict: VerdictRule::ByDigest,
            rate_limit: RateLimit::OFF,
            retry_after: Duration::from_secs(1),
            retry_after_form: RetryAfterForm::Seconds,
            // A verdict takes some ten seconds: longer than a careless client waits, shorter than a careful one.
            slow_interval: Duration::from_millis(200),
        }
    }

    pub(super) fn apply(&mut self, change: Change) {
        let Change { auth, latency, faults, verdict, rate_limit, retry_after, retry_after_form, slow_interval } =
            change;
        put(&mut self.auth, auth);
        put(&mut self.latency, latency);
        put(&mut self.faults, faults);
        put(&mut self.verdict, verdict);
        put(&mut self.rate_limit, rate_limit);
        put(&mut self.retry_after, retry_after);
        put(&mut self.retry_after_form, retry_after_form);
        put(&mut self.slow_interval, slow_interval);
    }

    /// The settings as JSON in the words of [`Change`], without token and secret. Counted faults show what is left of them.
    pub(super) fn to_json(&self) -> Value {
        let auth = match &self.auth {
            Auth::Open => json!({ "type": "open" }),
            Auth::Token(_) => json!({ "type": "token" }),
            Auth::Keys { api_key, .. } => json!({ "type": "keys", "api_key": api_key }),
        };
        json!({
            "auth": auth,
            "latency": self.latency.to_string(),
            "faults": self.faults.to_string(),
            "verdict": self.verdict.to_string(),
            "rate_limit": self.rate_limit.get(),
            "retry_after": humantime::format_duration(self.retry_after).to_string(),
            "retry_after_form": self.retry_after_form.to_string(),
            "slow_interval": humantime::format_duration(self.slow_interval).to_string(),
        })
    }
}

fn put<T>(place: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *place = new;
    }
}

// === impl RetryAfterForm ===

impl FromStr for RetryAfterForm {
    type Err = RetryAfterFormError;

    fn from_str(text: &str) -> Result<Self, RetryAfterFormError> {
        match text {
            "seconds" => Ok(Self::Seconds),
            "date" => Ok(Self::Date),
            other => Err(RetryAfterFormError(other.to_owned())),
        }
    }
}

impl fmt::Display for RetryAfterForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "seconds",
            Self::Date => "date",
        })
    }
}

/// Reads a time to wait, such as `2s`.
pub fn parse_wait(text: &str) -> Result<Duration, WaitError> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LONGEST_WAIT => Ok(duration),
        Ok(_) => Err(WaitError::TooLong(text.to_owned())),
        Err(source) => Err(WaitError::Shape { text: text.to_owned(), source }),
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
