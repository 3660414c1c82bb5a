//! One call of the endpoint, from its headers to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::backoff::Backoff;
use super::body::{ImageDigest, Scanner};
use super::config::RefusalManner;
use super::encoding::Encoding;
use super::fault::Fault;
use super::faults::Arrival;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::session::{CutOff, Session};
use super::state::{Course, Plan, State};
use super::stats::Ticket;
use super::verdict::Verdict;

/// The path of the endpoint, as the vendor documents it.
pub const DETECT_SPOOF: &str = "/ai/v1/face-verification/detect-spoof";

/// How long the rest of a refused body is read and thrown away after the answer, so that a client that is still sending gets to
/// read the answer instead of a reset.
const LINGER: Duration = Duration::from_secs(10);

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
    session: Arc<Session>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, CutOff> {
    let mut ticket = state.counters.arrive();
    let (parts, body) = request.into_parts();

    if let Err(refusal) = admit(&state, &parts, &body) {
        let expects = parts.headers.contains_key(header::EXPECT);
        return Ok(refuse(&state, ticket, &refusal, (!expects).then_some(body), parts.version));
    }
    let share = match state.arrival() {
        Arrival::Proceed(share) => share,
        Arrival::Now(fault @ Fault::HangConnection) => {
            state.counters.count_fault(&fault.to_string());
            session.hang().await;
            None
        }
        Arrival::Now(fault) => return at_head(&state, &session, ticket, fault, body, parts.version),
    };
    let digest = match read(&state, body).await {
        Ok(digest) => digest,
        Err(Unread::Gone) => return Err(CutOff::Reset),
        Err(Unread::Refused(refusal, rest)) => {
            return Ok(refuse(&state, ticket, &refusal, Some(rest), parts.version));
        }
        Err(Unread::Wrong(refusal)) => return Ok(refuse(&state, ticket, &refusal, None, parts.version)),
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
    match answer(&state, &plan, &digest) {
        Answer::Send(response) => Ok(send(&state, ticket, response)),
        Answer::Reset => {
            ticket.cut();
            Err(session.reset(parts.version))
        }
        Answer::Never => {
            // The server drops this future, and the ticket with it, when the client goes away.
            state.stopping.cancelled().await;
            Err(CutOff::Reset)
        }
    }
}

/// Ends a request whose body has not been read.
fn at_head(
    state: &Arc<State>,
    session: &Session,
    mut ticket: Ticket,
    fault: Fault,
    body: Incoming,
    version: Version,
) -> Result<Response<Reply>, CutOff> {
    let (status, linger) = match fault {
        Fault::Early(status) => (status, false),
        Fault::Lingering(status) => (status, true),
        Fault::RefusedStream if version >= Version::HTTP_2 => {
            ticket.end_before_body(fault, None);
            return Err(CutOff::Refused(h2::Reason::REFUSED_STREAM.into()));
        }
        _ => {
            ticket.end_before_body(fault, None);
            return Err(session.reset(version));
        }
    };
    ticket.end_before_body(fault, Some(status));
    if linger {
        tokio::spawn(throw_away(Arc::clone(state), body));
    }
    let response = backed_off(reply::injected(status), state.backoff_of(status));
    Ok(reply::with_ticket(reply::with_request_id(close(response, version), &state.request_id()), ticket))
}

/// The connection ends with this answer. Over HTTP/2 only the stream does, which is the library's doing.
fn close(response: Response<Reply>, version: Version) -> Response<Reply> {
    if version < Version::HTTP_2 { reply::closing(response) } else { response }
}

fn backed_off(response: Response<Reply>, backoff: Option<Backoff>) -> Response<Reply> {
    match backoff {
        Some(backoff) => backoff.full(response, SystemTime::now()),
        None => response,
    }
}

/// Answers a request for anything else with 404.
pub(super) fn unknown_path(state: &Arc<State>, request: Request<Incoming>) -> Response<Reply> {
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path");
    let (version, body) = (request.version(), request.into_body());
    refuse(state, state.counters.arrive(), &refusal, Some(body), version)
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

fn refuse(
    state: &Arc<State>,
    mut ticket: Ticket,
    refusal: &Refusal,
    rest: Option<Incoming>,
    version: Version,
) -> Response<Reply> {
    ticket.reject(refusal.status);
    let mut response = if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        reply::method_not_allowed("POST")
    } else {
        reply::message(refusal.status, &refusal.message)
    };
    if let Some(rest) = rest.filter(|rest| !rest.is_end_stream()) {
        let manner = state.refusal();
        if manner != RefusalManner::Drain {
            response = close(response, version);
        }
        if manner != RefusalManner::Close {
            tokio::spawn(throw_away(Arc::clone(state), rest));
        }
    }
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

fn answer(state: &State, plan: &Plan, digest: &ImageDigest) -> Answer {
    let now = SystemTime::now();
    let verdict = || plan.backoff.room(reply::json(StatusCode::OK, &Verdict::of(digest, plan.verdict)), now);
    Answer::Send(match plan.course {
        Course::Verdict => verdict(),
        Course::Limited(wait) => Backoff { wait, ..plan.backoff }
            .full(reply::message(StatusCode::TOO_MANY_REQUESTS, "too many requests"), now),
        Course::Fault(fault) => match fault {
            Fault::Status(status) => backed_off(reply::injected(status), state.backoff_of(status)),
            Fault::Slow => reply::drip(verdict(), plan.slow_interval),
            Fault::Gzip => reply::encoded(verdict(), Some(Encoding::Gzip), false),
            Fault::Deflate => reply::encoded(verdict(), Some(Encoding::Deflate), false),
            Fault::Bom => reply::encoded(verdict(), None, true),
            Fault::GzipBom => reply::encoded(verdict(), Some(Encoding::Gzip), true),
            Fault::ManyHeaders => reply::with_many_headers(verdict()),
            Fault::Garbage => reply::garbage(),
            Fault::GarbageJson => reply::garbage_json(plan.variant),
            Fault::Empty => reply::empty(),
            Fault::Truncated => reply::truncate(verdict()),
            Fault::Hang => return Answer::Never,
            // All but the first happen at the head and do not come this far; were one to, a reset is the plainest of ends.
            Fault::ResetAfter
            | Fault::Early(_)
            | Fault::Lingering(_)
            | Fault::ResetBefore
            | Fault::RefusedStream
            | Fault::HangConnection => return Answer::Reset,
        },
    })
}

fn send(state: &State, mut ticket: Ticket, response: Response<Reply>) -> Response<Reply> {
    ticket.answer(response.status());
    reply::with_ticket(reply::with_request_id(response, &state.request_id()), ticket)
}
