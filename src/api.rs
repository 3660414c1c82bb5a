//! The vendor's edge: the only place that names reqwest for the paid call and jsonwebtoken.

mod body;
mod classify;
mod pace;
mod reach;
#[cfg(test)]
mod tests;
mod token;

pub use classify::Statuses;
pub use reach::{ReachError, Reached, reach};
pub use token::{Minted, TokenError, mint};

use crate::settings;
use antispoof_core::encode;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::{Answer, CallFailure, Detector, Inspected};
use antispoof_core::tap::{DigestKind, Tap};
use antispoof_core::verdict::{MAX_ANSWER_BYTES, Verdict};
use body::{DetectBody, Report};
use bytes::Bytes;
use futures_util::Stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use pace::Pace;
use reqwest::{Body, Client};
use std::sync::Arc;
use std::time::SystemTime;
use token::Tokens;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Where the vendor and its own SDKs put the id of a call.
const REQUEST_IDS: [&str; 4] = ["x-request-id", "request-id", "x-amzn-requestid", "x-amz-request-id"];

/// Longest request id that is repeated in an event.
const MAX_REQUEST_ID: usize = 128;

/// The vendor, as the pipeline sees it.
pub struct Vendor {
    http: Client,
    /// Read once: reading a URL costs as much as signing a request.
    endpoint: Url,
    tokens: Tokens,
    statuses: Statuses,
    pace: Pace,
    digest: DigestKind,
    settings: settings::Api,
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// The endpoint is no URL. The settings' own check finds that first.
    #[error("read api.url: {0}")]
    Url(url::ParseError),
    /// The HTTP part.
    #[error("build the API client: {0}")]
    Http(#[from] reqwest::Error),
    /// The token part.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Vendor {
    /// Puts the parts together and mints the first token; makes no call.
    pub fn new(settings: settings::Api, digest: DigestKind) -> Result<Self, VendorError> {
        Ok(Self {
            http: client(&settings)?,
            endpoint: Url::parse(&settings.url).map_err(VendorError::Url)?,
            tokens: Tokens::new(&settings, SystemTime::now())?,
            statuses: Statuses::new(&settings.statuses),
            pace: Pace::new(settings.rate_limit),
            digest,
            settings,
        })
    }

    async fn call<S>(
        &self,
        image: Inspected<S>,
        token: HeaderValue,
        identity: &str,
        report: &Arc<Report>,
    ) -> Result<Answer, CallFailure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static,
    {
        let deadline = Instant::now() + self.settings.timeout;
        let length = encode::body_len(image.bytes);
        let tap = Tap::new(self.digest, image.facts.scan_from);
        let mut request = self
            .http
            .post(self.endpoint.clone())
            .header(AUTHORIZATION, token)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(CONTENT_LENGTH, length)
            .body(Body::wrap(DetectBody::new(image, tap, report.clone())));
        if let Some(name) = &self.settings.idempotency_header {
            request = request.header(name, identity);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that calls the vendor; every exit below is classified"
        )]
        let sending = request.send();
        let response = match timeout_at(deadline, sending).await {
            Ok(Ok(response)) => http::Response::<Body>::from(response),
            Ok(Err(error)) => return Err(classify::no_answer(&error, report)),
            Err(_) => return Err(classify::too_late(self.settings.timeout, report)),
        };
        let (head, body) = response.into_parts();
        let request_id = request_id(&head.headers);
        if !head.status.is_success() {
            return Err(self.refused(head.status, &head.headers, report, request_id));
        }
        let bad = |message: String| CallFailure {
            failure: Failure::new(Code::ApiBadResponse, message).with_status(head.status.as_u16()),
            token_replaced: false,
            sent: true,
            request_id: request_id.clone(),
        };
        if !self.statuses.brings_verdict(head.status.as_u16()) {
            return Err(bad(format!("the API answered {}, with which no verdict comes", head.status.as_u16())));
        }
        if !report.sent() {
            return Err(bad("the API answered before it had the whole image".to_owned()));
        }
        let body = match timeout_at(deadline, Limited::new(body, MAX_ANSWER_BYTES).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(bad(format!("the answer is longer than {MAX_ANSWER_BYTES} bytes")));
            }
            Ok(Err(_)) => return Err(bad("the answer broke off".to_owned())),
            Err(_) => return Err(bad(format!("the answer was not complete within {:?}", self.settings.timeout))),
        };
        match Verdict::read(&body) {
            Ok(verdict) => {
                Ok(Answer { verdict, http_status: head.status.as_u16(), request_id, digest: report.digest() })
            }
            Err(error) => Err(bad(error.to_string())),
        }
    }

    fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        report: &Report,
        request_id: Option<String>,
    ) -> CallFailure {
        let now = SystemTime::now();
        let wait = classify::retry_after(headers, now).map(|wait| wait.min(self.settings.max_retry_after));
        let code = self.statuses.code(status.as_u16());
        if code == Code::ApiRateLimited {
            self.pace.hold(wait);
        }
        if code == Code::ApiUnauthorized
            && let Some(skew) = classify::clock_skew(headers, now)
        {
            tracing::warn!(
                skew_seconds = skew.as_secs(),
                "the API refuses the token and its clock differs from ours by {skew:?}: tokens may be expired or not yet valid there"
            );
        }
        CallFailure {
            failure: Failure::new(code, format!("the API answered {}", status.as_u16()))
                .with_status(status.as_u16())
                .with_request_sent(report.sent())
                .with_retry_after(wait),
            token_replaced: false,
            sent: report.sent(),
            request_id,
        }
    }
}

fn client(settings: &settings::Api) -> Result<Client, reqwest::Error> {
    Client::builder()
        // A redirect would send the token and the image to whoever it names.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(settings.pool_idle_timeout)
        .user_agent(concat!("antispoofd/", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Detector for Vendor {
    async fn turn(&self) {
        self.pace.turn().await;
    }

    async fn detect<S>(&self, image: Inspected<S>, identity: &str) -> Result<Answer, CallFailure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static,
    {
        let report = Arc::new(Report::default());
        let token = self.tokens.current(SystemTime::now()).map_err(|error| CallFailure {
            failure: Failure::new(Code::ApiUnauthorized, error.to_string()),
            token_replaced: false,
            sent: false,
            request_id: None,
        })?;
        let mut outcome = self.call(image, token.clone(), identity, &report).await;
        if let Err(call) = &mut outcome {
            // The image's own failure is the cause of whatever the connection said afterwards.
            if let Some(failure) = report.failure() {
                call.failure = failure;
                call.sent = false;
            } else if call.failure.code() == Code::ApiUnauthorized {
                call.token_replaced = self.tokens.replace(&token, SystemTime::now());
            }
        }
        outcome
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_IDS
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
        .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()))
        .map(str::to_owned)
}
