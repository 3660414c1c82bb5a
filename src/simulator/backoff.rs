//! How an answer says that there is no room now: `Retry-After`, and the headers of rate limiters.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use time::OffsetDateTime;

/// How `Retry-After` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfterForm {
    /// `Retry-After: 2`, rounded up.
    Seconds,
    /// `Retry-After: 1.5`, which HTTP does not know and servers send.
    Fraction,
    /// `Retry-After: -2`, as a server whose limit has just ended may come to.
    Negative,
    /// `Retry-After: Sun, 22 Nov 2026 23:30:00 GMT`
    Date,
    /// No `Retry-After`.
    Omitted,
}

/// A text that is no [`RetryAfterForm`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read the form of Retry-After `{0}`: write seconds, fraction, negative, date or none")]
pub struct RetryAfterFormError(String);

/// The headers of a rate limiter, as express-rate-limit sends them, on every answer: with what is left on good ones, and with nothing left on
/// those that say when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateHeaders {
    /// None.
    Omitted,
    /// `X-RateLimit-Limit`, `-Remaining`, and `-Reset` in seconds since 1970.
    Legacy,
    /// `RateLimit-Limit`, `-Remaining`, and `-Reset` in seconds from now.
    Draft6,
    /// `RateLimit: limit=100, remaining=0, reset=30`
    Draft7,
    /// `RateLimit: "calls";r=0;t=30`
    Draft8,
}

/// A text that is no [`RateHeaders`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read the headers of the rate limit `{0}`: write none, legacy, draft-6, draft-7 or draft-8")]
pub struct RateHeadersError(String);

/// The injected statuses that say when to come back; as text, `429,503`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryStatuses(Vec<StatusCode>);

/// A text that is no [`RetryStatuses`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read the status `{0}`: write statuses from 300 to 599 such as `429,503`")]
pub struct RetryStatusesError(String);

/// How long to wait, and how it is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) wait: Duration,
    pub(super) form: RetryAfterForm,
    pub(super) headers: RateHeaders,
}

/// What the headers say is allowed in a window of a minute.
const ALLOWED: u64 = 100;
const WINDOW: u64 = 60;
/// What they say is left while there is room.
const LEFT: u64 = 42;

// === impl Backoff ===

impl Backoff {
    /// No room before the wait is over.
    pub(super) fn full<B>(&self, mut response: Response<B>, now: SystemTime) -> Response<B> {
        let seconds = whole_seconds(self.wait);
        let text = match self.form {
            RetryAfterForm::Seconds => Some(seconds.to_string()),
            RetryAfterForm::Fraction => Some(self.wait.as_secs_f64().to_string()),
            RetryAfterForm::Negative => Some(format!("-{seconds}")),
            RetryAfterForm::Date => date_in(self.wait, now),
            RetryAfterForm::Omitted => None,
        };
        if let Some(text) = text {
            insert(response.headers_mut(), RETRY_AFTER, &text);
        }
        self.headers.insert(response.headers_mut(), 0, seconds, now);
        response
    }

    /// There is room.
    pub(super) fn room<B>(&self, mut response: Response<B>, now: SystemTime) -> Response<B> {
        self.headers.insert(response.headers_mut(), LEFT, WINDOW, now);
        response
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // Digits, dates and the texts of this file are header values.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn epoch_seconds(wait: Duration, now: SystemTime) -> u64 {
    // Rounding down would invite the client back too early.
    whole_seconds(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_add(wait))
}

fn date_in(wait: Duration, now: SystemTime) -> Option<String> {
    let then = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(epoch_seconds(wait, now)))?;
    Some(http_date(then.into()))
}

/// The one form of date that HTTP/1.1 lets a server write.
fn http_date(at: OffsetDateTime) -> String {
    let (day, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        &day[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

// === impl RateHeaders ===

impl RateHeaders {
    fn insert(self, headers: &mut HeaderMap, left: u64, reset: u64, now: SystemTime) {
        let mut put = |name: &'static str, text: String| insert(headers, HeaderName::from_static(name), &text);
        match self {
            Self::Omitted => {}
            Self::Legacy => {
                put("x-ratelimit-limit", ALLOWED.to_string());
                put("x-ratelimit-remaining", left.to_string());
                put("x-ratelimit-reset", epoch_seconds(Duration::from_secs(reset), now).to_string());
            }
            Self::Draft6 => {
                put("ratelimit-policy", format!("{ALLOWED};w={WINDOW}"));
                put("ratelimit-limit", ALLOWED.to_string());
                put("ratelimit-remaining", left.to_string());
                put("ratelimit-reset", reset.to_string());
            }
            Self::Draft7 => {
                put("ratelimit-policy", format!("{ALLOWED};w={WINDOW}"));
                put("ratelimit", format!("limit={ALLOWED}, remaining={left}, reset={reset}"));
            }
            Self::Draft8 => {
                put("ratelimit-policy", format!("\"calls\"; q={ALLOWED}; w={WINDOW}"));
                put("ratelimit", format!("\"calls\"; r={left}; t={reset}"));
            }
        }
    }
}

const RATE_HEADERS: [(&str, RateHeaders); 5] = [
    ("none", RateHeaders::Omitted),
    ("legacy", RateHeaders::Legacy),
    ("draft-6", RateHeaders::Draft6),
    ("draft-7", RateHeaders::Draft7),
    ("draft-8", RateHeaders::Draft8),
];

impl FromStr for RateHeaders {
    type Err = RateHeadersError;

    fn from_str(text: &str) -> Result<Self, RateHeadersError> {
        let found = RATE_HEADERS.iter().find(|(name, _)| *name == text);
        found.map(|(_, headers)| *headers).ok_or_else(|| RateHeadersError(text.to_owned()))
    }
}

impl fmt::Display for RateHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(RATE_HEADERS.iter().find(|(_, headers)| headers == self).map_or("none", |(name, _)| name))
    }
}

// === impl RetryAfterForm ===

const FORMS: [(&str, RetryAfterForm); 5] = [
    ("seconds", RetryAfterForm::Seconds),
    ("fraction", RetryAfterForm::Fraction),
    ("negative", RetryAfterForm::Negative),
    ("date", RetryAfterForm::Date),
    ("none", RetryAfterForm::Omitted),
];

impl FromStr for RetryAfterForm {
    type Err = RetryAfterFormError;

    fn from_str(text: &str) -> Result<Self, RetryAfterFormError> {
        let found = FORMS.iter().find(|(name, _)| *name == text);
        found.map(|(_, form)| *form).ok_or_else(|| RetryAfterFormError(text.to_owned()))
    }
}

impl fmt::Display for RetryAfterForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS.iter().find(|(_, form)| form == self).map_or("none", |(name, _)| name))
    }
}

// === impl RetryStatuses ===

impl RetryStatuses {
    pub(super) fn contains(&self, status: StatusCode) -> bool {
        self.0.contains(&status)
    }
}

impl Default for RetryStatuses {
    fn default() -> Self {
        Self(vec![StatusCode::TOO_MANY_REQUESTS])
    }
}

impl FromStr for RetryStatuses {
    type Err = RetryStatusesError;

    fn from_str(text: &str) -> Result<Self, RetryStatusesError> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let read = |item: &str| {
            let status = StatusCode::from_str(item).ok().filter(|status| (300..600).contains(&status.as_u16()));
            status.ok_or_else(|| RetryStatusesError(item.to_owned()))
        };
        items.map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for RetryStatuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|status| status.as_u16().to_string()).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somewhat after 08:49:37.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_400)
    }

    fn full(wait: Duration, form: RetryAfterForm, headers: RateHeaders) -> Vec<(String, String)> {
        let response = Backoff { wait, form, headers }.full(Response::new(()), now());
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_date_has_the_form_of_http() {
        let at = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn retry_after_is_written_in_each_form_and_whole_seconds_are_never_too_early() {
        for (form, expected) in [
            (RetryAfterForm::Seconds, Some("2")),
            (RetryAfterForm::Fraction, Some("1.5")),
            (RetryAfterForm::Negative, Some("-2")),
            (RetryAfterForm::Date, Some("Sun, 06 Nov 1994 08:49:39 GMT")),
            (RetryAfterForm::Omitted, None),
        ] {
            let expected: Vec<_> =
                expected.map(|text| ("retry-after".to_owned(), text.to_owned())).into_iter().collect();
            assert_eq!(full(Duration::from_millis(1500), form, RateHeaders::Omitted), expected, "{form}");
        }
    }

    #[test]
    fn the_headers_of_a_rate_limiter_say_when_it_resets() {
        let wait = Duration::from_secs(30);
        for (headers, expected) in [
            (
                RateHeaders::Legacy,
                &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "784111808")][..],
            ),
            (
                RateHeaders::Draft6,
                &[
                    ("ratelimit-policy", "100;w=60"),
                    ("ratelimit-limit", "100"),
                    ("ratelimit-remaining", "0"),
                    ("ratelimit-reset", "30"),
                ],
            ),
            (
                RateHeaders::Draft7,
                &[("ratelimit-policy", "100;w=60"), ("ratelimit", "limit=100, remaining=0, reset=30")],
            ),
            (
                RateHeaders::Draft8,
                &[("ratelimit-policy", "\"calls\"; q=100; w=60"), ("ratelimit", "\"calls\"; r=0; t=30")],
            ),
        ] {
            let mut seen = full(wait, RetryAfterForm::Omitted, headers);
            let mut expected = pairs(expected);
            seen.sort();
            expected.sort();
            assert_eq!(seen, expected, "{headers}");
            let room = Backoff { wait, form: RetryAfterForm::Seconds, headers }.room(Response::new(()), now());
            assert_eq!(room.headers().len(), expected.len());
            assert!(!room.headers().contains_key(RETRY_AFTER));
        }
    }

    #[test]
    fn names_read_and_print_back() {
        for (name, form) in FORMS {
            assert_eq!((name.parse(), form.to_string().as_str()), (Ok(form), name));
        }
        for (name, headers) in RATE_HEADERS {
            assert_eq!((name.parse(), headers.to_string().as_str()), (Ok(headers), name));
        }
        assert_eq!("429, 503".parse::<RetryStatuses>().unwrap().to_string(), "429,503");
        assert_eq!("".parse::<RetryStatuses>().unwrap().to_string(), "");
        assert!("date ".parse::<RetryAfterForm>().is_err() && "x".parse::<RateHeaders>().is_err());
        assert_eq!("429,200".parse::<RetryStatuses>(), Err(RetryStatusesError("200".to_owned())));
    }
}
