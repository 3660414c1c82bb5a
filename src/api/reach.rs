//! Whether the vendor can be reached, found out without a call that anybody could be billed for: no token goes with it, no body, and it
//! does not name the endpoint.

use super::classify::clock_skew;
use super::client;
use crate::settings;
use std::time::{Duration, SystemTime};
use url::Url;

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
    /// Whether the other side's certificate is the reason.
    pub tls: bool,
}

/// Sends `HEAD /` to the server of `api.url`, by the same way (proxy, certificate authorities) that calls take. Bounded by
/// `api.connect_timeout` and `api.timeout`.
pub async fn reach(settings: &settings::Api) -> Result<Reached, ReachError> {
    let mut origin = settings.url.clone();
    let failed = |why: String| ReachError { origin: settings.url.clone(), tls: why.contains("certificate"), why };
    let root = Url::parse(&settings.url).and_then(|url| {
        origin = url.origin().ascii_serialization();
        url.join("/")
    });
    let root = root.map_err(|error| failed(error.to_string()))?;
    let client = client(settings).map_err(|error| failed(innermost(&error)))?;
    #[expect(clippy::disallowed_methods, reason = "no call: any answer, also an error, says that the server is there")]
    let asked = client.head(root).timeout(settings.timeout).send().await;
    match asked {
        Ok(answer) => Ok(Reached { origin, skew: clock_skew(answer.headers(), SystemTime::now()) }),
        Err(error) => {
            let why = if error.is_timeout() { "no answer in time".to_owned() } else { innermost(&error) };
            Err(ReachError { origin, tls: why.contains("certificate"), why })
        }
    }
}

/// The cause at the end of the chain: what is before it names layers of the library.
fn innermost(error: &reqwest::Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
