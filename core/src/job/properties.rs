//! The properties and headers of a message that have a meaning for the job, in all the spellings in which producers send them.

use super::attributes::Attributes;
use super::names::is_id;

/// What is carried of a correlation id. As the property it has at most 255 bytes; as a header it can be longer.
pub const MAX_CORRELATION_BYTES: usize = 1024;

/// The prefixes of headers that hold CloudEvents attributes: the AMQP binding's two, that of the SDKs for RabbitMQ and HTTP, that of Kafka's binding.
const PREFIXES: [&str; 4] = ["cloudEvents_", "cloudEvents:", "ce-", "ce_"];

const SPECVERSION: &str = "specversion";

/// Those that the MQTT 5 binding sends as user properties, which RabbitMQ makes headers of, without a prefix.
const BARE: [&str; 5] = [SPECVERSION, "id", "source", "type", "correlationid"];

/// What of a message's properties has a meaning for the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// AMQP `content_type`.
    pub content_type: Option<String>,
    /// AMQP `content_encoding`.
    pub content_encoding: Option<String>,
    /// Header `compression`, by which kombu says how it has compressed the body.
    pub compression: Option<String>,
    /// AMQP `message_id`, else the header `x-message-id` where that can name a job.
    pub message_id: Option<String>,
    /// AMQP `correlation_id`, else the header `x-correlation-id`, else an `x-message-id` that can name no job.
    pub correlation_id: Option<String>,
    /// Header `traceparent` (W3C Trace Context), carried through.
    pub traceparent: Option<String>,
    /// Header `tracestate`, carried through.
    pub tracestate: Option<String>,
    /// The attributes of a CloudEvent in binary mode.
    pub cloud_event: Attributes,
    /// The messaging framework whose headers the message has.
    pub framework: Option<Framework>,
}

/// A framework that wraps messages and says so in headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// Headers `NServiceBus.*`.
    NServiceBus,
    /// Headers `rbs2-*`.
    Rebus,
}

impl Properties {
    /// Adds what the headers say: of each its name, and its value if that is a text. The AMQP properties are already set; they come first.
    pub fn read_headers(&mut self, headers: &[(&str, Option<&str>)]) {
        let text = |name: &str| {
            let (_, value) = headers.iter().find(|(given, _)| *given == name)?;
            value.map(str::to_owned)
        };
        self.traceparent = text("traceparent");
        self.tracestate = text("tracestate");
        self.compression = text("compression");
        let bare = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(SPECVERSION));
        let named = |header| attribute(header).or_else(|| bare_one(header, bare));
        let attributes = || headers.iter().filter_map(|(header, value)| Some((named(header)?, value)));
        for (name, value) in attributes() {
            if let Some(value) = value {
                self.cloud_event.set(name, (*value).to_owned());
            }
        }
        // An attribute that is there and no text is not one that is missing.
        for (name, _) in attributes() {
            self.cloud_event.set(name, String::new());
        }
        self.framework = headers.iter().find_map(|(name, _)| Framework::of(name));
        self.stand_in(text("x-message-id"), text("x-correlation-id").or_else(|| text("as-correlation-id")));
    }

    /// RabbitMQ puts ids of AMQP 1.0 there that are binary or longer than the properties of AMQP 0-9-1 may be.
    fn stand_in(&mut self, message_id: Option<String>, correlation_id: Option<String>) {
        let carried = |id: &String| (1..=MAX_CORRELATION_BYTES).contains(&id.len());
        let (name, other) = match message_id {
            Some(id) if is_id(&id) => (Some(id), None),
            other => (None, other),
        };
        let nameless = self.message_id.is_none();
        self.message_id = self.message_id.take().or(name);
        self.correlation_id = self
            .correlation_id
            .take()
            .or_else(|| correlation_id.filter(carried))
            .or_else(|| other.filter(|id| nameless && carried(id)));
    }
}

impl Framework {
    fn of(header: &str) -> Option<Self> {
        if header.starts_with("NServiceBus.") {
            Some(Self::NServiceBus)
        } else {
            header.starts_with("rbs2-").then_some(Self::Rebus)
        }
    }
}

/// The name of the CloudEvents attribute that a header holds by its prefix.
pub fn attribute(header: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|known| {
        let (prefix, name) = header.split_at_checked(known.len())?;
        prefix.eq_ignore_ascii_case(known).then_some(name)
    })
}

/// Names without a prefix are common words: they are attributes only beside a `specversion`.
fn bare_one(header: &str, beside_specversion: bool) -> Option<&str> {
    (beside_specversion && BARE.iter().any(|name| header.eq_ignore_ascii_case(name))).then_some(header)
}
