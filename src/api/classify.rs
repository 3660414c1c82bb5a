//! What an answer of the API, or its absence, means. Only the status and the headers are looked at: no text of the vendor is documented.

use super::body::Report;
use crate::http_client::{ConnectError, SendError};
use antispoof_core::failure::{Code, Failure};
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Clocks that differ by less have no bearing on a token.
const NOTABLE_SKEW: Duration = Duration::from_secs(30);

/// A reset beyond this is no wait but a time since 1970, in seconds (from the year 2001 on) or in milliseconds.
const EPOCH_SECONDS: Duration = Duration::from_secs(1_000_000_000);
const EPOCH_MILLIS: Duration = Duration::from_secs(1_000_000_000_000);

/// Far above any time that is meant.
const MOST_SECONDS: Duration = Duration::from_secs(10_000_000_000_000);

/// The table of `api.statuses`.
#[derive(Clone, Debug)]
pub struct Statuses {
    failures: BTreeMap<u16, Code>,
    /// Those whose body is read. The vendor's own is not documented; the rest of the 2xx say of themselves that the body is a part, a copy, or
    /// not there yet.
    verdicts: BTreeSet<u16>,
}

impl Statuses {
    /// From the settings, which have checked the names.
    pub fn new(table: &BTreeMap<u16, String>) -> Self {
        Self {
            failures: table.iter().filter_map(|(&status, name)| Some((status, Code::from_name(name)?))).collect(),
            verdicts: table.iter().filter(|(_, name)| *name == "verdict").map(|(&status, _)| status).collect(),
        }
    }

    /// Whether the body of an answer with this status is read as a verdict.
    pub fn brings_verdict(&self, status: u16) -> bool {
        self.verdicts.contains(&status)
    }

    /// What a status that is not a success means; statuses that are not in the table by their class.
    pub fn code(&self, status: u16) -> Code {
        match (self.failures.get(&status), status) {
            (Some(&code), _) => code,
            // An address that redirects is a wrong address: the fault of the settings, not of the job.
            (None, 300..=399) => Code::ApiUnreachable,
            // A refusal that has no meaning of its own says nothing about the image: it would end every job.
            (None, 400..=499) => Code::ApiForbidden,
            (None, _) => Code::ApiUnavailable,
        }
    }
}

/// No answer came. What is proved not to have reached the vendor is not in doubt.
pub(super) fn no_answer(error: &SendError, report: &Report, limit: Duration) -> Failure {
    if let Some(error) = error.connecting() {
        return unconnected(error);
    }
    let sent = report.sent() && !error.request_incomplete();
    if error.is_unprocessed() {
        return Failure::new(Code::ApiUnavailable, format!("{error}: nothing was done")).repeatable_at_once(true);
    }
    let (code, message) = match (error.is_timeout(), sent) {
        (true, true) => (Code::ApiInDoubt, format!("no answer within {limit:?}, after the whole image was sent")),
        (true, false) => (Code::ApiUnavailable, format!("the image could not be sent within {limit:?}")),
        (false, true) if error.is_unreadable() => (Code::ApiBadResponse, error.to_string()),
        (false, true) => (Code::ApiInDoubt, format!("{error}, after the whole image was sent and before the answer")),
        (false, false) => (Code::ApiUnavailable, format!("{error}, while the image was being sent")),
    };
    Failure::new(code, message).with_request_sent(sent)
}

/// What it means that there is no connection: for a call, and for `check --connect`.
pub(super) fn unconnected(error: &ConnectError) -> Failure {
    match error.remedy() {
        Some(remedy) => Failure::new(Code::ApiUnreachable, format!("{error}: {remedy}")),
        None => Failure::new(Code::ApiUnavailable, format!("the API cannot be reached: {error}")),
    }
}

/// How long a server that refuses for being busy (429, 503) asks to be left alone: `Retry-After`, else, with a 429, when it says that its limit is renewed.
pub(super) fn wait(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => retry_after(headers, now).or_else(|| limit_reset(headers, now)),
        // Many servers send the limit's headers with every answer: with a 503 they say nothing about when it is over.
        StatusCode::SERVICE_UNAVAILABLE => retry_after(headers, now),
        _ => None,
    }
}

/// The wait of `Retry-After`, in either of its forms (RFC 9110, 10.2.3); some servers send fractions. A date that has passed is a wait of nothing.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(wait) = seconds(value) {
        return Some(wait);
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// When the limit is renewed: `RateLimit` (IETF drafts 7 and 8 of httpapi-ratelimit-headers: `reset=30`, `t=30`), `RateLimit-Reset` (the drafts before), and what
/// `X-RateLimit-Reset` says in seconds from now or since 1970.
fn limit_reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let item = |list: &str| {
        let mut items = list.split([',', ';']).map(str::trim);
        items.find_map(|item| seconds(item.strip_prefix("reset=").or_else(|| item.strip_prefix("t="))?))
    };
    if let Some(wait) = text("ratelimit").and_then(item) {
        return Some(wait);
    }
    ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"].iter().find_map(|name| {
        let said = seconds(text(name)?.trim())?;
        let since_1970 = if said >= EPOCH_MILLIS { said / 1000 } else { said };
        if since_1970 < EPOCH_SECONDS {
            return Some(said);
        }
        Some((UNIX_EPOCH + since_1970).duration_since(now).unwrap_or_default())
    })
}

/// Seconds, with fractions or without; nothing that is negative, and nothing beyond what a clock can add.
fn seconds(text: &str) -> Option<Duration> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let wait = Duration::try_from_secs_f64(text.parse().ok().filter(|_| plain)?).ok()?;
    (wait < MOST_SECONDS).then_some(wait)
}

/// How far the API's clock is from ours, where it says and where it matters.
pub(super) fn clock_skew(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let theirs = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let skew = theirs.duration_since(now).unwrap_or_else(|ahead| ahead.duration());
    (skew > NOTABLE_SKEW).then_some(skew)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_code_and_the_table_wins() {
        let table = BTreeMap::from([
            (202, "verdict".to_owned()),
            (401, "api_unauthorized".to_owned()),
            (451, "api_forbidden".to_owned()),
        ]);
        let statuses = Statuses::new(&table);
        for (status, code) in [
            (401, Code::ApiUnauthorized),
            (451, Code::ApiForbidden),
            (302, Code::ApiUnreachable),
            (405, Code::ApiForbidden),
            (418, Code::ApiForbidden),
            (599, Code::ApiUnavailable),
            (100, Code::ApiUnavailable),
        ] {
            assert_eq!(statuses.code(status), code, "{status}");
        }
        assert!(statuses.brings_verdict(202) && !statuses.brings_verdict(200) && !statuses.brings_verdict(401));
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 22:00:00 GMT").expect("a date");
        for (value, wait) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 22 Nov 2026 22:01:30 GMT", Some(90)),
            ("Sun, 22 Nov 2026 21:00:00 GMT", Some(0)),
            ("1.5", Some(1)),
            ("1e3", None),
            ("inf", None),
            ("99999999999999999999", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a header"))]);
            let waits = super::wait(StatusCode::TOO_MANY_REQUESTS, &headers, now);
            assert_eq!(waits.map(|wait| wait.as_secs()), wait, "{value:?}");
            assert_eq!(super::wait(StatusCode::BAD_GATEWAY, &headers, now), None, "only who is busy is heeded");
        }
        assert_eq!(super::wait(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), now), None);
    }

    #[test]
    fn when_a_limit_is_renewed_is_read_as_servers_write_it() {
        let now = UNIX_EPOCH + Duration::from_hours(500_000);
        for (name, value, wait) in [
            ("ratelimit", "limit=10, remaining=0, reset=30", Some(30)),
            ("ratelimit", "\"10-in-1min\"; r=0; t=42", Some(42)),
            ("ratelimit", "limit=10", None),
            ("ratelimit-reset", "17", Some(17)),
            ("x-ratelimit-reset", "1800000025", Some(25)),
            ("x-ratelimit-reset", "1800000025000", Some(25)),
            ("x-ratelimit-reset", "1799999999", Some(0)),
            ("x-ratelimit-reset", "60", Some(60)),
            ("x-ratelimit-reset", "-60", None),
            ("x-rate-limit-reset", "60", Some(60)),
            ("x-other", "60", None),
        ] {
            let headers = HeaderMap::from_iter([(
                name.parse::<http::HeaderName>().expect("a name"),
                value.parse().expect("a header"),
            )]);
            let waits = wait_of(&headers, now);
            assert_eq!(waits.map(|wait| wait.as_secs()), wait, "{name}: {value}");
        }
    }

    fn wait_of(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
        assert_eq!(wait(StatusCode::SERVICE_UNAVAILABLE, headers, now), None, "it is not about the limit");
        wait(StatusCode::TOO_MANY_REQUESTS, headers, now)
    }

    #[test]
    fn only_a_notable_skew_is_reported() {
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 22:00:00 GMT").expect("a date");
        let with = |date: &str| HeaderMap::from_iter([(DATE, date.parse().expect("a header"))]);
        assert_eq!(clock_skew(&with("Sun, 22 Nov 2026 22:00:10 GMT"), now), None);
        assert_eq!(clock_skew(&with("Sun, 22 Nov 2026 21:50:00 GMT"), now), Some(Duration::from_mins(10)));
        assert_eq!(clock_skew(&with("Sun, 22 Nov 2026 22:10:00 GMT"), now), Some(Duration::from_mins(10)));
    }
}
