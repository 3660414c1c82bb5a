//! One call of the endpoint, from its headers to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::body::{ImageDigest, Scanner};
use super::books::Ticket;
use super::fault::{Arrival, Fault};
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::state::{Course, Plan, State};
use super::verdict::Verdict;
use super::wire::Fuse;

/// How long the rest of a refused body is read and thrown away after the answer, so that a client that is still sending gets to
/// read the answer instead of a reset.
const LINGER: Duration = Duration::from_secs(10);

/// Nothing will be answered: the connection is to be closed, or its client has left.
#[derive(Debug, thiserror::Error)]
#[error("answer the request")]
pub(super) struct CutOff;

/// How reading a body can end without a digest.
enum Unread {
    /// The client left.
    Gone,
    /// The body is too large or too slow; this is what is left of it.
    Refused(Refusal, Incoming),
    /// The body is whole and wrong.
    Wrong(Refusal),
}

/// Answers a request for the endpoint.
pub(super) async fn detect(
    state: Arc<State>,
    fuse: Arc<Fuse>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, CutOff> {
    let mut ticket = state.books.arrive();
    let (parts, body) = request.into_parts();

    if let Err(refusal) = admit(&state, &parts, &body) {
        let expects = parts.headers.contains_key(header::EXPECT);
        return Ok(refuse(&state, ticket, &refusal, (!expects).then_some(body)));
    }
    let share = match state.arrival() {
        Arrival::Proceed(share) => share,
        Arrival::Reset => {
            ticket.cut_before_body(&Fault::ResetBefore.to_string());
            return Err(fuse.blow(parts.version));
        }
    };
    let digest = match read(&state, body).await {
        Ok(digest) => digest,
        Err(Unread::Gone) => return Err(CutOff),
        Err(Unread::Refused(refusal, rest)) => {
            return Ok(refuse(&state, ticket, &refusal, Some(rest)));
        }
        Err(Unread::Wrong(refusal)) => return Ok(refuse(&state, ticket, &refusal, None)),
    };

    let plan = state.plan(share, Instant::now());
    match plan.course {
        Course::Verdict => ticket.call(digest, None),
        Course::Limited(_) => ticket.call_too_soon(digest),
        Course::Fault(fault) => ticket.call(digest, Some(fault)),
    }
    // Too many is too many at once; everything else takes its time.
    if !matches!(plan.course, Course::Limited(_)) && !plan.latency.is_zero() {
        tokio::time::sleep(plan.latency).await;
    }
    match answer(&plan, &digest) {
        Answer::Send(response) => Ok(send(&state, ticket, response)),
        Answer::Reset => {
            ticket.cut();
            Err(fuse.blow(parts.version))
        }
        Answer::Never => {
            // The server drops this future, and the ticket with it, when the client goes away.
            state.stopping.cancelled().await;
            Err(CutOff)
        }
    }
}

/// Answers a request for anything else with 404.
pub(super) fn unknown_path(state: &Arc<State>, request: Request<Incoming>) -> Response<Reply> {
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path");
    refuse(state, state.books.arrive(), &refusal, Some(request.into_body()))
}

/// The checks that need no body, in the order in which a gateway and a framework would make them.
fn admit(state: &State, parts: &Parts, body: &Incoming) -> Result<(), Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "the method must be POST"));
    }
    state.verifier().check(&parts.headers, SystemTime::now())?;
    check_content(&parts.headers)?;
    // Lower bound and not exact value: a body without Content-Length has a lower bound of zero.
    if body.size_hint().lower() > state.max_body { Err(too_large(state)) } else { Ok(()) }
}

fn check_content(headers: &HeaderMap) -> Result<(), Refusal> {
    let unsupported = |message| Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return unsupported("the Content-Type must be application/json");
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return unsupported("the body must not have a Content-Encoding");
    }
    Ok(())
}

async fn read(state: &State, mut body: Incoming) -> Result<ImageDigest, Unread> {
    let mut scanner = Scanner::new();
    let mut length = 0_u64;
    loop {
        let Ok(frame) = tokio::time::timeout(state.body_idle, body.frame()).await else {
            return Err(Unread::Refused(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body stopped coming"), body));
        };
        match frame {
            None => return scanner.finish().map_err(Unread::Wrong),
            Some(Err(_)) => return Err(Unread::Gone),
            Some(Ok(frame)) => {
                let Some(chunk) = frame.data_ref() else {
                    continue;
                };
                length += chunk.len() as u64;
                if length > state.max_body {
                    return Err(Unread::Refused(too_large(state), body));
                }
                scanner.push(chunk);
            }
        }
    }
}

fn too_large(state: &State) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} bytes", state.max_body))
}

fn refuse(state: &Arc<State>, mut ticket: Ticket, refusal: &Refusal, rest: Option<Incoming>) -> Response<Reply> {
    ticket.reject(refusal.status);
    if let Some(rest) = rest.filter(|rest| !rest.is_end_stream()) {
        tokio::spawn(throw_away(Arc::clone(state), rest));
    }
    let response = if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        reply::method_not_allowed("POST")
    } else {
        reply::message(refusal.status, &refusal.message)
    };
    reply::with_ticket(reply::with_request_id(response, &state.request_id()), ticket)
}

/// Reads on, up to twice the limit of a body, so that the connection stays usable for a client of good will.
async fn throw_away(state: Arc<State>, mut rest: Incoming) {
    let drain = async {
        let mut length = 0_u64;
        while let Some(Ok(frame)) = rest.frame().await {
            length += frame.data_ref().map_or(0, |chunk| chunk.len() as u64);
            if length > state.max_body.saturating_mul(2) {
                return;
            }
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(LINGER, drain) => {}
        () = state.stopping.cancelled() => {}
    }
}

enum Answer {
    Send(Response<Reply>),
    Reset,
    Never,
}

fn answer(plan: &Plan, digest: &ImageDigest) -> Answer {
    let verdict = || reply::json(StatusCode::OK, &Verdict::of(digest, plan.verdict));
    let limited = |wait| {
        let response = reply::message(StatusCode::TOO_MANY_REQUESTS, "too many requests");
        reply::with_retry_after(response, wait, plan.retry_after_form, SystemTime::now())
    };
    Answer::Send(match plan.course {
        Course::Verdict => verdict(),
        Course::Limited(wait) => limited(wait),
        Course::Fault(Fault::Status(StatusCode::TOO_MANY_REQUESTS)) => limited(plan.retry_after),
        Course::Fault(Fault::Status(status)) => {
            let reason = status.canonical_reason().unwrap_or("error");
            reply::message(status, &format!("{} (injected)", reason.to_ascii_lowercase()))
        }
        Course::Fault(Fault::Slow) => reply::drip(verdict(), plan.slow_interval),
        Course::Fault(Fault::Garbage) => reply::garbage(),
        Course::Fault(Fault::GarbageJson) => reply::garbage_json(plan.variant),
        Course::Fault(Fault::Empty) => reply::empty(),
        Course::Fault(Fault::Truncated) => reply::truncate(verdict()),
        // The first of them cannot come this far; were it to, a reset is what was asked for.
        Course::Fault(Fault::ResetBefore | Fault::ResetAfter) => return Answer::Reset,
        Course::Fault(Fault::Hang) => return Answer::Never,
    })
}

fn send(state: &State, mut ticket: Ticket, response: Response<Reply>) -> Response<Reply> {
    ticket.answer(response.status());
    reply::with_ticket(reply::with_request_id(response, &state.request_id()), ticket)
}
