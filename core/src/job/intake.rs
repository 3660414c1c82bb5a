//! What a message is: by its content type, then by the CloudEvents headers, then by the shape of its body.

use super::envelope::Envelope;
use super::fields::Fields;
use super::{
    Admission, Job, Origin, Properties, cloud_event, malformed, notification, object, recognise, salvage, text,
    unsupported,
};
use crate::failure::{Failure, quoted};
use crate::image::ImageRef;

/// A job is a few hundred bytes, a notification a thousand; more than this is somebody's mistake (an image in the message).
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// What a message asks for.
#[derive(Debug)]
pub enum Intake {
    /// One image is to be judged.
    Job(Box<Job>),
    /// Several are: the body of a message for each. Each has an id that follows from its object, and ends by itself.
    Several(Vec<Vec<u8>>),
    /// None: the message is about something else, and nobody waits for an answer.
    Nothing(NothingAsked),
}

/// Proof that a message asks for nothing. Made by [`Intake::read`] alone, so that nothing else is removed without an answer.
#[derive(Debug)]
#[must_use = "the message still has to be removed"]
pub struct NothingAsked {
    what: String,
}

/// A message that is no job, and what could be saved from it.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub failure: Failure,
    /// Under which name its event goes out.
    pub origin: Origin,
    /// Which image it was probably about.
    pub image: Option<ImageRef>,
}

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

impl NothingAsked {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }

    /// What the message is, for the log.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl From<Job> for Intake {
    fn from(job: Job) -> Self {
        Self::Job(Box::new(job))
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
        // A job gone wrong, whatever else is in it: somebody waits for it.
        return Err(refused);
    }
    if fields.has("specversion") && fields.has("source") {
        return Err(malformed("the body is a CloudEvent; send it with content_type application/cloudevents+json"));
    }
    notification::read(&fields, properties).unwrap_or(Err(refused))
}
