//! Bytes and properties become a [`Job`]: the only place where one can be made.

use crate::failure::{Code, Failure};
use crate::image::ImageRef;
use crate::tap::hex;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

mod amqp10;
mod cloud_event;
mod coding;
mod envelope;
mod fields;
mod intake;
mod metadata;
mod names;
mod notification;
mod object;
mod properties;
mod recognise;
mod salvage;
mod text;

pub use cloud_event::Attributes;
pub use intake::{Intake, NothingAsked, Refused};
pub use metadata::{MAX_METADATA_BYTES, MAX_METADATA_DEPTH, check_metadata};
pub use names::{is_bucket, unquoted};
pub use properties::{MAX_CORRELATION_BYTES, Properties, attribute};
pub use recognise::{REFUSED, Refusal};

/// What an event repeats of the message that it answers.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The job's id; where the message is no job, the best stand-in there is.
    pub job_id: String,
    /// The message's correlation id, else its message id.
    pub correlation_id: Option<String>,
    /// Carried through.
    pub traceparent: Option<String>,
    /// Carried through.
    pub tracestate: Option<String>,
    /// Returned untouched.
    pub metadata: Option<Box<RawValue>>,
    /// Digest of the body of a message that is no job: its event is not that of another such message with the same name.
    pub refused: Option<String>,
}

/// A well-formed job.
#[derive(Clone, Debug)]
pub struct Job {
    origin: Origin,
    image: ImageRef,
    expires_at: Option<OffsetDateTime>,
}

/// What the settings say about which jobs are taken.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The bucket of a job that names none.
    pub default_bucket: Option<String>,
    /// Buckets that may be read; `None` allows any.
    pub buckets: Option<Vec<String>>,
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

    /// The checks that need the settings and the clock.
    pub fn admit(&self, admission: &Admission, now: OffsetDateTime) -> Result<(), Failure> {
        if let Some(buckets) = &admission.buckets
            && !buckets.contains(&self.image.bucket)
        {
            return Err(Failure::new(
                Code::BucketNotAllowed,
                format!("bucket \"{}\" is not in s3.buckets", self.image.bucket),
            ));
        }
        match self.expires_at {
            Some(at) if at <= now => Err(Failure::new(Code::JobExpired, "expires_at has passed")),
            _ => Ok(()),
        }
    }

    /// The job's id: given, else the message's, else derived from bucket, key and version.
    pub fn id(&self) -> &str {
        &self.origin.job_id
    }

    /// The image to judge.
    pub fn image(&self) -> &ImageRef {
        &self.image
    }

    /// What the event repeats.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Origin {
    /// For a message that is not a job: its message id where that is usable, else a hash of its body.
    pub fn of_message(body: &[u8], properties: &Properties) -> Self {
        envelope::Envelope::of(properties).origin_of_refused(body, None)
    }
}

/// `prefix` and 32 hexadecimal digits over length-prefixed parts, so that no two lists of parts collide by concatenation.
pub(crate) fn short_hash(prefix: &str, parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex(prefix, &hasher.finalize()[..16])
}

/// A name of fixed length for a list of texts: 32 hexadecimal digits.
pub fn stable_key(parts: &[&str]) -> String {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    short_hash("", &parts)
}

fn malformed(message: impl Into<String>) -> Failure {
    Failure::new(Code::MalformedJob, message)
}

fn unsupported(message: impl Into<String>) -> Failure {
    Failure::new(Code::UnsupportedMessage, message)
}

#[cfg(test)]
mod tests;
