//! What a message is: by its content type, then by the CloudEvents headers, then by the shape of its body.

use super::envelope::Envelope;
use super::fields::Fields;
use super::model::{Admission, Intake, Job, Refused, malformed, unsupported};
use super::properties::Properties;
use super::{cloud_event, notification, object, recognise, salvage, text};
use crate::failure::{Failure, quoted};

#[derive(Clone, Copy)]
enum Mode {
    Plain,
    Structured,
    Binary,
}

impl Intake {
    /// Reads a message. The failure says which field, where, and what to write instead.
    pub fn read(body: &[u8], properties: &Properties, admission: &Admission) -> Result<Self, Box<Refused>> {
        let text = text::of(body, properties);
        let readable = text.as_deref().unwrap_or(body);
        let mode = mode(properties);
        // What cannot be decoded has said why itself, if anything but its content_type is wrong.
        let says_more = mode.is_err() || text.is_ok();
        let understood = match (mode, &text) {
            (Ok(mode), Ok(text)) => understand(mode, text, properties, admission),
            (Ok(_), Err(failure)) => Err(failure.clone()),
            (Err(failure), _) => Err(failure),
        };
        understood.map_err(|failure| {
            let failure = if says_more { recognise::explained(failure, readable, properties) } else { failure };
            Box::new(salvage::refused(failure, body, readable, properties, admission))
        })
    }
}

impl Job {
    /// Reads a message that is one job, in any accepted form. The failure says which field, where, and what to write instead.
    /// [`Intake::read`] also takes messages that are several jobs, or none.
    pub fn decode(body: &[u8], properties: &Properties, admission: &Admission) -> Result<Self, Failure> {
        match Intake::read(body, properties, admission) {
            Ok(Intake::Job(job)) => Ok(*job),
            Ok(Intake::Several(_)) => Err(unsupported("a notification about several objects is more than one job")),
            Ok(Intake::Nothing(nothing)) => Err(unsupported(format!("{} is no job", nothing.what()))),
            Err(refused) => Err(refused.failure),
        }
    }
}

fn understand(mode: Mode, body: &[u8], properties: &Properties, admission: &Admission) -> Result<Intake, Failure> {
    match mode {
        Mode::Structured => cloud_event::structured(body, properties, admission).map(Intake::from),
        Mode::Binary => cloud_event::binary(body, properties, admission).map(Intake::from),
        Mode::Plain => plain(body, properties, admission),
    }
}

fn mode(properties: &Properties) -> Result<Mode, Failure> {
    let binary = properties.cloud_event.is_there();
    let given = properties.content_type.as_deref().unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let shown = quoted(&essence);
    match essence.as_str() {
        "application/cloudevents+json" => Ok(Mode::Structured),
        _ if essence.starts_with("application/cloudevents") => Err(unsupported(format!(
            "content_type is \"{shown}\"; of the forms of a CloudEvent, application/cloudevents+json is read, one event a message"
        ))),
        "" | "application/json" => Ok(if binary { Mode::Binary } else { Mode::Plain }),
        _ if binary && cloud_event::is_json(&essence) => Ok(Mode::Binary),
        _ => Err(unsupported(format!(
            "content_type is \"{shown}\"; a job is sent as application/json or application/cloudevents+json"
        ))),
    }
}

/// Most messages are jobs, so that is tried first: nothing else that is accepted looks like one.
fn plain(body: &[u8], properties: &Properties, admission: &Admission) -> Result<Intake, Failure> {
    let refused = match object::parse(body, "the body") {
        Ok(object) => return object.job(Envelope::of(properties), admission).map(Intake::from),
        Err(refused) => refused,
    };
    let Ok(fields) = Fields::parse(body) else { return Err(refused) };
    if fields.has("key") {
        // A job gone wrong, whatever else is in it: its producer waits for an event.
        return Err(refused);
    }
    if fields.has("specversion") && fields.has("source") {
        return Err(malformed("the body is a CloudEvent; send it with content_type application/cloudevents+json"));
    }
    notification::read(&fields, properties).unwrap_or(Err(refused))
}
