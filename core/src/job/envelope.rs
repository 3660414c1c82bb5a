//! What surrounds a job object: its name where it gives itself none, and what is carried through to the event.

use super::hash::short_hash;
use super::model::{Origin, malformed};
use super::names::{ID_RULE, is_id};
use super::properties::Properties;
use crate::failure::Failure;
use crate::image::ImageRef;
use serde_json::value::RawValue;

/// A message without its job object.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    stand_in: Option<StandIn>,
    pub(super) correlation_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) tracestate: Option<String>,
    message_id: Option<String>,
}

/// What names a job that does not name itself.
#[derive(Clone, Debug)]
struct StandIn {
    id: String,
    what: &'static str,
}

impl Origin {
    /// For a message that is not a job: its message id where that is usable, else a hash of its body.
    pub fn of_message(body: &[u8], properties: &Properties) -> Self {
        Envelope::of(properties).origin_of_refused(body, None)
    }
}

impl Envelope {
    /// Of a message that is no CloudEvent.
    pub(super) fn of(properties: &Properties) -> Self {
        let what = "the message_id property, which stands in for id,";
        Self {
            stand_in: properties.message_id.clone().map(|id| StandIn { id, what }),
            correlation_id: properties.correlation_id.clone().or_else(|| properties.message_id.clone()),
            traceparent: properties.traceparent.clone(),
            tracestate: properties.tracestate.clone(),
            message_id: properties.message_id.clone(),
        }
    }

    /// Names the job by another id than the message's.
    pub(super) fn named(self, id: Option<String>, what: &'static str) -> Self {
        match id {
            Some(id) => Self { stand_in: Some(StandIn { id, what }), ..self },
            None => self,
        }
    }

    /// The id of a job: its own, else the stand-in, else one that follows from the object.
    pub(super) fn id(&self, own: Option<String>, image: &ImageRef) -> Result<String, Failure> {
        let (id, what) = match (own, &self.stand_in) {
            (Some(id), _) => (id, "id"),
            (None, Some(StandIn { id, what })) => (id.clone(), *what),
            (None, None) => return Ok(derived_id(image)),
        };
        if is_id(&id) { Ok(id) } else { Err(malformed(format!("{what} must be {ID_RULE}"))) }
    }

    pub(super) fn origin(self, job_id: String, metadata: Option<Box<RawValue>>) -> Origin {
        Origin {
            job_id,
            correlation_id: self.correlation_id,
            traceparent: self.traceparent,
            tracestate: self.tracestate,
            metadata,
            refused: None,
        }
    }

    /// The origin of a message that is no job, under the id that could be saved from it, the stand-in, the message's id, or a hash.
    pub(super) fn origin_of_refused(self, body: &[u8], saved: Option<String>) -> Origin {
        let stand_in = self.stand_in.as_ref().map(|stand_in| stand_in.id.clone());
        let named = [saved, stand_in, self.message_id.clone()].into_iter().flatten().find(|id| is_id(id));
        let job_id = named.unwrap_or_else(|| short_hash("msg-", &[body]));
        Origin { refused: Some(short_hash("", &[body])), ..self.origin(job_id, None) }
    }
}

fn derived_id(image: &ImageRef) -> String {
    short_hash("obj-", &[image.bucket.as_bytes(), image.key.as_bytes(), image.asked().as_bytes()])
}
