//! Bucket notifications: an upload is a job, without a producer in between. As MinIO, RustFS, Ceph, versitygw and AWS S3 send them, bare, in an SNS
//! envelope, or as an event of EventBridge.

use super::envelope::Envelope;
use super::fields::Fields;
use super::model::{Intake, Job, NothingAsked, malformed, unsupported};
use super::names::{self, unquoted};
use super::properties::Properties;
use crate::failure::Failure;
use crate::image::{ImageRef, NULL_VERSION};
use keys::Keys;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

mod form;
mod keys;

/// The events after which there is new content to check.
const CREATIONS: [&str; 4] = ["Put", "Post", "Copy", "CompleteMultipartUpload"];

/// Families of events whose every kind leaves the content as it was, or takes it away. What is not listed is not known, and not dismissed.
const OTHER_FAMILIES: [&str; 10] = [
    "ObjectRemoved",
    "ObjectTagging",
    "ObjectAcl",
    "ObjectRestore",
    "ObjectAccessed",
    "ObjectTransition",
    "Replication",
    "LifecycleExpiration",
    "LifecycleDelMarkerExpiration",
    "Scanner",
];

/// The same, of names without a kind.
const OTHER_EVENTS: [&str; 3] = ["ReducedRedundancyLostObject", "LifecycleTransition", "IntelligentTiering"];

/// The same, of EventBridge.
const OTHER_DETAILS: [&str; 9] = [
    "Object Deleted",
    "Object Restore Initiated",
    "Object Restore Completed",
    "Object Restore Expired",
    "Object Storage Class Changed",
    "Object Access Tier Changed",
    "Object ACL Updated",
    "Object Tags Added",
    "Object Tags Deleted",
];

/// Most records in one message. Each becomes a message of its own, confirmed one after the other, while this one waits for its ack.
const MAX_RECORDS: usize = 1000;

/// Events of the same family that leave the content as it was.
const ATTRIBUTES: [&str; 4] = ["PutTagging", "DeleteTagging", "PutRetention", "PutLegalHold"];

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    name: String,
    #[serde(rename = "eventSource")]
    source: String,
    #[serde(rename = "eventVersion")]
    version: Option<String>,
    #[serde(rename = "userIdentity")]
    user: Option<Value>,
    s3: Option<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    #[serde(rename = "versionId", alias = "version-id")]
    version_id: Option<String>,
    #[serde(rename = "eTag", alias = "etag")]
    etag: Option<String>,
    size: Option<u64>,
}

/// `None` when the object with these fields is no notification of any kind.
pub(super) fn read(fields: &Fields<'_>, properties: &Properties) -> Option<Result<Intake, Failure>> {
    if let Some(inner) = in_sns_envelope(fields) {
        let inner = inner.as_ref().map_err(Clone::clone).and_then(|inner| {
            let fields = Fields::parse(inner.as_bytes())
                .map_err(|_| unsupported("the SNS message's Message is no notification of a bucket"))?;
            bare(&fields, properties)
                .unwrap_or_else(|| Err(unsupported("the SNS message's Message is no notification of a bucket")))
        });
        return Some(inner);
    }
    bare(fields, properties)
}

/// What subscribers of an SNS topic get, unless they ask for raw delivery.
fn in_sns_envelope(fields: &Fields<'_>) -> Option<Result<String, Failure>> {
    if !(fields.has("Type") && fields.has("TopicArn")) {
        return None;
    }
    Some(match (fields.text("Type").as_deref(), fields.text("Message")) {
        (Some("Notification"), Some(message)) => Ok(message),
        _ => Err(unsupported("an SNS message that is no Notification; confirm subscriptions elsewhere")),
    })
}

fn bare(fields: &Fields<'_>, properties: &Properties) -> Option<Result<Intake, Failure>> {
    let is_test = fields.text("Event").is_some_and(|event| event == "s3:TestEvent");
    let several = [is_test, fields.has("detail-type"), fields.has("Records")].into_iter().filter(|it| *it).count() > 1;
    if several {
        return Some(Err(unsupported(
            "the body is more than one kind of notification (s3:TestEvent, detail-type, Records)",
        )));
    }
    if is_test {
        return Some(Ok(Intake::Nothing(NothingAsked::new("s3:TestEvent"))));
    }
    if fields.has("detail-type") && fields.text("source").is_some_and(|source| source == "aws.s3") {
        return Some(of_event_bridge(fields, properties));
    }
    fields.has("Records").then(|| of_records(fields, properties))
}

fn of_records(fields: &Fields<'_>, properties: &Properties) -> Result<Intake, Failure> {
    let records: Vec<&RawValue> = fields
        .get("Records")
        .and_then(|records| serde_json::from_str(records.get()).ok())
        .ok_or_else(|| malformed("Records: an array, and given once"))?;
    if records.len() > MAX_RECORDS {
        return Err(malformed(format!(
            "Records has {} records; at most {MAX_RECORDS} are read from one message",
            records.len()
        )));
    }
    // What cannot be read is kept: it has an end of its own.
    let asking: Vec<&RawValue> = records.iter().copied().filter(|record| asks(record)).collect();
    match asking.as_slice() {
        [] if records.is_empty() => Err(malformed("Records is empty")),
        [] => Ok(Intake::Nothing(NothingAsked::new(format!("a notification of {}", kind(records[0]))))),
        [one] => of_record(one, properties).map(Intake::from),
        several => Ok(Intake::Several(several.iter().map(|record| alone(record)).collect())),
    }
}

/// A record as a notification of its own, word for word.
fn alone(record: &RawValue) -> Vec<u8> {
    format!("{{\"Records\":[{}]}}", record.get()).into_bytes()
}

fn asks(record: &RawValue) -> bool {
    let Ok(record) = serde_json::from_str::<Record>(record.get()) else { return true };
    if !record.is_s3() || !record.is_version_2() {
        return true;
    }
    match record.event() {
        Some(("ObjectCreated", kind)) if CREATIONS.contains(&kind) => {
            !record.s3.as_ref().is_some_and(|s3| s3.object.marks_a_folder())
        }
        Some(("ObjectCreated", kind)) => !ATTRIBUTES.contains(&kind),
        Some((family, _)) => !OTHER_FAMILIES.contains(&family),
        None => !OTHER_EVENTS.contains(&record.bare_name()),
    }
}

/// The name of an event, for the log, if it is fit for one.
fn kind(record: &RawValue) -> String {
    let named = serde_json::from_str::<Record>(record.get()).map(|record| record.name).unwrap_or_default();
    named.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ':').take(64).collect()
}

fn of_record(record: &RawValue, properties: &Properties) -> Result<Job, Failure> {
    let record: Record = typed(record, "the record")?;
    if !record.is_s3() {
        return Err(unsupported("eventSource: notifications of a bucket are read (aws:s3, minio:s3, rustfs:s3)"));
    }
    if !record.is_version_2() {
        return Err(unsupported("eventVersion: 2.x is read"));
    }
    match record.event() {
        Some(("ObjectCreated", kind)) if CREATIONS.contains(&kind) => {}
        _ => {
            return Err(unsupported(
                "eventName: is not known; ObjectCreated:Put, :Post, :Copy and :CompleteMultipartUpload are jobs",
            ));
        }
    }
    let plain = record.writes_plain_keys();
    let Some(Entity { bucket, object }) = record.s3 else { return Err(malformed("the record has no s3")) };
    let keys = if plain { Keys::plain(&object.key) } else { Keys::encoded(&object.key)? };
    job(&bucket.name, keys, &object, properties)
}

/// Its keys are taken as they are: unlike those of the other notifications, they are not encoded.
fn of_event_bridge(fields: &Fields<'_>, properties: &Properties) -> Result<Intake, Failure> {
    let kind = fields.text("detail-type").unwrap_or_default();
    if OTHER_DETAILS.contains(&kind.as_str()) {
        let kind: String = kind.chars().filter(char::is_ascii_graphic).take(64).collect();
        return Ok(Intake::Nothing(NothingAsked::new(format!("an EventBridge event {kind}"))));
    }
    if kind != "Object Created" {
        return Err(unsupported("detail-type: is not known; Object Created is a job"));
    }
    let detail = fields.get("detail").ok_or_else(|| malformed("the EventBridge event has no detail"))?;
    let Entity { bucket, object } = typed(detail, "detail")?;
    if object.marks_a_folder() {
        return Ok(Intake::Nothing(NothingAsked::new("an EventBridge event of a folder")));
    }
    job(&bucket.name, Keys::only(&object.key), &object, properties).map(Intake::from)
}

fn job(bucket: &str, keys: Keys, object: &Object, properties: &Properties) -> Result<Job, Failure> {
    // Where versions were suspended, "null" is the version of whatever was written last: the ETag says more.
    let version_id = object.version_id.clone().filter(|version| !version.is_empty() && version != NULL_VERSION);
    // MinIO notifies of an encrypted upload by form with a tag of its own that no GET repeats: such a tag is no pin.
    let etag = object.etag.as_deref().map(unquoted).filter(|etag| names::is_md5(etag));
    let image = names::image(bucket, keys.first, version_id, etag)?;
    let other_key = keys.other.filter(|_| image.pin().is_some());
    let image = ImageRef { other_key, ..image };
    let envelope = Envelope::of(properties);
    let id = envelope.id(None, &image)?;
    Ok(Job { origin: envelope.origin(id, None), image, expires_at: None })
}

fn typed<T: DeserializeOwned>(text: &RawValue, what: &str) -> Result<T, Failure> {
    serde_json::from_str(text.get()).map_err(|error| {
        malformed(format!("{what} is not as S3 writes it: {}", super::object::without_values(&error.to_string())))
    })
}

impl Object {
    /// Consoles make such objects for what they show as folders. MinIO leaves a size of 0 out.
    fn marks_a_folder(&self) -> bool {
        let ends = ["/", "%2F", "%2f"].iter().any(|slash| self.key.ends_with(slash));
        self.size.unwrap_or(0) == 0 && ends
    }
}

impl Record {
    /// Family and kind. AWS leaves out the `s3:` that the others write.
    fn event(&self) -> Option<(&str, &str)> {
        self.bare_name().split_once(':')
    }

    fn bare_name(&self) -> &str {
        self.name.strip_prefix("s3:").unwrap_or(&self.name)
    }

    fn is_version_2(&self) -> bool {
        self.version.as_ref().is_none_or(|version| version.starts_with("2."))
    }

    fn is_s3(&self) -> bool {
        self.source.ends_with(":s3")
    }

    /// True for the writers that do not encode keys: Ceph, and versitygw, which calls itself `aws:s3` as AWS does and is known by how it writes
    /// `PrincipalId`.
    fn writes_plain_keys(&self) -> bool {
        self.source == "ceph:s3" || self.user.as_ref().is_some_and(|user| user.get("PrincipalId").is_some())
    }
}
