//! The admin port.
//!
//! | path | says |
//! |---|---|
//! | `/livez` (also `/healthz`) | 200 as long as the process answers at all. Never about broker, store or API: restarting helps none of them |
//! | `/readyz` | 200 when connected, consuming (or paused on purpose: by the gate, or for a job that is run alone) and not draining |
//! | `/startupz` | 200 once the first consumer has been registered |
//! | `/metrics` | Prometheus text |
//! | `/status` | what the worker does and what keeps it from it, as JSON; `?history=0` without the last hour |
//! | `/` | the same for people |
//!
//! The status is the contract. `?verbose` lists the checks.
//!
//! A closed gate is ready: nothing of what closes it is cured by another process in this one's place, and a fleet that is unready for the vendor's sake cannot be
//! rolled out or drained. It is a metric (`antispoofd_gate_open`) to alert on.

use crate::gate::{Closed, Gate};
use crate::health::{Check, Health};
use crate::status::{PAGE, Status};
use crate::telemetry::Metrics;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A probe or a scraper sends its few headers at once.
const HEADER_LIMIT: Duration = Duration::from_secs(5);

/// A scraper that keeps its connection open connects again.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);

/// More than any set of probes and scrapers needs; a flood must not take the worker's descriptors. The oldest gives way to a new one: a probe has its
/// answer at once, and clients that hold their connections must not keep it waiting until the orchestrator restarts the worker.
const MOST_CONNECTIONS: usize = 64;

/// A client that sends one request after another without reading must not keep the thread from the jobs; a scraper connects again.
const MOST_REQUESTS: u32 = 16;

/// What the page may load: itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// For the probes of an orchestrator.
    pub health: Arc<Health>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For its series in `/metrics`.
    pub gate: Gate,
    /// For `/status`.
    pub status: Status,
}

impl Pages {
    /// The metrics, those of the gate as it is at this moment.
    fn metrics(&self) -> Result<String, std::fmt::Error> {
        let closed_by = self.gate.read(|state| state.closed().map(|closed| closed.reason.label()));
        self.metrics.gate_is(closed_by, self.gate.held_for());
        self.metrics.render()
    }
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, pages: Pages, stop: CancellationToken) {
    let mut connections: VecDeque<JoinHandle<()>> = VecDeque::with_capacity(MOST_CONNECTIONS);
    loop {
        let socket = match stop.run_until_cancelled(listener.accept()).await {
            Some(Ok((socket, _))) => socket,
            Some(Err(error)) => {
                // Out of descriptors, most likely: not a reason to spin.
                tracing::debug!(%error, "the admin port could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            None => return,
        };
        if connections.len() == MOST_CONNECTIONS {
            // Those that came in the same turn of the loop have not run yet: a client that has asked is answered before it can give way.
            tokio::task::yield_now().await;
            connections.retain(|connection| !connection.is_finished());
            if connections.len() == MOST_CONNECTIONS
                && let Some(oldest) = connections.pop_front()
            {
                oldest.abort();
            }
        }
        let pages = pages.clone();
        connections.push_back(tokio::spawn(async move {
            let answered = Cell::new(0);
            let service = service_fn(move |request| {
                let mut response = answer(&request, &pages);
                answered.set(answered.get() + 1);
                if answered.get() >= MOST_REQUESTS {
                    response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
                }
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_LIMIT)
                .serve_connection(TokioIo::new(socket), service);
            // Also bounds a client that asks and never reads.
            if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_LIMIT, connection).await {
                tracing::trace!(%error, "an admin connection broke");
            }
        }));
    }
}

fn answer(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        refused.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let verbose = request.uri().query().is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    match request.uri().path() {
        "/livez" | "/healthz" => checks(&pages.health.liveness(), verbose, None),
        "/readyz" => checks(&pages.health.readiness(), verbose, paused(pages)),
        "/startupz" => checks(&pages.health.startup(), verbose, None),
        "/metrics" => match pages.metrics() {
            Ok(body) => {
                let mut response = text(StatusCode::OK, body);
                response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(Metrics::CONTENT_TYPE));
                response
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        "/status" => {
            let history = !request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "history=0"));
            with_type(pages.status.json(history), "application/json")
        }
        "/" => {
            let mut page = with_type(PAGE.to_owned(), "text/html; charset=utf-8");
            // Nothing from elsewhere, whatever a message of a failure may hold.
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, http::HeaderValue::from_static(POLICY));
            page
        }
        _ => text(StatusCode::NOT_FOUND, "try / /status /livez /readyz /startupz /metrics\n".to_owned()),
    }
}

/// Why nothing is consumed, where that is on purpose: it does not make the worker unready. The reason's name and no more, since every client may ask.
fn paused(pages: &Pages) -> Option<String> {
    let closed = |closed: &Closed| {
        format!(
            "the gate is closed for {} s ({}): nothing is consumed",
            closed.since.elapsed().as_secs(),
            closed.reason.label()
        )
    };
    pages.gate.read(|state| state.closed().map(closed))
}

fn checks(checks: &[Check], verbose: bool, note: Option<String>) -> Response<Full<Bytes>> {
    let good = checks.iter().all(|(_, good)| *good);
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = String::new();
    if verbose || !good {
        for (name, good) in checks {
            // Writing to a string does not fail.
            let _infallible =
                writeln!(body, "{}{name} {}", if *good { "[+]" } else { "[-]" }, if *good { "ok" } else { "failed" });
        }
        if let Some(note) = note {
            let _infallible = writeln!(body, "[ ]{note}");
        }
    } else {
        body.push_str("ok\n");
    }
    text(status, body)
}

fn with_type(body: String, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
