//! A receiver of OTLP over HTTP, which keeps the spans it is sent and answers as it is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::wait::{EVENTUALLY, eventually};

/// Its connections end with it.
pub(crate) struct Collector {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    answer: Answer,
    spans: Vec<Span>,
    requests: Vec<Asked>,
}

/// What it does with a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Answer {
    /// Keeps the spans.
    #[default]
    Take,
    /// Keeps the spans, and says that it has refused so many of them.
    TakeBut(i64),
    /// Keeps nothing.
    Status(u16),
    /// Never answers.
    Hang,
}

/// A request that it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// A span, with ids in hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// Of the process that sent it.
    pub(crate) resource: BTreeMap<String, Value>,
    pub(crate) state: String,
    pub(crate) failed: bool,
    /// In nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Collector {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it has an address");
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(|request| receive(request, Arc::clone(&shared)));
                    let connection = hyper::server::conn::http1::Builder::new();
                    // A client that leaves has what it wanted.
                    connection.serve_connection(TokioIo::new(client), service).await.ok();
                });
            }
        });
        Self { addr, state, _serving: serving }
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From the next request on.
    pub(crate) fn answer(&self, answer: Answer) {
        self.state().answer = answer;
    }

    /// The spans that it has kept.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state().spans.clone()
    }

    /// The requests that it was sent, whatever it answered.
    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.state().requests.clone()
    }

    /// Waits until the job has `count` `process` spans, and returns all spans of their traces, oldest first.
    pub(crate) async fn spans_of(&self, job: &str, count: usize) -> Vec<Span> {
        eventually(&format!("{count} process spans of {job}"), EVENTUALLY, async || {
            let mut spans = self.spans();
            let of_job = |span: &&Span| span.attribute("antispoofd.job.id") == json!(job);
            let traces: Vec<_> = spans.iter().filter(of_job).map(|span| span.trace.clone()).collect();
            if traces.len() != count {
                return Err(format!("{} of {} spans", traces.len(), spans.len()));
            }
            spans.retain(|span| traces.contains(&span.trace));
            spans.sort_by_key(|span| span.start);
            Ok(spans)
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Span {
    /// Null where it has none of this name.
    pub(crate) fn attribute(&self, name: &str) -> Value {
        self.attributes.get(name).cloned().unwrap_or_default()
    }

    /// As a message carries it, sampled.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

async fn receive(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let asked = Asked { path: head.uri.path().to_owned(), headers: head.headers };
    let answer = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(asked.clone());
        state.answer
    };
    let refused = match answer {
        Answer::Take => 0,
        Answer::TakeBut(refused) => refused,
        Answer::Status(status) => {
            let answer = Response::builder().status(status).body(Full::default());
            return Ok(answer.expect("a status"));
        }
        Answer::Hang => return std::future::pending().await,
    };
    let spans = read(&asked.headers, &body);
    state.lock().unwrap_or_else(PoisonError::into_inner).spans.extend(spans);
    let partial = ExportTracePartialSuccess { rejected_spans: refused, error_message: "too old".to_owned() };
    let answer = ExportTraceServiceResponse { partial_success: (refused > 0).then_some(partial) };
    Ok(Response::new(Full::new(answer.encode_to_vec().into())))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Vec<Span> {
    let mut plain = Vec::new();
    let body = if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
        &plain
    } else {
        body
    };
    let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = values(&of_resource.resource.expect("a resource").attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            spans.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                kind: span.kind(),
                attributes: values(&span.attributes),
                resource: resource.clone(),
                failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
                name: span.name,
                state: span.trace_state,
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
            });
        }
    }
    spans
}

/// Each name once.
fn values(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for attribute in attributes {
        let value = match attribute.value.clone().and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => json!(text),
            Some(any_value::Value::IntValue(number)) => json!(number),
            Some(any_value::Value::BoolValue(flag)) => json!(flag),
            other => panic!("{} has a value of another kind: {other:?}", attribute.key),
        };
        assert!(values.insert(attribute.key.clone(), value).is_none(), "{} is there twice", attribute.key);
    }
    values
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
