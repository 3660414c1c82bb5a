//! Answers, the wrong ones included.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::time::{Instant, Sleep};

use super::encoding::{self, Encoding};
use super::session::Busy;
use super::stats::Ticket;

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

/// Where a redirect leads: nowhere.
const ELSEWHERE: &str = "/moved";

/// The first of the headers that are too many, and their number. Common parsers stop at a hundred.
const FILLING: &str = "x-filling-";
const MANY: usize = 150;

/// A response body. It keeps the request's ticket, and its connection busy, until it has been handed over or given up.
pub(super) struct Reply {
    rest: Bytes,
    manner: Manner,
    _ticket: Option<Ticket>,
    _busy: Option<Busy>,
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

/// An injected status.
pub(super) fn injected(status: StatusCode) -> Response<Reply> {
    let reason = status.canonical_reason().unwrap_or("error");
    let mut response = message(status, &format!("{} (injected)", reason.to_ascii_lowercase()));
    if status.is_redirection() {
        response.headers_mut().insert(LOCATION, HeaderValue::from_static(ELSEWHERE));
    }
    response
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

/// Encodes what `response` says, or puts a byte order mark before it, or both.
pub(super) fn encoded(mut response: Response<Reply>, encoding: Option<Encoding>, mark: bool) -> Response<Reply> {
    if let Some(encoding) = encoding {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    response.map(|reply| Reply { rest: encoding::encode(&reply.rest, encoding, mark).into(), ..reply })
}

/// Adds more headers than most clients take.
pub(super) fn with_many_headers(mut response: Response<Reply>) -> Response<Reply> {
    for number in 0..MANY {
        if let Ok(name) = HeaderName::try_from(format!("{FILLING}{number}")) {
            response.headers_mut().insert(name, HeaderValue::from_static("x"));
        }
    }
    response
}

/// The connection ends with this answer. Only for HTTP/1.1, which has such a header.
pub(super) fn closing(mut response: Response<Reply>) -> Response<Reply> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Announces how long the connection is kept without a request, unless it ends with this answer.
pub(super) fn kept_alive(mut response: Response<Reply>, timeout: Option<Duration>) -> Response<Reply> {
    let headers = response.headers_mut();
    if let Some(timeout) = timeout.filter(|_| !headers.contains_key(CONNECTION))
        && let Ok(value) = HeaderValue::try_from(format!("timeout={}", timeout.as_secs()))
    {
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
        headers.insert(HeaderName::from_static("keep-alive"), value);
    }
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

pub(super) fn with_busy(response: Response<Reply>, busy: Busy) -> Response<Reply> {
    response.map(|reply| Reply { _busy: Some(busy), ..reply })
}

fn bare(status: StatusCode, rest: Bytes) -> Response<Reply> {
    let mut response = Response::new(Reply { rest, manner: Manner::AtOnce, _ticket: None, _busy: None });
    *response.status_mut() = status;
    response
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
