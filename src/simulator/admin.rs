//! `/_sim/`, and the paths of probes: what a test or an operator asks of the simulator itself. Not counted, not authenticated.

use std::time::Instant;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::change::Change;
use super::reply::{self, Reply};
use super::state::State;

/// The beginning of every admin path.
pub(super) const PREFIX: &str = "/_sim/";

/// Bytes of a change of the settings; ample.
const MAX_CHANGE: usize = 64 * 1024;

pub(super) async fn serve(state: &State, request: Request<Incoming>) -> Response<Reply> {
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    match (path.as_str(), request.method()) {
        ("health", method) => alive(method),
        ("stats", &Method::GET) => stats(state, request.uri().query()),
        ("reset", &Method::POST) => {
            state.counters.reset();
            reply::json(StatusCode::OK, &state.counters.stats(false))
        }
        ("config", &Method::GET) => reply::json(StatusCode::OK, &state.config_json()),
        ("config", &Method::PUT) => configure(state, request.into_body()).await,
        ("stats", _) => reply::method_not_allowed("GET"),
        ("reset", _) => reply::method_not_allowed("POST"),
        ("config", _) => reply::method_not_allowed("GET, PUT"),
        _ => reply::message(StatusCode::NOT_FOUND, "known are health, stats, reset and config"),
    }
}

pub(super) fn alive(method: &Method) -> Response<Reply> {
    match *method {
        Method::GET => reply::json(StatusCode::OK, &json!({ "status": "ok" })),
        _ => reply::method_not_allowed("GET"),
    }
}

fn stats(state: &State, query: Option<&str>) -> Response<Reply> {
    let images = match query {
        None | Some("images=true") => true,
        Some("images=false") => false,
        Some(_) => {
            return reply::message(StatusCode::BAD_REQUEST, "the query must be images=true or images=false");
        }
    };
    reply::json(StatusCode::OK, &state.counters.stats(images))
}

async fn configure(state: &State, body: Incoming) -> Response<Reply> {
    let Ok(body) = Limited::new(body, MAX_CHANGE).collect().await else {
        return reply::message(StatusCode::PAYLOAD_TOO_LARGE, "a change has at most 64 KiB and must be sent whole");
    };
    match serde_json::from_slice::<Change>(&body.to_bytes()) {
        Ok(change) => {
            state.configure(change, Instant::now());
            reply::json(StatusCode::OK, &state.config_json())
        }
        Err(error) => reply::message(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}
