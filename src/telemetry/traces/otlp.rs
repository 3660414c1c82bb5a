//! One request to the collector (OTLP 1.x over HTTP, protobuf), and what its answer means.

use crate::http_client::{Client, Options, SendError};
use crate::settings;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use std::io::Write as _;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Batches are seconds apart: longer than that, most servers keep no connection.
const IDLE: Duration = Duration::from_secs(30);

/// An answer holds a few words.
const MOST_ANSWER: usize = 64 * 1024;

/// The receiver of traces.
pub(super) struct Collector {
    http: Client<Full<Bytes>>,
    endpoint: Uri,
    headers: HeaderMap,
    gzip: bool,
    timeout: Duration,
    resource: ResourceAttributesWithSchema,
}

/// Why a batch was not taken, or not all of it.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It may be taken later; after so long, where the collector says.
    Later { why: String, after: Option<Duration> },
    /// It never will be.
    Never(String),
    /// Of its spans, so many.
    Partly { spans: u64, why: String },
}

impl Collector {
    pub(super) fn new(otlp: &settings::Traces, resource: &Resource) -> std::io::Result<Self> {
        let options =
            Options { connect_timeout: otlp.timeout, idle_timeout: IDLE, http2: false, in_flight: 1, proxies: true };
        let mut headers = HeaderMap::new();
        if let Ok(agent) = HeaderValue::from_str(&format!("antispoofd/{}", crate::VERSION)) {
            headers.insert(USER_AGENT, agent);
        }
        headers.extend(otlp.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if otlp.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Self {
            http: Client::new(options)?,
            endpoint: otlp.endpoint.parse().map_err(std::io::Error::other)?,
            headers,
            gzip: otlp.gzip,
            timeout: otlp.timeout,
            resource: resource.into(),
        })
    }

    /// The address, for a log line.
    pub(super) fn endpoint(&self) -> &Uri {
        &self.endpoint
    }

    /// The body of a request with these spans.
    pub(super) fn encode(&self, spans: Vec<SpanData>) -> Bytes {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        if !self.gzip {
            return body.into();
        }
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        // Into memory, nothing fails.
        let written = out.write_all(&body).and_then(|()| out.finish());
        written.unwrap_or_default().into()
    }

    /// Sends it once.
    pub(super) async fn post(&self, body: Bytes) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.timeout;
        let mut request = Request::post(self.endpoint.clone()).body(Full::new(body)).map_err(|error| {
            // The address and the headers have been read already.
            Refusal::Never(error.to_string())
        })?;
        request.headers_mut().clone_from(&self.headers);
        let answer = self.http.send(request, deadline).await.map_err(|error| self.unanswered(&error))?;
        let (head, body) = answer.into_parts();
        let read = timeout_at(deadline, Limited::new(body, MOST_ANSWER).collect()).await;
        let body = read.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if head.status.is_success() {
            return partly(&body);
        }
        let why = format!("it answers {}", head.status);
        match head.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Refusal::Later { why, after: retry_after(&head.headers) }),
            _ => Err(Refusal::Never(why)),
        }
    }

    fn unanswered(&self, error: &SendError) -> Refusal {
        let grpc = if self.endpoint.port_u16() == Some(4317) {
            "; 4317 is usually the port of gRPC, and 4318 the one of HTTP"
        } else {
            ""
        };
        let why = if error.is_timeout() {
            format!("no answer within {:?}{grpc}", self.timeout)
        } else {
            format!("{error}{grpc}")
        };
        Refusal::Later { why, after: None }
    }
}

/// An answer that says nothing of refused spans, or nothing at all, has taken them.
fn partly(body: &[u8]) -> Result<(), Refusal> {
    let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    match answer.partial_success {
        Some(partial) if partial.rejected_spans > 0 => {
            let spans = u64::try_from(partial.rejected_spans).unwrap_or_default();
            let why: String = partial.error_message.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(Refusal::Partly { spans, why: format!("it refuses spans: {why}") })
        }
        _ => Ok(()),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    #[test]
    fn an_answer_that_names_no_refused_span_has_taken_all() {
        for taken in [b"".as_slice(), b"<html>", b"\x0a\x00", b"{\"partialSuccess\":{}}"] {
            assert!(partly(taken).is_ok(), "{taken:?}");
        }
        let partial =
            ExportTracePartialSuccess { rejected_spans: 3, error_message: format!("a\nb{}", "c".repeat(999)) };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let Err(Refusal::Partly { spans: 3, why }) = partly(&answer) else { panic!("refused") };
        assert!(why.starts_with("it refuses spans: abc") && why.len() < 250, "{why}");
    }

    #[test]
    fn a_collector_may_say_when_to_come_again() {
        let after = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            after("18446744073709551615"),
            Some(Duration::from_secs(u64::MAX)),
            "the exporter adds nothing to it"
        );
        assert_eq!((after("soon"), after("-1"), retry_after(&HeaderMap::new())), (None, None, None));
    }
}
