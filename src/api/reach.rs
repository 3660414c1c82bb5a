//! Whether the vendor can be reached, found out without a call that could be billed: no token goes with it, no body, and it
//! does not name the endpoint.

use super::classify::{clock_skew, unconnected};
use super::client;
use crate::settings;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The vendor's server answered, whatever it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Scheme, host and port.
    pub origin: String,
    /// How far its clock is from ours, where it says and where it matters for a token.
    pub skew: Option<Duration>,
}

/// It did not.
#[derive(Debug, thiserror::Error)]
#[error("reach {origin}: {why}")]
pub struct ReachError {
    origin: String,
    why: String,
    /// Whether it will not pass by itself: then `why` says what to do, in the words in which a worker's log says it.
    pub systemic: bool,
}

/// Sends `HEAD /` to the server of `api.url`, by the same way (proxy, certificate authorities) that calls take. Bounded by
/// `api.connect_timeout` and `api.timeout`.
pub async fn reach(settings: &settings::Api) -> Result<Reached, ReachError> {
    let origin = settings.url.find("//").and_then(|at| settings.url[at + 2..].find('/').map(|end| at + 2 + end));
    let origin = settings.url[..origin.unwrap_or(settings.url.len())].to_owned();
    let failed = |why: String, systemic| ReachError { origin: origin.clone(), why, systemic };
    let client = client::<Empty<Bytes>>(settings).map_err(|error| failed(error.to_string(), true))?;
    let request = Request::head(format!("{origin}/")).header(header::USER_AGENT, super::AGENT).body(Empty::new());
    let request = request.map_err(|error| failed(error.to_string(), true))?;
    let root = request.uri().clone();
    match client.send(request, Instant::now() + settings.timeout).await {
        Ok(answer) => Ok(Reached { origin, skew: clock_skew(answer.headers(), SystemTime::now()) }),
        Err(error) => Err(match error.connecting() {
            Some(error) => failed(unconnected(error).message().to_owned(), error.remedy().is_some()),
            None if root.scheme_str() == Some("http") && client.speaks_tls(&root).await => {
                failed(super::SPEAKS_TLS.to_owned(), true)
            }
            None => failed(error.to_string(), false),
        }),
    }
}
