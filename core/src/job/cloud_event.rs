//! A CloudEvents 1.0 message with a job object as its data: structured (the body is the event) or binary (the headers are its attributes).

use super::attributes::Attributes;
use super::envelope::Envelope;
use super::fields::Fields;
use super::model::{Admission, Job, malformed, unsupported};
use super::object::{explain, parse};
use super::properties::Properties;
use crate::failure::Failure;

/// `correlation_id` of an AMQP message has room for so many bytes.
const MAX_CORRELATION_BYTES: usize = 255;

/// What W3C Trace Context asks every participant to pass on; more is dropped, as it allows.
const MAX_TRACE_BYTES: usize = 512;

/// The body is the event.
pub(super) fn structured(body: &[u8], properties: &Properties, admission: &Admission) -> Result<Job, Failure> {
    let fields = Fields::parse(body).map_err(|error| malformed(explain(&error, "the body")))?;
    let attributes = Attributes::of(&fields);
    attributes.check(|name| fields.has(name))?;
    if let Some(given) = &attributes.datacontenttype
        && !is_json(given)
    {
        return Err(unsupported("datacontenttype: the data of the CloudEvent has to be application/json"));
    }
    let Some(data) = fields.get("data") else {
        return Err(malformed(if fields.has("data_base64") {
            "the CloudEvent has data_base64; put the job object itself into data"
        } else {
            "the CloudEvent has no data (or has it twice); data is the job object"
        }));
    };
    let envelope = attributes.envelope(properties);
    parse(data.get().as_bytes(), "the CloudEvent's data")?.job(envelope, admission)
}

/// The headers are the attributes, the body is the data.
pub(super) fn binary(body: &[u8], properties: &Properties, admission: &Admission) -> Result<Job, Failure> {
    properties.cloud_event.check(|_| false)?;
    let envelope = properties.cloud_event.envelope(properties);
    parse(body, "the CloudEvent's data")?.job(envelope, admission)
}

pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

impl Attributes {
    fn check(&self, there: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let required =
            [("specversion", &self.specversion), ("id", &self.id), ("source", &self.source), ("type", &self.kind)];
        for (name, value) in required {
            if value.as_ref().is_none_or(String::is_empty) {
                let how = if there(name) { "is no text, empty, or there twice" } else { "is missing" };
                return Err(malformed(format!("the CloudEvent's {name} {how}; CloudEvents 1.0 asks for it")));
            }
        }
        if self.specversion.as_deref() != Some("1.0") {
            return Err(unsupported("specversion: CloudEvents 1.0 are read, and no others"));
        }
        if self.correlationid.as_ref().is_some_and(|id| id.len() > MAX_CORRELATION_BYTES) {
            return Err(malformed(format!("correlationid: at most {MAX_CORRELATION_BYTES} bytes")));
        }
        Ok(())
    }

    /// An event keeps its id when it is sent again, a message need not: so the event's id comes before the message's.
    /// Trace context comes from one place: where the message has none of its own, from the extension.
    pub(super) fn envelope(&self, properties: &Properties) -> Envelope {
        let mut envelope =
            Envelope::of(properties).named(self.id.clone(), "the CloudEvent's id, which stands in for id,");
        let short = |value: &Option<String>| value.clone().filter(|value| is_trace(value));
        if properties.traceparent.is_none() {
            (envelope.traceparent, envelope.tracestate) = (short(&self.traceparent), short(&self.tracestate));
        }
        let fits = |id: &Option<String>| id.clone().filter(|id| (1..=MAX_CORRELATION_BYTES).contains(&id.len()));
        let said = properties.correlation_id.clone().or_else(|| fits(&self.correlationid));
        envelope.correlation_id = said.or_else(|| properties.message_id.clone()).or_else(|| fits(&self.id));
        envelope
    }
}

fn is_trace(text: &str) -> bool {
    (1..=MAX_TRACE_BYTES).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
