//! What can be read from a message that is no job: its producer wants to know which of its messages it was.

use super::attributes::Attributes;
use super::envelope::Envelope;
use super::fields::Fields;
use super::metadata::check_metadata;
use super::model::{Admission, MAX_BODY_BYTES, Refused};
use super::names;
use super::properties::Properties;
use crate::failure::Failure;
use crate::image::ImageRef;

/// Puts a name and what else is sound on a message that is none. Two different bodies never share an event, whatever they are called.
/// `text` is what could be read of the body.
pub(super) fn refused(
    failure: Failure,
    body: &[u8],
    text: &[u8],
    properties: &Properties,
    admission: &Admission,
) -> Refused {
    let readable = if text.len() > MAX_BODY_BYTES { &[][..] } else { text };
    let fields = Fields::parse(readable).ok().filter(|fields| !is_notification(fields));
    let event = fields.as_ref().filter(|fields| fields.has("specversion"));
    let envelope = match event {
        Some(event) => Attributes::of(event).envelope(properties),
        None if properties.cloud_event.is_there() => properties.cloud_event.envelope(properties),
        None => Envelope::of(properties),
    };
    let job = match event {
        Some(event) => event.get("data").and_then(|data| Fields::parse(data.get().as_bytes()).ok()),
        None => fields,
    };
    let Some(job) = job else {
        return Refused { failure, origin: envelope.origin_of_refused(body, None), image: None };
    };
    let mut origin = envelope.origin_of_refused(body, job.text("id"));
    let metadata = job.get("metadata").filter(|metadata| check_metadata(metadata.get()).is_ok());
    origin.metadata = metadata.map(ToOwned::to_owned);
    Refused { failure, origin, image: image(&job, admission) }
}

/// Its own `id`, where it has one, is no job's.
fn is_notification(fields: &Fields<'_>) -> bool {
    ["Records", "detail-type", "TopicArn", "EventName"].iter().any(|name| fields.has(name))
}

/// Bucket and key, if an object of that name can be. The pins are left out if they are wrong.
fn image(job: &Fields<'_>, admission: &Admission) -> Option<ImageRef> {
    let bucket = if job.has("bucket") { job.text("bucket") } else { admission.default_bucket.clone() }?;
    let key = job.text("key")?;
    let plain = names::image(&bucket, key, None, None).ok()?;
    let (version_id, etag) = (job.text("version_id"), job.text("etag"));
    Some(names::image(&bucket, plain.key.clone(), version_id, etag.as_deref()).unwrap_or(plain))
}
