//! What can be changed while the simulator runs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use humantime::format_duration;
use serde_json::{Value, json};

use super::auth::Auth;
use super::backoff::{Backoff, RateHeaders, RetryAfterForm, RetryStatuses};
use super::faults::Faults;
use super::latency::Latency;
use super::rate::RateLimit;
use super::verdict::VerdictRule;

/// How the simulator behaves. Everything here can be changed at run time, by [`Change`](super::Change).
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
    /// What `Retry-After` says on an injected status of `retry_after_on`. (A 429 of the rate limit says when there will be room again.)
    pub retry_after: Duration,
    /// How `Retry-After` says it.
    pub retry_after_form: RetryAfterForm,
    /// The injected statuses that say when to come back.
    pub retry_after_on: RetryStatuses,
    /// The headers of a rate limiter beside it, and on good answers.
    pub rate_headers: RateHeaders,
    /// Time between two bytes of an answer of the fault `slow`.
    pub slow_interval: Duration,
    /// What becomes of a connection whose request is refused before its body was read, by a check of the simulator's own.
    pub refusal: RefusalManner,
    /// Requests of a connection after which it is ended, as nginx does by `keepalive_requests`: over HTTP/1.1 with `Connection: close`, over HTTP/2 with
    /// GOAWAY, after which later streams are neither answered nor counted. 0 is no limit.
    pub max_requests: u32,
    /// Time after which a connection without a request is closed. Zero: only after a minute.
    pub idle_timeout: Duration,
    /// What `Keep-Alive: timeout=N` announces over HTTP/1.1, in whole seconds. Zero: nothing. Node announces five and closes after six.
    pub keep_alive: Duration,
    /// How long the fault `hang-connection` lasts.
    pub hang_time: Duration,
}

/// What becomes of a connection whose request was refused with its body unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalManner {
    /// The rest of the body is read and thrown away, and the connection can be used again.
    Drain,
    /// As the fault `early-401`: it is closed at once.
    Close,
    /// As the fault `lingering-401`: it reads on for a while, and is closed.
    Linger,
}

/// A text that is no [`RefusalManner`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read the manner of refusals `{0}`: write drain, close or linger")]
pub struct RefusalMannerError(String);

/// Longer than any test waits for a simulator, and short enough that no date overflows.
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
            retry_after_on: RetryStatuses::default(),
            rate_headers: RateHeaders::Omitted,
            // A verdict takes some ten seconds: longer than a careless client waits, shorter than a careful one.
            slow_interval: Duration::from_millis(200),
            refusal: RefusalManner::Drain,
            max_requests: 0,
            idle_timeout: Duration::ZERO,
            keep_alive: Duration::ZERO,
            hang_time: Duration::from_mins(10),
        }
    }

    /// How an answer without room says so.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff { wait: self.retry_after, form: self.retry_after_form, headers: self.rate_headers }
    }

    /// [`idle_timeout`](Self::idle_timeout), where there is one.
    pub(super) fn idle_limit(&self) -> Option<Duration> {
        Some(self.idle_timeout).filter(|limit| !limit.is_zero())
    }

    /// The settings as JSON in the words of [`Change`](super::Change), without token and secret. Counted faults show what is left of them.
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
            "retry_after": format_duration(self.retry_after).to_string(),
            "retry_after_form": self.retry_after_form.to_string(),
            "retry_after_on": self.retry_after_on.to_string(),
            "rate_headers": self.rate_headers.to_string(),
            "slow_interval": format_duration(self.slow_interval).to_string(),
            "refusal": self.refusal.to_string(),
            "max_requests": self.max_requests,
            "idle_timeout": format_duration(self.idle_timeout).to_string(),
            "keep_alive": format_duration(self.keep_alive).to_string(),
            "hang_time": format_duration(self.hang_time).to_string(),
        })
    }
}

// === impl RefusalManner ===

impl FromStr for RefusalManner {
    type Err = RefusalMannerError;

    fn from_str(text: &str) -> Result<Self, RefusalMannerError> {
        match text {
            "drain" => Ok(Self::Drain),
            "close" => Ok(Self::Close),
            "linger" => Ok(Self::Linger),
            other => Err(RefusalMannerError(other.to_owned())),
        }
    }
}

impl fmt::Display for RefusalManner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Close => "close",
            Self::Linger => "linger",
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
