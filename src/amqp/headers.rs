//! AMQP properties in and out. Every `x-*` header stays behind on the way out: a copied `x-death` makes brokers drop or hide the message.

mod room;
mod weight;

pub(super) use weight::Weight;

use super::inbox::JobLease;
use antispoof_core::dropped::Dropped;
use antispoof_core::event::{CONTENT_TYPE, Event};
use antispoof_core::failure::Failure;
use antispoof_core::job::{Properties, attribute};
use antispoof_core::ports::{Lease as _, Spent};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use room::Room;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const ATTEMPT: &str = "as-attempt";
pub(super) const FIRST_SEEN: &str = "as-first-seen";
pub(super) const REPLAY: &str = "as-replay";
pub(super) const IN_DOUBT: &str = "as-in-doubt";
pub(super) const DELIVERIES: &str = "as-deliveries";
/// How many properties and headers of a message have been left out, because they could not be read or carried.
pub(super) const DROPPED: &str = "as-headers-dropped";
/// The broker's own.
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";
/// Where a message has been dead-lettered: the broker's own.
const DEATHS: &str = "x-death";
/// On a copy: the broker had delivered the message before this worker had it, it does not say when.
pub(super) const REDELIVERED: &str = "as-redelivered";
/// What that said of a copy that goes back to where it was dead-lettered to: every `x-` header stays behind.
const DROP_REASON: &str = "as-drop-reason";
const CODE: &str = "as-code";
const STAGE: &str = "as-stage";
const ERROR: &str = "as-error";
const HTTP_STATUS: &str = "as-http-status";
const WORKER: &str = "as-worker";
const PARKED_AT: &str = "as-parked-at";

/// A correlation id that came as `x-correlation-id`, which stays behind, and has no room in the property.
pub(super) const CORRELATION_ID: &str = "as-correlation-id";
/// How kombu has compressed the body.
const COMPRESSION: &str = "compression";
/// `type` of a body that is sections of AMQP 1.0.
const SECTIONS: &str = "amqp-1.0";

const PERSISTENT: u8 = 2;

/// What is written on a message that goes into a delay queue or is parked.
pub(super) struct Notes<'a> {
    pub(super) spent: Spent,
    pub(super) why: Option<&'a Failure>,
    pub(super) worker: &'a str,
    pub(super) parked: bool,
}

/// The properties that have a meaning for the job.
pub(super) fn read(properties: &BasicProperties) -> Properties {
    let short = |value: &Option<ShortString>| value.as_ref().map(|value| value.as_str().to_owned());
    let mut read = Properties {
        content_type: short(properties.content_type()),
        content_encoding: short(properties.content_encoding()),
        message_id: short(properties.message_id()).filter(|id| !id.is_empty()),
        correlation_id: short(properties.correlation_id()).filter(|id| !id.is_empty()),
        ..Properties::default()
    };
    let headers = properties.headers().iter().flat_map(FieldTable::inner);
    let headers: Vec<_> = headers.map(|(name, value)| (name.as_str(), text(value))).collect();
    read.read_headers(&headers);
    read
}

/// A header that is a whole number, however wide its sender made it.
pub(super) fn number(properties: &BasicProperties, name: &str) -> Option<i64> {
    match *properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::ShortShortInt(value) => Some(value.into()),
        AMQPValue::ShortShortUInt(value) => Some(value.into()),
        AMQPValue::ShortInt(value) => Some(value.into()),
        AMQPValue::ShortUInt(value) => Some(value.into()),
        AMQPValue::LongInt(value) => Some(value.into()),
        AMQPValue::LongUInt(value) => Some(value.into()),
        AMQPValue::LongLongInt(value) => Some(value),
        _ => None,
    }
}

/// Why the broker took a message off this queue: as its newest entry about that queue says, else as an earlier copy of it said.
pub(super) fn dropped(properties: &BasicProperties, queue: &str) -> Dropped {
    let headers = properties.headers().as_ref().map(FieldTable::inner);
    let header = |name: &str| headers.and_then(|headers| headers.get(name));
    let deaths = match header(DEATHS) {
        Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice(),
        _ => &[],
    };
    let reason = deaths.iter().find_map(|death| {
        let AMQPValue::FieldTable(death) = death else { return None };
        let field = |name: &str| death.inner().get(name).and_then(text);
        (field("queue") == Some(queue)).then(|| field("reason").unwrap_or_default())
    });
    Dropped::from_reason(reason.or_else(|| header(DROP_REASON).and_then(text)).unwrap_or_default())
}

/// The properties of the copy that replaces a delivery, within a frame of `frame_max` bytes.
pub(super) fn republished(lease: &JobLease, notes: &Notes<'_>, frame_max: usize) -> BasicProperties {
    let original = lease.raw();
    let mut properties = kept(lease);
    if let Some(value) = original.content_type() {
        properties = properties.with_content_type(value.clone());
    }
    if let Some(value) = original.content_encoding() {
        properties = properties.with_content_encoding(value.clone());
    }
    if let Some(value) = original.kind() {
        properties = properties.with_type(value.clone());
    }
    // Not only the property: the name must not stay behind with `x-message-id`.
    if let Some(value) = lease.properties().message_id.as_deref().and_then(|id| ShortString::try_new(id).ok()) {
        properties = properties.with_message_id(value);
    }
    fitted(original, properties, noted(lease, notes), frame_max, travels)
}

/// The properties of one of the messages that a delivery is divided into, without its encoding. The id of the delivery is nobody's: each has one that follows from its object.
pub(super) fn divided(lease: &JobLease, frame_max: usize) -> BasicProperties {
    let original = lease.raw();
    let mut properties = kept(lease).with_content_type("application/json".into());
    if let Some(kind) = original.kind().as_ref().filter(|kind| kind.as_str() != SECTIONS) {
        properties = properties.with_type(kind.clone());
    }
    let read = lease.properties();
    if let (None, Some(id)) = (&read.correlation_id, &read.message_id)
        && let Ok(id) = ShortString::try_new(id.as_str())
    {
        properties = properties.with_correlation_id(id);
    }
    let first_seen = AMQPValue::LongLongInt(lease.parts_first_seen_ms());
    let noted = [(FIRST_SEEN, first_seen)].into_iter().chain(drop_reason(lease)).chain(long_correlation(lease));
    // The parts are plain JSON, whatever the whole was wrapped in.
    let of_the_whole = |name: &str| [ATTEMPT, IN_DOUBT, COMPRESSION].contains(&name) || attribute(name).is_some();
    fitted(original, properties, noted, frame_max, |name| travels(name) && !of_the_whole(name))
}

/// `properties` with what is `noted`, and with the headers of the original that travel. They fit into a frame of `frame_max` bytes: where the
/// message's own headers do not, as many of them as need be are left out and counted.
fn fitted(
    original: &BasicProperties,
    properties: BasicProperties,
    noted: impl Iterator<Item = (&'static str, AMQPValue)>,
    frame_max: usize,
    travels: impl Fn(&str) -> bool,
) -> BasicProperties {
    let mut room = Room::new(frame_max, &properties);
    let mut headers = FieldTable::default();
    for (name, value) in noted {
        room.take(name, &value);
        headers.insert(name.into(), value);
    }
    let earlier = number(original, DROPPED).unwrap_or_default().max(0);
    room.take(DROPPED, &AMQPValue::LongLongInt(earlier));
    let mut dropped = 0;
    let travelling =
        || original.headers().iter().flat_map(FieldTable::inner).filter(|(name, _)| travels(name.as_str()));
    for weight in Weight::KEPT.into_iter().chain([Weight::Foreign]) {
        for (name, value) in travelling().filter(|(name, _)| Weight::of(name.as_str()) == weight) {
            if headers.contains_key(name.as_str()) || name.as_str() == DROPPED {
                continue;
            }
            if room.take(name.as_str(), value) {
                headers.insert(name.clone(), value.clone());
            } else {
                dropped += 1;
            }
        }
    }
    if dropped > 0 {
        tracing::warn!(dropped, "left {dropped} headers out of the copy of a message, for which a frame has no room");
    }
    if dropped > 0 || earlier > 0 {
        headers.insert(DROPPED.into(), AMQPValue::LongLongInt(earlier.saturating_add(dropped)));
    }
    properties.with_headers(headers)
}

/// What we write on the copy.
fn noted<'a>(lease: &JobLease, notes: &Notes<'a>) -> impl Iterator<Item = (&'static str, AMQPValue)> + use<'a> {
    let integer = |value: i64| AMQPValue::LongLongInt(value);
    let Spent { attempts, in_doubt, deliveries } = notes.spent;
    let status = notes.why.and_then(Failure::http_status);
    [
        Some((ATTEMPT, integer(attempts.count().into()))),
        (in_doubt > 0).then(|| (IN_DOUBT, integer(in_doubt.into()))),
        (deliveries > 0).then(|| (DELIVERIES, integer(deliveries.into()))),
        Some((FIRST_SEEN, integer(lease.first_seen_ms()))),
        Some((WORKER, long(notes.worker))),
        notes.why.map(|failure| (CODE, long(failure.code().name()))),
        notes.why.map(|failure| (STAGE, long(failure.code().stage().name()))),
        notes.why.map(|failure| (ERROR, long(failure.message()))),
        status.map(|status| (HTTP_STATUS, integer(status.into()))),
        notes.parked.then(|| (PARKED_AT, integer(now_ms()))),
    ]
    .into_iter()
    .flatten()
    .chain(drop_reason(lease).filter(|_| !notes.parked))
    .chain((lease.redelivered() && !notes.parked).then_some((REDELIVERED, AMQPValue::LongLongInt(1))))
    .chain(long_correlation(lease))
}

/// Why the broker took the message off the job queue, for a copy that has not found its end yet.
fn drop_reason(lease: &JobLease) -> Option<(&'static str, AMQPValue)> {
    lease.dropped().map(|dropped| (DROP_REASON, long(dropped.reason())))
}

/// The correlation id, where the property cannot hold it.
fn long_correlation(lease: &JobLease) -> Option<(&'static str, AMQPValue)> {
    let id = lease.properties().correlation_id.as_deref()?;
    ShortString::try_new(id).is_err().then(|| (CORRELATION_ID, long(id)))
}

/// The properties that a copy has, too, without its headers. Left out on purpose: expiration would lose the message, `user_id` is
/// checked against our own login, `cluster_id` and `reply_to` are not ours.
fn kept(lease: &JobLease) -> BasicProperties {
    let original = lease.raw();
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(value) = lease.properties().correlation_id.as_deref().and_then(|id| ShortString::try_new(id).ok()) {
        properties = properties.with_correlation_id(value);
    }
    if let Some(value) = original.app_id() {
        properties = properties.with_app_id(value.clone());
    }
    if let Some(value) = original.timestamp() {
        properties = properties.with_timestamp(*value);
    }
    if let Some(value) = original.priority() {
        properties = properties.with_priority(*value);
    }
    properties
}

/// The properties of a terminal event: what a consumer routes on, again. They fit into a frame of `frame_max` bytes; the event's body has
/// everything in any case.
pub(super) fn announced(event: &Event, frame_max: usize) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(event.id.as_str().into())
        .with_type(event.kind.into())
        .with_app_id("antispoofd".into())
        .with_timestamp(event.timestamp);
    if let Some(value) = event.correlation_id.as_deref().and_then(|value| ShortString::try_new(value).ok()) {
        properties = properties.with_correlation_id(value);
    }
    let attributes = [
        ("cloudEvents_specversion", "1.0"),
        ("cloudEvents_id", &event.id),
        ("cloudEvents_source", &event.source),
        ("cloudEvents_type", event.kind),
        ("cloudEvents_subject", &event.subject),
        ("cloudEvents_time", &event.time),
        ("cloudEvents_datacontenttype", "application/json"),
    ];
    let trace = [("traceparent", event.traceparent.as_deref()), ("tracestate", event.tracestate.as_deref())];
    let trace = trace.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut room = Room::new(frame_max, &properties);
    let mut headers = FieldTable::default();
    for (name, value) in attributes.into_iter().chain(trace) {
        let value = long(value);
        if room.take(name, &value) {
            headers.insert(name.into(), value);
        }
    }
    properties.with_headers(headers)
}

/// The properties of a new job.
pub fn job_message(id: &str) -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.into())
        .with_app_id("antispoofd".into())
        .with_timestamp(u64::try_from(now_ms() / 1000).unwrap_or_default())
}

/// CC makes the broker route a copy to wherever it says, each time the message is published.
fn travels(name: &str) -> bool {
    let ours_or_the_broker_s = name.starts_with("x-") || name.starts_with("X-");
    let last_failure = [CODE, STAGE, ERROR, HTTP_STATUS, WORKER, PARKED_AT, DROP_REASON, REDELIVERED].contains(&name);
    !ours_or_the_broker_s
        && !last_failure
        && name != DELIVERIES
        && !name.eq_ignore_ascii_case("cc")
        && !name.eq_ignore_ascii_case("bcc")
}

/// Trace headers come as any of three types, depending on the client library.
fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(value) => str::from_utf8(value.as_bytes()).ok(),
        AMQPValue::ShortString(value) => Some(value.as_str()),
        AMQPValue::ByteArray(value) => str::from_utf8(value.as_slice()).ok(),
        _ => None,
    }
}

fn long(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
