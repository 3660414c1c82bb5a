//! The spans of one delivery: `process`, and under it one for each request for an object, each call and the publish of the event.

use super::names::{
    ATTEMPT, AWS_API, BODY_SIZE, BUCKET, CONVERSATION_ID, DESTINATION, ERROR_TYPE, EVENT_TYPE, FAILURE, GET_OBJECT,
    JOB_ID, KEY, MESSAGE_ID, MESSAGING_SYSTEM, METHOD, OBJECT_BYTES, OPERATION_NAME, OPERATION_TYPE, OUTCOME, POST,
    PROCESS, PUBLISH, PUBLISH_TRIES, RABBITMQ, REGION, REQUEST_ID, RESEND_COUNT, REUSED, ROUTING_KEY, RPC_GET_OBJECT,
    RPC_METHOD, RPC_SYSTEM, RPC_SYSTEM_DEPRECATED, SEND, SERVER_ADDRESS, SERVER_PORT, STATUS, URL,
};
use super::{Traces, context};
use antispoof_core::event::Event;
use antispoof_core::failure::Failure;
use antispoof_core::job::Origin;
use antispoof_core::ports::{Answer, Lease};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::Span;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The spans of one delivery.
pub(in super::super) struct JobSpans {
    traces: Arc<Traces>,
    process: Span,
    /// Whether the message brought a context.
    rooted: bool,
    /// Calls that have ended.
    calls: i64,
    publish: Option<Publish>,
}

/// The event that is being published.
struct Publish {
    span: Span,
    tries: i64,
    status: &'static str,
}

impl JobSpans {
    /// A delivery arrived. `origin` and `attempt` are what its job says, counted from 1.
    pub(in super::super) fn begin(traces: Arc<Traces>, lease: &impl Lease, origin: &Origin, attempt: u32) -> Self {
        let places = &traces.places;
        let queue = if lease.dropped().is_some() { &places.dead } else { &places.jobs };
        let (properties, body) = (lease.properties(), lease.body());
        let mut attributes = messaging(&traces, PROCESS, PROCESS, queue.clone());
        attributes.push(KeyValue::new(BODY_SIZE, length(body.len())));
        attributes.push(KeyValue::new(JOB_ID, origin.job_id.clone()));
        attributes.push(KeyValue::new(ATTEMPT, i64::from(attempt)));
        attributes.extend(properties.message_id.clone().map(|id| KeyValue::new(MESSAGE_ID, id)));
        attributes.extend(properties.correlation_id.clone().map(|id| KeyValue::new(CONVERSATION_ID, id)));
        let span = SpanBuilder::from_name(format!("{PROCESS} {queue}"))
            .with_kind(SpanKind::Consumer)
            .with_attributes(attributes);
        let parent = context::of(origin);
        let rooted = parent.is_none();
        let process = traces.tracer.build_with_context(span, &under(parent));
        Self { process, rooted, calls: 0, publish: None, traces }
    }

    /// Trace and span id of `process`, for the log.
    pub(in super::super) fn ids(&self) -> (String, String) {
        let context = self.process.span_context();
        (context.trace_id().to_string(), context.span_id().to_string())
    }

    /// The `traceparent` for copies of a message that brought none: of all attempts at its job there is one trace.
    pub(in super::super) fn begun(&self) -> Option<String> {
        self.rooted.then(|| context::traceparent(self.process.span_context()))
    }

    /// An object was requested, by `took` ago; `opened` is its length.
    pub(in super::super) fn fetched(
        &self,
        took: Duration,
        object: Option<&(String, String)>,
        opened: Result<u64, &Failure>,
    ) {
        if !self.process.is_recording() {
            return;
        }
        let places = &self.traces.places;
        let mut attributes = vec![
            KeyValue::new(RPC_SYSTEM, AWS_API),
            KeyValue::new(RPC_SYSTEM_DEPRECATED, AWS_API),
            KeyValue::new(RPC_METHOD, RPC_GET_OBJECT),
            KeyValue::new(REGION, places.region.clone()),
        ];
        if let Some((bucket, key)) = object {
            attributes.push(KeyValue::new(BUCKET, bucket.clone()));
            attributes.extend(places.keys.then(|| KeyValue::new(KEY, key.clone())));
        }
        server(&mut attributes, places.store.as_ref());
        attributes
            .extend(opened.ok().map(|bytes| KeyValue::new(OBJECT_BYTES, i64::try_from(bytes).unwrap_or(i64::MAX))));
        self.request(GET_OBJECT, took, attributes, opened.err());
    }

    /// A call ended that began `took` ago.
    pub(in super::super) fn called(&mut self, took: Duration, answer: Result<&Answer, &Failure>) {
        let resent = self.calls;
        self.calls += 1;
        if !self.process.is_recording() {
            return;
        }
        let (url, api) = &self.traces.places.api;
        let mut attributes = vec![KeyValue::new(METHOD, POST), KeyValue::new(URL, url.clone())];
        server(&mut attributes, api.as_ref());
        attributes.extend((resent > 0).then(|| KeyValue::new(RESEND_COUNT, resent)));
        let (status, id) = match answer {
            Ok(answer) => (Some(answer.http_status), answer.request_id.as_deref()),
            Err(failure) => (failure.http_status(), failure.request_id()),
        };
        attributes.extend(status.map(|status| KeyValue::new(STATUS, i64::from(status))));
        attributes.extend(id.map(|id| KeyValue::new(REQUEST_ID, id.to_owned())));
        self.request(POST, took, attributes, answer.err());
    }

    /// The event is about to be made: its origin, with the context of its publish.
    pub(in super::super) fn publishing(&mut self, origin: &Origin) -> Origin {
        let results = &self.traces.places.results;
        let span = SpanBuilder::from_name(format!("{PUBLISH} {results}")).with_kind(SpanKind::Producer);
        let span = self.traces.tracer.build_with_context(span, &self.inside());
        let context = span.span_context();
        let (traceparent, tracestate) = (Some(context::traceparent(context)), context::tracestate(context));
        self.publish = Some(Publish { span, tries: 0, status: "not_published" });
        Origin { traceparent, tracestate, ..origin.clone() }
    }

    /// The event is made.
    pub(in super::super) fn event(&mut self, event: &Event) {
        let Some(Publish { span, .. }) = self.publish.as_mut().filter(|publish| publish.span.is_recording()) else {
            return;
        };
        let destination = format!("{}:{}", self.traces.places.results, event.routing_key);
        span.update_name(format!("{PUBLISH} {destination}"));
        span.set_attributes(messaging(&self.traces, PUBLISH, SEND, destination));
        span.set_attribute(KeyValue::new(ROUTING_KEY, event.routing_key.clone()));
        span.set_attribute(KeyValue::new(MESSAGE_ID, event.id.clone()));
        span.set_attribute(KeyValue::new(BODY_SIZE, length(event.body.len())));
        span.set_attribute(KeyValue::new(EVENT_TYPE, event.kind));
        span.set_attributes(event.correlation_id.clone().map(|id| KeyValue::new(CONVERSATION_ID, id)));
    }

    /// The broker has confirmed the event, or has not.
    pub(in super::super) fn published(&mut self, status: &'static str) {
        if let Some(publish) = &mut self.publish {
            publish.tries += 1;
            publish.status = status;
            if status == CONFIRMED {
                self.end_publish();
            }
        }
    }

    /// The delivery is settled, or broken off.
    pub(in super::super) fn end(&mut self, outcome: &'static str, reused: bool, error: Option<&'static str>) {
        self.end_publish();
        self.process.set_attribute(KeyValue::new(OUTCOME, outcome));
        if reused {
            self.process.set_attribute(KeyValue::new(REUSED, true));
        }
        if let Some(error) = error {
            failed(&mut self.process, error);
        }
        self.process.end();
    }

    fn end_publish(&mut self) {
        let Some(Publish { mut span, tries, status }) = self.publish.take() else { return };
        if tries > 1 {
            span.set_attribute(KeyValue::new(PUBLISH_TRIES, tries));
        }
        if status != CONFIRMED {
            failed(&mut span, status);
        }
        span.end();
    }

    /// A request to a server, which ends now.
    fn request(&self, name: &'static str, took: Duration, attributes: Vec<KeyValue>, failure: Option<&Failure>) {
        let end = SystemTime::now();
        let span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Client)
            .with_start_time(end.checked_sub(took).unwrap_or(end))
            .with_attributes(attributes);
        let mut span = self.traces.tracer.build_with_context(span, &self.inside());
        if let Some(failure) = failure {
            let code = failure.code().name();
            span.set_attribute(KeyValue::new(FAILURE, code));
            match failure.http_status() {
                Some(status) => failed(&mut span, status.to_string()),
                None => failed(&mut span, code),
            }
        }
        span.end_with_timestamp(end);
    }

    fn inside(&self) -> Context {
        under(Some(self.process.span_context().clone()))
    }
}

/// The status of a publish that the broker has confirmed.
const CONFIRMED: &str = "confirmed";

fn under(parent: Option<SpanContext>) -> Context {
    match parent {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    }
}

/// The line in the log says the rest; a description could repeat what a server said.
fn failed(span: &mut Span, kind: impl Into<Value>) {
    span.set_attribute(KeyValue::new(ERROR_TYPE, kind));
    span.set_status(Status::error(""));
}

fn messaging(traces: &Traces, name: &'static str, kind: &'static str, destination: String) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new(MESSAGING_SYSTEM, RABBITMQ),
        KeyValue::new(OPERATION_NAME, name),
        KeyValue::new(OPERATION_TYPE, kind),
        KeyValue::new(DESTINATION, destination),
    ];
    server(&mut attributes, Some(&traces.places.broker));
    attributes
}

fn server(attributes: &mut Vec<KeyValue>, at: Option<&(String, u16)>) {
    if let Some((host, port)) = at {
        attributes.push(KeyValue::new(SERVER_ADDRESS, host.clone()));
        attributes.push(KeyValue::new(SERVER_PORT, i64::from(*port)));
    }
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
