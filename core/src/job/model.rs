//! What a message can be: a job, several, none, or refused. No reading here; [`super::intake`] makes these from bytes.

use crate::failure::{Code, Failure};
use crate::image::ImageRef;
use serde_json::value::RawValue;
use time::OffsetDateTime;

/// A job is a few hundred bytes, a notification a thousand; more than this is a mistake (an image in the message).
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// What a message asks for.
#[derive(Debug)]
pub enum Intake {
    /// One image is to be checked.
    Job(Box<Job>),
    /// Several are: the body of a message for each. Each has an id that follows from its object, and ends by itself.
    Several(Vec<Vec<u8>>),
    /// None: the message is about something else, and no producer waits for an event.
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

impl Origin {
    /// The trace id of `traceparent`, where that is well-formed (W3C Trace Context): 32 hexadecimal digits, not all zero.
    pub fn trace_id(&self) -> Option<&str> {
        let mut fields = self.traceparent.as_deref()?.split('-');
        let is_hex = |field: &str, length| {
            field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let version = fields.next().filter(|version| is_hex(version, 2) && *version != "ff")?;
        let trace = fields.next().filter(|trace| is_hex(trace, 32) && trace.bytes().any(|byte| byte != b'0'))?;
        let parent_and_flags = is_hex(fields.next()?, 16) && is_hex(fields.next()?, 2);
        // Later versions may have more fields.
        (parent_and_flags && (version != "00" || fields.next().is_none())).then_some(trace)
    }
}

/// A well-formed job.
#[derive(Clone, Debug)]
pub struct Job {
    pub(super) origin: Origin,
    pub(super) image: ImageRef,
    pub(super) expires_at: Option<OffsetDateTime>,
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

    /// The image to check.
    pub fn image(&self) -> &ImageRef {
        &self.image
    }

    /// What the event repeats.
    pub fn origin(&self) -> &Origin {
        &self.origin
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

pub(super) fn malformed(message: impl Into<String>) -> Failure {
    Failure::new(Code::MalformedJob, message)
}

pub(super) fn unsupported(message: impl Into<String>) -> Failure {
    Failure::new(Code::UnsupportedMessage, message)
}
