//! The properties of the messages that we publish. Every `x-*` header stays behind: a copied `x-death` makes brokers drop or
//! hide the message.

use super::frame_budget::FrameBudget;
use super::headers::names::{
    ATTEMPT, CODE, COMPRESSION, CORRELATION_ID, DELIVERIES, DROP_REASON, DROPPED, ERROR, FIRST_SEEN, HTTP_STATUS,
    IN_DOUBT, PARKED_AT, REDELIVERED, STAGE, TRACEPARENT, TRACESTATE, WORKER,
};
use super::headers::{HeaderPriority, now_ms, number};
use super::inbox::JobLease;
use antispoof_core::event::{CONTENT_TYPE, Event};
use antispoof_core::failure::Failure;
use antispoof_core::job::{Properties, attribute};
use antispoof_core::ports::{Lease as _, Spent};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// `type` of a body that consists of sections of AMQP 1.0.
const SECTIONS: &str = "amqp-1.0";

const PERSISTENT: u8 = 2;

/// What the headers of a copy say about the job.
pub(super) struct CopyNotes<'a> {
    pub(super) spent: Spent,
    /// The failure that the copy is published for, if it is.
    pub(super) why: Option<&'a Failure>,
    pub(super) worker: &'a str,
    /// The copy is parked, so the job has its end.
    pub(super) parked: bool,
}

/// The properties of the copy that replaces a delivery, within a frame of `frame_max` bytes.
pub(super) fn copy_properties(lease: &JobLease, notes: &CopyNotes<'_>, frame_max: usize) -> BasicProperties {
    let properties = properties_of_copy(lease.raw(), lease.properties());
    let ours = headers_of_copy(lease, notes).chain(trace(lease));
    let is_kept = |name: &str| is_copied(name) && !is_of_another_trace(lease, name);
    with_headers(lease.raw(), properties, ours, frame_max, is_kept)
}

/// The properties of a copy of a message, without the headers; `read` is what they mean.
pub(super) fn properties_of_copy(original: &BasicProperties, read: &Properties) -> BasicProperties {
    let mut properties = kept_properties(original, read);
    if let Some(value) = original.content_type() {
        properties = properties.with_content_type(value.clone());
    }
    if let Some(value) = original.content_encoding() {
        properties = properties.with_content_encoding(value.clone());
    }
    if let Some(value) = original.kind() {
        properties = properties.with_type(value.clone());
    }
    // The id may have come as `x-message-id`, which stays behind.
    if let Some(value) = read.message_id.as_deref().and_then(|id| ShortString::try_new(id).ok()) {
        properties = properties.with_message_id(value);
    }
    properties
}

/// The properties of one of the messages that a delivery is fanned out into. It has no id: the id of its job follows from its
/// object.
pub(super) fn part_properties(lease: &JobLease, frame_max: usize) -> BasicProperties {
    let original = lease.raw();
    let mut properties = kept_properties(original, lease.properties()).with_content_type("application/json".into());
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
    let ours =
        [(FIRST_SEEN, first_seen)].into_iter().chain(drop_reason(lease)).chain(long_correlation(lease.properties()));
    let ours = ours.chain(trace(lease));
    // A part is plain JSON, however the whole was encoded.
    let of_the_whole = |name: &str| [ATTEMPT, IN_DOUBT, COMPRESSION].contains(&name) || attribute(name).is_some();
    let is_kept = |name: &str| is_copied(name) && !of_the_whole(name) && !is_of_another_trace(lease, name);
    with_headers(original, properties, ours, frame_max, is_kept)
}

/// `properties` with the headers `ours` and those of the original that are copied, within a frame of `frame_max` bytes. Headers of
/// the original for which there is no room are left out and counted.
pub(super) fn with_headers(
    original: &BasicProperties,
    properties: BasicProperties,
    ours: impl Iterator<Item = (&'static str, AMQPValue)>,
    frame_max: usize,
    is_copied: impl Fn(&str) -> bool,
) -> BasicProperties {
    let mut budget = FrameBudget::new(frame_max, &properties);
    let mut headers = FieldTable::default();
    for (name, value) in ours {
        budget.take(name, &value);
        headers.insert(name.into(), value);
    }
    let earlier = number(original, DROPPED).unwrap_or_default().max(0);
    budget.take(DROPPED, &AMQPValue::LongLongInt(earlier));
    let mut dropped = 0;
    let copied = || original.headers().iter().flat_map(FieldTable::inner).filter(|(name, _)| is_copied(name.as_str()));
    for priority in HeaderPriority::ALL {
        for (name, value) in copied().filter(|(name, _)| HeaderPriority::of(name.as_str()) == priority) {
            if headers.contains_key(name.as_str()) || name.as_str() == DROPPED {
                continue;
            }
            if budget.take(name.as_str(), value) {
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

/// The headers of ours on a copy.
fn headers_of_copy<'a>(
    lease: &JobLease,
    notes: &CopyNotes<'a>,
) -> impl Iterator<Item = (&'static str, AMQPValue)> + use<'a> {
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
    .chain(long_correlation(lease.properties()))
}

/// Why the broker took the message off the job queue, for a copy of a job that has no end yet.
fn drop_reason(lease: &JobLease) -> Option<(&'static str, AMQPValue)> {
    lease.dropped().map(|dropped| (DROP_REASON, long(dropped.reason())))
}

/// The correlation id, where it is too long for the property.
pub(super) fn long_correlation(read: &Properties) -> Option<(&'static str, AMQPValue)> {
    let id = read.correlation_id.as_deref()?;
    ShortString::try_new(id).is_err().then(|| (CORRELATION_ID, long(id)))
}

/// The trace that began with this delivery, where the message brought none.
fn trace(lease: &JobLease) -> Option<(&'static str, AMQPValue)> {
    lease.traceparent().map(|traceparent| (TRACEPARENT, long(traceparent)))
}

/// A `tracestate` without a sound `traceparent` says nothing, and says it of no other trace.
fn is_of_another_trace(lease: &JobLease, name: &str) -> bool {
    lease.traceparent().is_some() && name == TRACESTATE
}

/// The properties of the original that every message of ours keeps, without the headers. Left out on purpose: `expiration` would
/// lose the message, the broker checks `user_id` against our own login, `cluster_id` and `reply_to` are not ours.
fn kept_properties(original: &BasicProperties, read: &Properties) -> BasicProperties {
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(value) = read.correlation_id.as_deref().and_then(|id| ShortString::try_new(id).ok()) {
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

/// The properties of a terminal event, within a frame of `frame_max` bytes: what consumers route on. The event's body has all of
/// it, too.
pub(super) fn event_properties(event: &Event, frame_max: usize) -> BasicProperties {
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
    let trace = [(TRACEPARENT, event.traceparent.as_deref()), (TRACESTATE, event.tracestate.as_deref())];
    let trace = trace.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut budget = FrameBudget::new(frame_max, &properties);
    let mut headers = FieldTable::default();
    for (name, value) in attributes.into_iter().chain(trace) {
        let value = long(value);
        if budget.take(name, &value) {
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

/// Whether a header of the original is on its copy. With `CC` the broker would route another copy to wherever that says, each time
/// the message is published.
fn is_copied(name: &str) -> bool {
    let last_failure = [CODE, STAGE, ERROR, HTTP_STATUS, WORKER, PARKED_AT, DROP_REASON, REDELIVERED].contains(&name);
    is_carried(name) && !last_failure && name != DELIVERIES
}

/// Whether a header is neither the broker's nor an order to it.
pub(super) fn is_carried(name: &str) -> bool {
    let is_the_broker_s = name.starts_with("x-") || name.starts_with("X-");
    !is_the_broker_s && !name.eq_ignore_ascii_case("cc") && !name.eq_ignore_ascii_case("bcc")
}

fn long(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests;
