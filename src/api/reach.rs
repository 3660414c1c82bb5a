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
    /// When its certificate ends, where it has one.
    pub certificate_ends: Option<SystemTime>,
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
    let client = client::<Empty<Bytes>>(settings, 1).map_err(|error| failed(error.to_string(), true))?;
    let request = Request::head(format!("{origin}/")).header(header::USER_AGENT, super::AGENT).body(Empty::new());
    let request = request.map_err(|error| failed(error.to_string(), true))?;
    let root = request.uri().clone();
    match client.send(request, Instant::now() + settings.timeout).await {
        Ok(answer) => {
            let skew = clock_skew(answer.headers(), SystemTime::now());
            let certificate = client.certificate(&root).await;
            Ok(Reached { origin, skew, certificate_ends: certificate.and_then(|der| end_of(&der)) })
        }
        Err(error) => Err(match error.connecting() {
            Some(error) => failed(unconnected(error).message().to_owned(), error.remedy().is_some()),
            None if root.scheme_str() == Some("http") && client.speaks_tls(&root).await => {
                failed(super::SPEAKS_TLS.to_owned(), true)
            }
            None => failed(error.to_string(), false),
        }),
    }
}

/// When a certificate, given as DER, ends.
fn end_of(der: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["api.example".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let certificate = params.self_signed(&key).expect("a certificate");
        let seconds = params.not_after.unix_timestamp().unsigned_abs();
        assert_eq!(end_of(certificate.der()), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)));
        assert_eq!(end_of(b"no certificate"), None);
    }
}
