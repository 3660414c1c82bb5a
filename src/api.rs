//! The vendor's edge: the paid call, and the only place that names jsonwebtoken.

mod answer;
mod body;
mod classify;
mod reach;
#[cfg(test)]
mod tests;
mod token;

pub use classify::Statuses;
pub use reach::{ReachError, Reached, reach};
pub use token::{Minted, TokenError, mint};

use crate::{http_client, settings};
use antispoof_core::encode;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::Verify;
use antispoof_core::ports::{Answer, Inspected, SpoofDetector};
use antispoof_core::stream_digest::{DigestKind, StreamDigest};
use antispoof_core::verdict::Verdict;
use body::{Broken, DetectBody, Report};
use bytes::Bytes;
use futures_util::Stream;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use token::Tokens;
use tokio::sync::Mutex;
use tokio::time::Instant;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("antispoofd/", env!("CARGO_PKG_VERSION")));

/// Where the vendor and its own SDKs put the id of a call.
const REQUEST_IDS: [&str; 4] = ["x-request-id", "request-id", "x-amzn-requestid", "x-amz-request-id"];

/// Longest request id that is repeated in an event.
const MAX_REQUEST_ID: usize = 128;

/// Whether a port speaks TLS is asked again after this: it may have been corrected.
const TLS_KNOWN: Duration = Duration::from_mins(1);

const SPEAKS_TLS: &str = "the port of api.url speaks TLS and not plain HTTP: write https:// in api.url";

type RequestBody = UnsyncBoxBody<Bytes, Broken>;

/// The vendor, as the pipeline sees it.
pub struct Vendor {
    http: http_client::Client<RequestBody>,
    /// Read once: reading a URL costs as much as signing a request.
    endpoint: Uri,
    speaks_tls: Mutex<Option<(Instant, bool)>>,
    tokens: Tokens,
    statuses: Statuses,
    digest: DigestKind,
    verify: Verify,
    settings: settings::Api,
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// The endpoint is no URL. The settings' own check finds that first.
    #[error("read api.url: {0}")]
    Url(::http::uri::InvalidUri),
    /// The HTTP client could not be built: the system's certificate authorities cannot be read.
    #[error("build the API client: {0}")]
    Http(std::io::Error),
    /// The token part.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Vendor {
    /// Puts the parts together, for so many calls at a time, and mints the first token; makes no call.
    pub fn new(
        settings: settings::Api,
        in_flight: u16,
        digest: DigestKind,
        verify: Verify,
    ) -> Result<Self, VendorError> {
        Ok(Self {
            http: client(&settings, in_flight).map_err(VendorError::Http)?,
            endpoint: settings.url.parse().map_err(VendorError::Url)?,
            speaks_tls: Mutex::default(),
            tokens: Tokens::new(&settings, SystemTime::now())?,
            statuses: Statuses::new(&settings.statuses),
            digest,
            verify,
            settings,
        })
    }

    async fn call<S>(
        &self,
        image: Inspected<S>,
        token: HeaderValue,
        identity: &str,
        report: &Arc<Report>,
    ) -> Result<Answer, Failure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static,
    {
        let limit = self.settings.timeout;
        let deadline = Instant::now() + limit;
        let request = self.request(image, token, identity, report)?;
        let response = match self.http.send(request, deadline).await {
            Ok(response) => response,
            Err(error) => {
                let failed = classify::no_answer(&error, report, limit);
                return Err(if error.is_timeout() { failed } else { self.wrong_protocol(failed).await });
            }
        };
        let (head, body) = response.into_parts();
        let sent = report.sent() && !body.request_incomplete();
        let request_id = request_id(&head.headers);
        let status = head.status.as_u16();
        if !head.status.is_success() {
            answer::discard(body).await;
            let refused = self.refused(head.status, &head.headers, sent, request_id);
            return Err(if status == 400 { self.wrong_protocol(refused).await } else { refused });
        }
        let bad = |message: String| {
            Failure::new(Code::ApiBadResponse, message)
                .with_status(status)
                .with_request_sent(true)
                .with_request_id(request_id.clone())
        };
        if !self.statuses.brings_verdict(status) {
            return Err(bad(format!("the API answered {status}, with which no verdict comes")));
        }
        if !sent {
            return Err(bad("the API answered before it had the whole image".to_owned()));
        }
        let body = answer::read(&head.headers, body, deadline, limit).await.map_err(|error| bad(error.to_string()))?;
        match Verdict::read(&body) {
            Ok(verdict) => Ok(Answer { verdict, http_status: status, request_id, digest: report.digest() }),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    fn request<S>(
        &self,
        image: Inspected<S>,
        token: HeaderValue,
        identity: &str,
        report: &Arc<Report>,
    ) -> Result<Request<RequestBody>, Failure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static,
    {
        let length = encode::body_len(image.bytes);
        let digest = StreamDigest::new(self.digest, self.verify, &image.facts).expecting(image.checksum);
        let mut request = Request::post(self.endpoint.clone())
            .header(AUTHORIZATION, token)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(CONTENT_LENGTH, length)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(name) = &self.settings.idempotency_header {
            request = request.header(name, identity);
        }
        // The settings have checked what goes into it.
        request
            .body(DetectBody::new(image, digest, report.clone()).boxed_unsync())
            .map_err(|error| Failure::new(Code::ApiUnreachable, format!("the request cannot be made: {error}")))
    }

    /// A failure over plain HTTP that a port which speaks TLS would bring about: is it one? (nginx and Go answer 400, others hang up.)
    async fn wrong_protocol(&self, failed: Failure) -> Failure {
        if self.endpoint.scheme_str() != Some("http") || !self.port_speaks_tls().await {
            return failed;
        }
        Failure::new(Code::ApiUnreachable, SPEAKS_TLS)
    }

    /// Found out once, and again after a while: many calls may fail at the same time.
    async fn port_speaks_tls(&self) -> bool {
        let mut known = self.speaks_tls.lock().await;
        match *known {
            Some((at, speaks)) if Instant::now() - at < TLS_KNOWN => speaks,
            _ => {
                let speaks = self.http.speaks_tls(&self.endpoint).await;
                *known = Some((Instant::now(), speaks));
                speaks
            }
        }
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, sent: bool, request_id: Option<String>) -> Failure {
        let now = SystemTime::now();
        let code = self.statuses.code(status.as_u16());
        let wait = classify::wait(status, headers, now).map(|wait| wait.min(self.settings.max_retry_after));
        if code == Code::ApiUnauthorized
            && let Some(skew) = classify::clock_skew(headers, now)
        {
            tracing::warn!(
                skew_seconds = skew.as_secs(),
                "the API refuses the token and its clock differs from ours by {skew:?}: tokens may be expired or not yet valid there"
            );
        }
        let message = match refusal_remedy(code, status.as_u16()) {
            Some(remedy) => format!("the API answered {}: {remedy}", status.as_u16()),
            None => format!("the API answered {}", status.as_u16()),
        };
        Failure::new(code, message)
            .with_status(status.as_u16())
            .with_request_sent(sent)
            .with_request_id(request_id)
            .with_retry_after(wait)
    }
}

fn client<B: http_client::RequestBody>(
    settings: &settings::Api,
    in_flight: u16,
) -> std::io::Result<http_client::Client<B>> {
    http_client::Client::new(http_client::Options {
        connect_timeout: settings.connect_timeout,
        idle_timeout: settings.pool_idle_timeout,
        http2: true,
        in_flight,
        proxies: true,
    })
}

impl SpoofDetector for Vendor {
    async fn detect<S>(&self, image: Inspected<S>, identity: &str) -> Result<Answer, Failure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static,
    {
        let report = Arc::new(Report::default());
        let token = self
            .tokens
            .current(SystemTime::now())
            .map_err(|error| Failure::new(Code::ApiUnauthorized, error.to_string()))?;
        let called = self.call(image, token.clone(), identity, &report).await;
        called.map_err(|failed| match report.failure() {
            // The image's own failure is the cause of whatever the connection said afterwards.
            Some(failure) => failure,
            None if failed.code() == Code::ApiUnauthorized => {
                let replaced = self.tokens.replace(&token, SystemTime::now());
                failed.repeatable_at_once(replaced)
            }
            None => failed,
        })
    }
}

/// What the operator has to do about a refusal that is about all jobs.
fn refusal_remedy(code: Code, status: u16) -> Option<&'static str> {
    match (code, status) {
        (Code::ApiUnreachable, _) => Some("a redirect is not followed; correct api.url"),
        (Code::ApiForbidden, 402 | 403) => Some("look at the account's plan and balance in the vendor's dashboard"),
        (Code::ApiForbidden, 404 | 405 | 410 | 421) => Some("is the path of api.url right?"),
        (Code::ApiForbidden, 407) => Some("put the proxy's user and password in HTTP_PROXY"),
        (Code::ApiForbidden, _) => {
            Some("look at the account and at api.url; where the status is about an image, say so in api.statuses")
        }
        _ => None,
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_IDS
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
        .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()))
        .map(str::to_owned)
}
