//! Our own job object, wherever it stands: it is the body, or the data of a CloudEvent.

use super::envelope::Envelope;
use super::metadata::check_metadata;
use super::model::{Admission, Job, malformed};
use super::names;
use crate::failure::{Failure, quoted};
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    id: Option<String>,
    bucket: Option<String>,
    key: String,
    version_id: Option<String>,
    etag: Option<String>,
    expires_at: Option<String>,
    metadata: Option<Box<RawValue>>,
}

/// Reads the object. `what` is what a complaint calls the text: the body, or the data.
pub(super) fn parse(text: &[u8], what: &str) -> Result<Object, Failure> {
    // The derived reader would take an array for the fields in their order.
    if text.trim_ascii_start().starts_with(b"[") {
        return Err(malformed(format!("{what} is not a job: it is an array, not an object")));
    }
    serde_json::from_slice(text).map_err(|error| malformed(explain(&error, what)))
}

impl Object {
    /// Checks every field.
    pub(super) fn job(self, envelope: Envelope, admission: &Admission) -> Result<Job, Failure> {
        let bucket = self
            .bucket
            .as_ref()
            .or(admission.default_bucket.as_ref())
            .ok_or_else(|| malformed("bucket is missing and s3.default_bucket is not set"))?;
        let image = names::image(bucket, self.key, self.version_id, self.etag.as_deref())?;
        let expires_at = self.expires_at.as_deref().map(expiry).transpose()?;
        if let Some(metadata) = &self.metadata {
            check_metadata(metadata.get())?;
        }
        let id = envelope.id(self.id, &image)?;
        Ok(Job { origin: envelope.origin(id, self.metadata), image, expires_at })
    }
}

/// The parser's complaint, put so that it says what is not what.
pub(super) fn explain(error: &serde_json::Error, what: &str) -> String {
    let message = error.to_string();
    if error.is_syntax() || error.is_eof() {
        format!("{what} is not JSON: {message}")
    } else {
        format!("{what} is not a job: {}", without_values(&message))
    }
}

/// The complaint without the value it is about: that may be a key, a name, or the image itself.
pub(super) fn without_values(message: &str) -> String {
    match (message.starts_with("invalid "), message.split_once(", expected ")) {
        (true, Some((_, expected))) => format!("a value has the wrong type, expected {expected}"),
        (true, None) => "a value has the wrong type".to_owned(),
        (false, _) => with_short_name(message),
    }
}

/// The complaint with a name of the sender's own choice cut short. The name can hold anything, also what looks like the end of it.
fn with_short_name(message: &str) -> String {
    const BEFORE: &str = "unknown field `";
    const AFTER: &str = "`, expected ";

    let named = message.strip_prefix(BEFORE).and_then(|rest| rest.rsplit_once(AFTER));
    named.map_or_else(|| message.to_owned(), |(name, after)| format!("{BEFORE}{}{AFTER}{after}", quoted(name)))
}

fn expiry(text: &str) -> Result<OffsetDateTime, Failure> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| malformed("expires_at: a time as in RFC 3339, for example \"2026-11-22T22:00:00Z\""))
}
