//! What an answer of the API, or its absence, means. Only the status and the headers are looked at: no text of the vendor is documented.

use super::body::Report;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::CallFailure;
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// Clocks that differ by less have no bearing on a token.
const NOTABLE_SKEW: Duration = Duration::from_secs(30);

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

/// No answer came and the connection ended with an error.
pub(super) fn no_answer(error: &reqwest::Error, report: &Report) -> CallFailure {
    let (code, message) = if error.is_connect() {
        (Code::ApiUnavailable, "the connection to the API was refused or could not be made")
    } else if report.sent() {
        (Code::ApiInDoubt, "the connection broke after the whole image was sent, before the answer")
    } else {
        (Code::ApiUnavailable, "the connection to the API broke while the image was being sent")
    };
    failed(code, message.to_owned(), report)
}

/// No answer came in time.
pub(super) fn too_late(limit: Duration, report: &Report) -> CallFailure {
    if report.sent() {
        failed(Code::ApiInDoubt, format!("no answer within {limit:?}, after the whole image was sent"), report)
    } else {
        failed(Code::ApiUnavailable, format!("the image could not be sent within {limit:?}"), report)
    }
}

fn failed(code: Code, message: String, report: &Report) -> CallFailure {
    CallFailure { failure: Failure::new(code, message), token_replaced: false, sent: report.sent(), request_id: None }
}

/// The wait of `Retry-After`, in either of its forms (RFC 9110, 10.2.3). A date that has passed is a wait of nothing.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
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
            ("99999999999999999999", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a header"))]);
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
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
