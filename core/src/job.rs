//! Bytes and properties become a [`Job`]: the only place where one can be made.

use crate::failure::{Code, Failure};
use crate::image::ImageRef;
use crate::tap::hex;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Largest `metadata`, in bytes as written.
pub const MAX_METADATA_BYTES: usize = 4 * 1024;

const MAX_ID_BYTES: usize = 128;
const MAX_KEY_BYTES: usize = 1024;
const MAX_VERSION_BYTES: usize = 1024;
const MAX_ETAG_BYTES: usize = 256;
/// A job is a few hundred bytes; more than this is somebody's mistake (an image in the message).
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What of a message's properties has a meaning for the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// AMQP `content_type`.
    pub content_type: Option<String>,
    /// AMQP `message_id`.
    pub message_id: Option<String>,
    /// AMQP `correlation_id`.
    pub correlation_id: Option<String>,
    /// Header `traceparent` (W3C Trace Context), carried through.
    pub traceparent: Option<String>,
    /// Header `tracestate`, carried through.
    pub tracestate: Option<String>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    id: Option<String>,
    bucket: Option<String>,
    key: String,
    version_id: Option<String>,
    etag: Option<String>,
    expires_at: Option<String>,
    metadata: Option<Box<RawValue>>,
}

impl Job {
    /// Reads a message. The failure says which field, where, and what to write instead.
    pub fn decode(body: &[u8], properties: &Properties, admission: &Admission) -> Result<Self, Failure> {
        accept_content_type(properties.content_type.as_deref())?;
        if body.len() > MAX_BODY_BYTES {
            return Err(malformed(format!(
                "the body has {} bytes; a job names an image, it does not hold one",
                body.len()
            )));
        }
        // The derived reader would take an array for the fields in their order.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(malformed("the body is not a job: it is an array, not an object"));
        }
        let body: Body = serde_json::from_slice(body).map_err(|error| malformed(explain(&error)))?;
        let image = image(&body, admission)?;
        let expires_at = body.expires_at.as_deref().map(expiry).transpose()?;
        if let Some(metadata) = &body.metadata {
            check_metadata(metadata.get())?;
        }
        let id = match (body.id, &properties.message_id) {
            (Some(id), _) => checked_id(id, "id")?,
            (None, Some(id)) => checked_id(id.clone(), "the message_id property, which stands in for id,")?,
            (None, None) => derived_id(&image),
        };
        Ok(Self { origin: Origin { job_id: id, metadata: body.metadata, ..carried(properties) }, image, expires_at })
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
        let job_id = match &properties.message_id {
            Some(id) if is_id(id) => id.clone(),
            _ => short_hash("msg-", &[body]),
        };
        Self { job_id, ..carried(properties) }
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

fn carried(properties: &Properties) -> Origin {
    Origin {
        job_id: String::new(),
        correlation_id: properties.correlation_id.clone().or_else(|| properties.message_id.clone()),
        traceparent: properties.traceparent.clone(),
        tracestate: properties.tracestate.clone(),
        metadata: None,
    }
}

fn accept_content_type(content_type: Option<&str>) -> Result<(), Failure> {
    let Some(given) = content_type else {
        return Ok(());
    };
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.is_empty() || essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Failure::new(
        Code::UnsupportedMessage,
        format!("content_type is \"{essence}\"; a job is sent as application/json"),
    ))
}

fn explain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    if error.is_syntax() || error.is_eof() {
        format!("the body is not JSON: {message}")
    } else {
        format!("the body is not a job: {message}")
    }
}

fn image(body: &Body, admission: &Admission) -> Result<ImageRef, Failure> {
    let bucket = body
        .bucket
        .as_ref()
        .or(admission.default_bucket.as_ref())
        .ok_or_else(|| malformed("bucket is missing and s3.default_bucket is not set"))?;
    if !is_bucket(bucket) {
        return Err(malformed(
            "bucket: 3 to 63 of a-z, 0-9, dot and hyphen, starting and ending with a letter or digit, no two dots in a row",
        ));
    }
    check_key(&body.key)?;
    if let Some(version) = &body.version_id
        && !is_token(version, MAX_VERSION_BYTES)
    {
        return Err(malformed("version_id: 1 to 1024 printable ASCII characters without spaces"));
    }
    let etag = body.etag.as_deref().map(unquoted);
    if let Some(etag) = etag
        && (!is_token(etag, MAX_ETAG_BYTES) || etag.contains('"'))
    {
        return Err(malformed("etag: as S3 gives it, with or without its quotes"));
    }
    Ok(ImageRef {
        bucket: bucket.clone(),
        key: body.key.clone(),
        version_id: body.version_id.clone(),
        etag: etag.map(str::to_owned),
    })
}

/// S3's own rules for the names of general purpose buckets, as far as they keep a name inside its place in a URL.
pub fn is_bucket(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|&byte| alphanumeric(byte) || byte == b'.' || byte == b'-')
        && alphanumeric(bytes[0])
        && alphanumeric(bytes[bytes.len() - 1])
        && !name.contains("..")
}

fn check_key(key: &str) -> Result<(), Failure> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(malformed("key: 1 to 1024 bytes"));
    }
    if key.contains(char::is_control) {
        return Err(malformed("key: control characters are refused"));
    }
    // Every URL parser on the way folds such segments, so that the request would reach another object, even another bucket.
    if key.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(malformed("key: a path segment of \".\" or \"..\" cannot be asked for safely; rename the object"));
    }
    Ok(())
}

fn expiry(text: &str) -> Result<OffsetDateTime, Failure> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| malformed("expires_at: a time as in RFC 3339, for example \"2026-11-22T22:00:00Z\""))
}

fn check_metadata(text: &str) -> Result<(), Failure> {
    if !text.starts_with('{') {
        return Err(malformed("metadata: a JSON object"));
    }
    if text.len() > MAX_METADATA_BYTES {
        return Err(malformed(format!("metadata has {} bytes; at most {MAX_METADATA_BYTES}", text.len())));
    }
    Ok(())
}

fn checked_id(id: String, what: &str) -> Result<String, Failure> {
    if is_id(&id) {
        Ok(id)
    } else {
        Err(malformed(format!("{what} must be 1 to 128 characters of printable ASCII without spaces")))
    }
}

fn derived_id(image: &ImageRef) -> String {
    let version = image.version_id.as_deref().or(image.etag.as_deref()).unwrap_or_default();
    short_hash("obj-", &[image.bucket.as_bytes(), image.key.as_bytes(), version.as_bytes()])
}

fn is_id(text: &str) -> bool {
    is_token(text, MAX_ID_BYTES)
}

fn is_token(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An entity tag without the quotes that HTTP puts around it.
pub fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(etag)
}

fn malformed(message: impl Into<String>) -> Failure {
    Failure::new(Code::MalformedJob, message)
}

#[cfg(test)]
mod tests;
