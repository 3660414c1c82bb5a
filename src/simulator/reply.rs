//! Answers, the wrong ones included.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::{Instant, Sleep};

use super::books::Ticket;
use super::config::RetryAfterForm;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A page such as a proxy in front of the vendor might serve.
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>It works</h1></body></html>\n";

/// Bodies with status 200 that are JSON, or nearly, and no verdict.
const NOT_VERDICTS: [&str; 8] = [
    r"{}",
    r"null",
    r#"{"spoof_detected":"false","accuracy":0.98}"#,
    r#"{"spoof_detected":false}"#,
    r#"{"accuracy":0.98}"#,
    r#"{"spoof_detected":null,"accuracy":null}"#,
    r#"{"spoof_detected":false,"accuracy":"0.98"}"#,
    r#"[{"spoof_detected":false,"accuracy":0.98}]"#,
];

/// A response body. It keeps the request's ticket until it has been handed over or given up.
pub(super) struct Reply {
    rest: Bytes,
    manner: Manner,
    _ticket: Option<Ticket>,
}

enum Manner {
    AtOnce,
    /// A byte at a time; the sleep is made when first polled.
    Drip(Duration, Option<Pin<Box<Sleep>>>),
    /// All there is, then a broken connection.
    Break(Breaking),
}

enum Breaking {
    Sending,
    Flushing,
    Done,
}

/// The answer is to be broken off; it makes the server close the connection.
#[derive(Debug, thiserror::Error)]
#[error("break off the answer, as the fault asks")]
pub(super) struct BrokenOff;

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Reply> {
    // Every type that comes here is made of strings, numbers and maps with text keys, which always serialize.
    let text = serde_json::to_vec(body).unwrap_or_default();
    let mut response = bare(status, Bytes::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn message(status: StatusCode, message: &str) -> Response<Reply> {
    #[derive(Serialize)]
    struct Message<'a> {
        message: &'a str,
    }
    json(status, &Message { message })
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response<Reply> {
    let mut response = message(StatusCode::METHOD_NOT_ALLOWED, &format!("the method must be {allowed}"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

pub(super) fn garbage() -> Response<Reply> {
    let mut response = bare(StatusCode::OK, Bytes::from_static(PAGE.as_bytes()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

pub(super) fn garbage_json(variant: usize) -> Response<Reply> {
    let text = NOT_VERDICTS[variant % NOT_VERDICTS.len()];
    let mut response = bare(StatusCode::OK, Bytes::from_static(text.as_bytes()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn empty() -> Response<Reply> {
    bare(StatusCode::OK, Bytes::new())
}

/// Makes `response` come a byte at a time.
pub(super) fn drip(response: Response<Reply>, interval: Duration) -> Response<Reply> {
    response.map(|reply| Reply { manner: Manner::Drip(interval, None), ..reply })
}

/// Makes `response` announce its whole length, send the first half and break.
pub(super) fn truncate(mut response: Response<Reply>) -> Response<Reply> {
    let whole = response.body().rest.len();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole));
    response.map(|reply| Reply {
        rest: reply.rest.slice(..whole / 2),
        manner: Manner::Break(Breaking::Sending),
        ..reply
    })
}

pub(super) fn with_retry_after(
    mut response: Response<Reply>,
    after: Duration,
    form: RetryAfterForm,
    now: SystemTime,
) -> Response<Reply> {
    let value = match form {
        RetryAfterForm::Seconds => HeaderValue::from(whole_seconds(after)),
        RetryAfterForm::Date => {
            let then = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_add(after);
            // A date has whole seconds; rounding down would invite the client back too early.
            let then = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(whole_seconds(then))).unwrap_or(now);
            let Ok(value) = HeaderValue::from_str(&http_date(then.into())) else {
                return response;
            };
            value
        }
    };
    response.headers_mut().insert(RETRY_AFTER, value);
    response
}

pub(super) fn with_request_id(mut response: Response<Reply>, id: &str) -> Response<Reply> {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

pub(super) fn with_ticket(response: Response<Reply>, ticket: Ticket) -> Response<Reply> {
    response.map(|reply| Reply { _ticket: Some(ticket), ..reply })
}

fn bare(status: StatusCode, rest: Bytes) -> Response<Reply> {
    let mut response = Response::new(Reply { rest, manner: Manner::AtOnce, _ticket: None });
    *response.status_mut() = status;
    response
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
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

// === impl Reply ===

impl Body for Reply {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        match &mut this.manner {
            Manner::AtOnce | Manner::Drip(..) if this.rest.is_empty() => Poll::Ready(None),
            Manner::AtOnce => Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest))))),
            Manner::Drip(interval, sleep) => {
                let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(*interval)));
                std::task::ready!(sleep.as_mut().poll(cx));
                sleep.as_mut().reset(Instant::now() + *interval);
                Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(1)))))
            }
            Manner::Break(stage @ Breaking::Sending) => {
                *stage = Breaking::Flushing;
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))))
            }
            // The server flushes what it has when a body has nothing for it; without this turn the error below would
            // throw away the first half.
            Manner::Break(stage @ Breaking::Flushing) => {
                *stage = Breaking::Done;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Manner::Break(Breaking::Done) => Poll::Ready(Some(Err(BrokenOff))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && !matches!(self.manner, Manner::Break(_))
    }

    fn size_hint(&self) -> SizeHint {
        match self.manner {
            Manner::Break(_) => SizeHint::default(),
            Manner::AtOnce | Manner::Drip(..) => SizeHint::with_exact(self.rest.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_of_http() {
        let at = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn retry_after_is_never_too_early() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_400);
        let seconds = with_retry_after(empty(), Duration::from_millis(1500), RetryAfterForm::Seconds, now);
        assert_eq!(seconds.headers()[RETRY_AFTER], "2");
        let date = with_retry_after(empty(), Duration::from_secs(2), RetryAfterForm::Date, now);
        assert_eq!(date.headers()[RETRY_AFTER], "Sun, 06 Nov 1994 08:49:40 GMT");
    }

    #[test]
    fn no_garbage_is_a_verdict() {
        #[derive(serde::Deserialize)]
        #[expect(dead_code, reason = "only whether it can be read matters")]
        struct Verdict {
            spoof_detected: bool,
            accuracy: f64,
        }
        for text in NOT_VERDICTS {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(!value.is_object() || serde_json::from_value::<Verdict>(value).is_err(), "{text}");
        }
    }
}
