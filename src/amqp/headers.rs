//! AMQP properties in and out. Every `x-*` header stays behind on the way out: a copied `x-death` makes brokers drop or hide the message.

use super::inbox::JobLease;
use antispoof_core::event::{CONTENT_TYPE, Event};
use antispoof_core::failure::Failure;
use antispoof_core::job::{Attributes, Properties};
use antispoof_core::ports::Spent;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const ATTEMPT: &str = "as-attempt";
pub(super) const FIRST_SEEN: &str = "as-first-seen";
pub(super) const REPLAY: &str = "as-replay";
pub(super) const IN_DOUBT: &str = "as-in-doubt";
pub(super) const DELIVERIES: &str = "as-deliveries";
const CODE: &str = "as-code";
const STAGE: &str = "as-stage";
const ERROR: &str = "as-error";
const HTTP_STATUS: &str = "as-http-status";
const WORKER: &str = "as-worker";
const PARKED_AT: &str = "as-parked-at";

const CLOUD_EVENTS: &str = "cloudEvents";

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
    let header = |name: &str| properties.headers().as_ref().and_then(|headers| text(headers.inner().get(name)?));
    Properties {
        content_type: short(properties.content_type()),
        message_id: short(properties.message_id()).filter(|id| !id.is_empty()),
        correlation_id: short(properties.correlation_id()).filter(|id| !id.is_empty()),
        traceparent: header("traceparent"),
        tracestate: header("tracestate"),
        cloud_event: attributes(properties),
    }
}

fn attributes(properties: &BasicProperties) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        if let (Some(name), Some(value)) = (attribute(name.as_str()), text(value)) {
            attributes.set(name, value);
        }
    }
    attributes
}

/// The name of the attribute that a header holds. The binding of CloudEvents allows either separator.
fn attribute(header: &str) -> Option<&str> {
    let (prefix, name) = header.split_at_checked(CLOUD_EVENTS.len())?;
    let name = name.strip_prefix(['_', ':'])?;
    prefix.eq_ignore_ascii_case(CLOUD_EVENTS).then_some(name)
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

/// The properties of the copy that replaces a delivery.
pub(super) fn republished(lease: &JobLease, notes: &Notes<'_>) -> BasicProperties {
    let mut headers = travelling(lease.raw());
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(notes.spent.attempts.count().into()));
    if notes.spent.in_doubt > 0 {
        headers.insert(IN_DOUBT.into(), AMQPValue::LongLongInt(notes.spent.in_doubt.into()));
    }
    if notes.spent.deliveries > 0 {
        headers.insert(DELIVERIES.into(), AMQPValue::LongLongInt(notes.spent.deliveries.into()));
    }
    headers.insert(FIRST_SEEN.into(), AMQPValue::LongLongInt(lease.first_seen_ms()));
    headers.insert(WORKER.into(), long(notes.worker));
    if let Some(failure) = notes.why {
        headers.insert(CODE.into(), long(failure.code().name()));
        headers.insert(STAGE.into(), long(failure.code().stage().name()));
        headers.insert(ERROR.into(), long(failure.message()));
        if let Some(status) = failure.http_status() {
            headers.insert(HTTP_STATUS.into(), AMQPValue::LongLongInt(status.into()));
        }
    }
    if notes.parked {
        headers.insert(PARKED_AT.into(), AMQPValue::LongLongInt(now_ms()));
    }
    let original = lease.raw();
    let mut properties = kept(original, headers);
    if let Some(value) = original.content_type() {
        properties = properties.with_content_type(value.clone());
    }
    if let Some(value) = original.message_id() {
        properties = properties.with_message_id(value.clone());
    }
    properties
}

/// The properties of one of the messages that a delivery is divided into. The id of the delivery is nobody's: each has one that follows from its object.
pub(super) fn divided(lease: &JobLease) -> BasicProperties {
    let original = lease.raw();
    let mut headers = FieldTable::default();
    for (name, value) in travelling(original).inner() {
        let spent = [ATTEMPT, IN_DOUBT].contains(&name.as_str());
        if !spent && attribute(name.as_str()).is_none() {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers.insert(FIRST_SEEN.into(), AMQPValue::LongLongInt(lease.parts_first_seen_ms()));
    let properties = kept(original, headers).with_content_type("application/json".into());
    match (original.correlation_id(), original.message_id()) {
        (None, Some(id)) => properties.with_correlation_id(id.clone()),
        _ => properties,
    }
}

/// The headers that a copy has, too.
fn travelling(original: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in original.headers().iter().flat_map(FieldTable::inner) {
        if travels(name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers
}

/// The properties that a copy has, too, with these headers.
fn kept(original: &BasicProperties, headers: FieldTable) -> BasicProperties {
    // Left out on purpose: expiration would lose the message, user_id is checked against our own login, cluster_id and reply_to are not ours.
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    if let Some(value) = original.content_encoding() {
        properties = properties.with_content_encoding(value.clone());
    }
    if let Some(value) = original.correlation_id() {
        properties = properties.with_correlation_id(value.clone());
    }
    if let Some(value) = original.kind() {
        properties = properties.with_type(value.clone());
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

/// The properties of a terminal event: what a consumer routes on, again.
pub(super) fn announced(event: &Event) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("cloudEvents_specversion", "1.0"),
        ("cloudEvents_id", &event.id),
        ("cloudEvents_source", &event.source),
        ("cloudEvents_type", event.kind),
        ("cloudEvents_subject", &event.subject),
        ("cloudEvents_time", &event.time),
        ("cloudEvents_datacontenttype", "application/json"),
    ] {
        headers.insert(name.into(), long(value));
    }
    for (name, value) in [("traceparent", &event.traceparent), ("tracestate", &event.tracestate)] {
        if let Some(value) = value {
            headers.insert(name.into(), long(value));
        }
    }
    let mut properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(event.id.as_str().into())
        .with_type(event.kind.into())
        .with_app_id("antispoofd".into())
        .with_timestamp(event.timestamp)
        .with_headers(headers);
    if let Some(value) = event.correlation_id.as_deref().and_then(|value| ShortString::try_new(value).ok()) {
        properties = properties.with_correlation_id(value);
    }
    properties
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
    let last_failure = [CODE, STAGE, ERROR, HTTP_STATUS, WORKER, PARKED_AT].contains(&name);
    !ours_or_the_broker_s
        && !last_failure
        && name != DELIVERIES
        && !name.eq_ignore_ascii_case("cc")
        && !name.eq_ignore_ascii_case("bcc")
}

/// Trace headers come as any of three types, depending on the client library.
fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(value) => String::from_utf8(value.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(value) => Some(value.as_str().to_owned()),
        AMQPValue::ByteArray(value) => String::from_utf8(value.as_slice().to_vec()).ok(),
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
mod tests {
    use super::*;
    use antispoof_core::failure::Code;
    use antispoof_core::retry::Attempt;

    fn spent(attempts: u32, in_doubt: u32) -> Spent {
        Spent { attempts: Attempt::spent(attempts), in_doubt, deliveries: 0 }
    }

    fn delivered(headers: &[(&str, AMQPValue)]) -> JobLease {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        let properties = job_message("m-1")
            .with_headers(table)
            .with_expiration("1000".into())
            .with_user_id("guest".into())
            .with_correlation_id("c-1".into());
        JobLease::for_test(properties)
    }

    #[test]
    fn broker_headers_and_traps_stay_behind_and_the_rest_travels() {
        let lease = delivered(&[
            ("x-death", long("…")),
            ("x-delivery-count", AMQPValue::LongLongInt(3)),
            ("CC", long("elsewhere")),
            ("as-code", long("old")),
            ("as-replay", AMQPValue::LongLongInt(2)),
            ("as-deliveries", AMQPValue::LongLongInt(4)),
            ("tenant", long("42")),
        ]);
        let failure = Failure::new(Code::ApiUnavailable, "the API answered 503").with_status(503);
        let notes = Notes { spent: spent(2, 1), why: Some(&failure), worker: "w", parked: true };
        let properties = republished(&lease, &notes);
        let headers = properties.headers().clone().unwrap_or_default();
        let headers = headers.inner();
        for gone in ["x-death", "x-delivery-count", "CC", "as-deliveries"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(text(&headers["tenant"]).as_deref(), Some("42"));
        assert_eq!(text(&headers["as-code"]).as_deref(), Some("api_unavailable"));
        assert_eq!(text(&headers["as-stage"]).as_deref(), Some("call"));
        assert_eq!(number(&properties, "as-http-status"), Some(503));
        assert_eq!(number(&properties, "as-attempt"), Some(2));
        assert_eq!(number(&properties, "as-in-doubt"), Some(1));
        assert_eq!(number(&properties, "as-replay"), Some(2));
        assert!(number(&properties, "as-parked-at").is_some());
        assert_eq!((properties.expiration(), properties.user_id()), (&None, &None));
        assert_eq!(*properties.delivery_mode(), Some(PERSISTENT));
        assert_eq!(properties.correlation_id().as_ref().map(ShortString::as_str), Some("c-1"));
    }

    #[test]
    fn a_job_that_merely_goes_back_does_not_carry_an_old_reason() {
        let lease = delivered(&[("as-code", long("old")), ("as-error", long("old"))]);
        let properties = republished(&lease, &Notes { spent: spent(0, 0), why: None, worker: "w", parked: false });
        let headers = properties.headers().clone().unwrap_or_default();
        assert!(!headers.contains_key("as-code") && !headers.contains_key("as-error"));
    }

    #[test]
    fn a_part_has_everything_but_the_name_and_the_past_of_the_whole() {
        let lease = delivered(&[
            ("tenant", long("42")),
            ("traceparent", long("00-a")),
            ("x-death", long("…")),
            ("as-attempt", AMQPValue::LongLongInt(3)),
            ("as-first-seen", AMQPValue::LongLongInt(77)),
            ("cloudEvents_id", long("e-1")),
        ]);
        let properties = divided(&lease);
        let headers = properties.headers().clone().unwrap_or_default();
        let names: Vec<_> = headers.inner().keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["as-first-seen", "tenant", "traceparent"]);
        assert_eq!(number(&properties, "as-first-seen"), Some(77));
        assert_eq!(properties.message_id(), &None);
        assert_eq!(properties.correlation_id().as_ref().map(ShortString::as_str), Some("c-1"));
        let relayed = JobLease::for_test(job_message("m-1").with_content_type("text/plain".into()));
        let properties = divided(&relayed);
        assert_eq!(properties.correlation_id().as_ref().map(ShortString::as_str), Some("m-1"));
        assert_eq!(properties.content_type().as_ref().map(ShortString::as_str), Some("application/json"));
    }

    #[test]
    fn attributes_of_a_cloud_event_are_read_with_either_separator() {
        for (id, source) in [("cloudEvents:id", "cloudEvents:source"), ("cloudEvents_id", "cloudevents_source")] {
            let lease = delivered(&[(id, long("e-1")), (source, long("/portal")), ("cloudEvents", long("x"))]);
            let read = read(lease.raw()).cloud_event;
            assert_eq!((read.id.as_deref(), read.source.as_deref(), read.kind), (Some("e-1"), Some("/portal"), None));
        }
        let other = delivered(&[("cloudEvents-id", long("e-1")), ("xcloudEvents_id", long("e-1"))]);
        assert_eq!(read(other.raw()).cloud_event, Attributes::default());
    }

    #[test]
    fn trace_context_is_read_in_every_form_it_is_sent_in() {
        for value in [long("00-a"), AMQPValue::ShortString("00-a".into()), AMQPValue::ByteArray(b"00-a"[..].into())] {
            let lease = delivered(&[("traceparent", value)]);
            assert_eq!(read(lease.raw()).traceparent.as_deref(), Some("00-a"));
        }
    }
}
