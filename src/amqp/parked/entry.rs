//! A parked message, read.

use crate::amqp::headers::names::{
    ATTEMPT, CODE, DELIVERIES, DROP_REASON, ERROR, FIRST_SEEN, HTTP_STATUS, IN_DOUBT, PARKED_AT, REDELIVERED, REPLAY,
    STAGE, WORKER,
};
use crate::amqp::headers::{count, dropped, number, read, text};
use crate::amqp::messages::{is_carried, long_correlation, properties_of_copy, with_headers};
use antispoof_core::image::ImageRef;
use antispoof_core::job::{Admission, Intake, Properties};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

/// A message of the parked queue, with everything that another queue gets of it.
#[derive(Clone, Debug)]
pub struct ParkedMessage {
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
    entry: Entry,
}

/// What an operator wants to know of a parked message. Counts that cannot be read are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The job's id; of a message that is no job, the name under which its event went out.
    pub job_id: String,
    /// The failure code. `None`: no worker has written it, so the broker moved the message here by itself.
    pub code: Option<String>,
    /// Where the job failed.
    pub stage: Option<String>,
    /// A sentence about it.
    pub message: Option<String>,
    /// Attempts spent.
    pub attempts: u32,
    /// Calls that may have been paid for without a verdict.
    pub in_doubt: u32,
    /// How often it was replayed.
    pub replay: u32,
    /// When a worker first had it, in milliseconds since 1970.
    pub first_seen_ms: Option<i64>,
    /// When it was parked, in milliseconds since 1970.
    pub parked_at_ms: Option<i64>,
    /// The object's bucket, where one is known.
    pub bucket: Option<String>,
    /// The object's key, where one is known.
    pub key: Option<String>,
    /// The status that the failed request was answered with.
    pub http_status: Option<u16>,
    /// The worker that parked it.
    pub worker: Option<String>,
    /// The message id of the job.
    pub message_id: Option<String>,
    /// The correlation id of the job.
    pub correlation_id: Option<String>,
}

/// Tells one parked message from another, however often each is delivered. Two equal messages have the same.
pub type Fingerprint = [u8; 32];

impl ParkedMessage {
    pub(super) fn of(delivery: Delivery, dead_queue: &str, admission: &Admission) -> Self {
        let Delivery { properties: raw, data: body, .. } = delivery;
        let read = read(&raw);
        let entry = Entry::of(&raw, &read, &body, dead_queue, admission);
        let carried = properties_of_copy(&raw, &read);
        let properties = with_headers(&raw, carried, long_correlation(&read).into_iter(), usize::MAX, is_carried);
        Self { properties, body, entry }
    }

    pub(super) fn imported(raw: &BasicProperties, body: Vec<u8>, admission: &Admission) -> Self {
        let read = read(raw);
        let entry = Entry::of(raw, &read, &body, "", admission);
        let carried = raw.clone().with_headers(FieldTable::default());
        let properties = with_headers(raw, carried, std::iter::empty(), usize::MAX, is_carried);
        Self { properties, body, entry }
    }

    /// What it says.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The message's body, as its producer sent it.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// As this message, and no other, has it.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        // The broker's own headers, which change with each delivery, are not among these.
        hasher.update(format!("{:?}", self.properties).as_bytes());
        hasher.update(&self.body);
        *hasher.finalize().as_bytes()
    }

    /// The properties, within a frame of `frame_max` bytes.
    pub(super) fn within(&self, frame_max: usize) -> BasicProperties {
        let original = &self.properties;
        let bare = original.clone().with_headers(FieldTable::default());
        with_headers(original, bare, std::iter::empty(), frame_max, |_| true)
    }

    /// The properties of the same job, tried anew.
    pub(super) fn replayed(&self, frame_max: usize) -> BasicProperties {
        let original = &self.properties;
        let replays = i64::from(self.entry.replay) + 1;
        // A copy that is published twice is the same generation only where it is older than its result.
        let unknown = number(original, FIRST_SEEN).is_none().then_some((REDELIVERED, AMQPValue::LongLongInt(1)));
        let ours = [(REPLAY, AMQPValue::LongLongInt(replays))].into_iter().chain(unknown);
        let properties = original.clone().with_headers(FieldTable::default());
        with_headers(original, properties, ours, frame_max, |name| !is_of_the_last_generation(name))
    }
}

/// Whether a header is about the tries that ended with the message being parked. How many calls may have been paid for is not.
fn is_of_the_last_generation(name: &str) -> bool {
    [ATTEMPT, CODE, STAGE, ERROR, HTTP_STATUS, WORKER, PARKED_AT, DELIVERIES, DROP_REASON, REPLAY].contains(&name)
}

impl Entry {
    fn of(raw: &BasicProperties, read: &Properties, body: &[u8], dead_queue: &str, admission: &Admission) -> Self {
        let header = |name: &str| raw.headers().as_ref().and_then(|headers| headers.inner().get(name));
        let words = |name: &str| header(name).and_then(text).map(str::to_owned);
        let (job_id, image) = job(body, read, admission);
        let code = words(CODE);
        let message = words(ERROR).or_else(|| {
            let reason = dropped(raw, dead_queue).reason().to_owned();
            code.is_none()
                .then(|| format!("moved here by the broker ({reason}): no worker could read it, and it has no event"))
        });
        let (bucket, key) = image.map(|image| (image.bucket, image.key)).unzip();
        Self {
            job_id,
            code,
            stage: words(STAGE),
            message,
            attempts: count(raw, ATTEMPT),
            in_doubt: count(raw, IN_DOUBT),
            replay: count(raw, REPLAY),
            first_seen_ms: number(raw, FIRST_SEEN),
            parked_at_ms: number(raw, PARKED_AT),
            bucket,
            key,
            http_status: number(raw, HTTP_STATUS).and_then(|status| u16::try_from(status).ok()),
            worker: words(WORKER),
            message_id: read.message_id.clone(),
            correlation_id: read.correlation_id.clone(),
        }
    }
}

/// The name under which the job's event went out, and its object.
fn job(body: &[u8], read: &Properties, admission: &Admission) -> (String, Option<ImageRef>) {
    match Intake::read(body, read, admission) {
        Ok(Intake::Job(job)) => (job.id().to_owned(), Some(job.image().clone())),
        Ok(Intake::Several(_) | Intake::Nothing(_)) => (read.message_id.clone().unwrap_or_default(), None),
        Err(refused) => (refused.origin.job_id, refused.image),
    }
}
