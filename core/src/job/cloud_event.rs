//! A CloudEvents 1.0 message with a job object as its data: structured (the body is the event) or binary (the headers are its attributes).

use super::envelope::Envelope;
use super::fields::Fields;
use super::object::{explain, parse};
use super::{Admission, Job, Properties, malformed, unsupported};
use crate::failure::Failure;

/// `correlation_id` of an AMQP message has room for so many bytes.
const MAX_CORRELATION_BYTES: usize = 255;

/// What W3C Trace Context asks everybody to pass on; more is dropped, as it allows.
const MAX_TRACE_BYTES: usize = 512;

/// The attributes of a CloudEvent that mean something here. Any other is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `specversion`
    pub specversion: Option<String>,
    /// `id`
    pub id: Option<String>,
    /// `source`
    pub source: Option<String>,
    /// `type`
    pub kind: Option<String>,
    /// `datacontenttype`; in binary mode it is the message's `content_type`.
    pub datacontenttype: Option<String>,
    /// Extension `correlationid`.
    pub correlationid: Option<String>,
    /// Extension `traceparent`.
    pub traceparent: Option<String>,
    /// Extension `tracestate`.
    pub tracestate: Option<String>,
}

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
    /// Sets the attribute of that name, in whatever case it is written, if it is not set and means something here. Empty stands for what is no text.
    pub fn set(&mut self, name: &str, value: String) {
        let attribute = match name.to_ascii_lowercase().as_str() {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.kind,
            "correlationid" => &mut self.correlationid,
            "traceparent" => &mut self.traceparent,
            "tracestate" => &mut self.tracestate,
            _ => return,
        };
        attribute.get_or_insert(value);
    }

    /// Those that are there once, as texts.
    pub(super) fn of(fields: &Fields<'_>) -> Self {
        Self {
            specversion: fields.text("specversion"),
            id: fields.text("id"),
            source: fields.text("source"),
            kind: fields.text("type"),
            datacontenttype: fields.text("datacontenttype"),
            correlationid: fields.text("correlationid"),
            traceparent: fields.text("traceparent"),
            tracestate: fields.text("tracestate"),
        }
    }

    /// True for a message in binary mode. Its `specversion` says so, whatever else is missing: as a plain job it would have another id.
    pub(super) fn is_there(&self) -> bool {
        self.specversion.is_some()
    }

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
