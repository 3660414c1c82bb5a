//! The properties of a delivery.

use super::names::{DEATHS, DROP_REASON};
use antispoof_core::dropped::Dropped;
use antispoof_core::job::Properties;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::time::{SystemTime, UNIX_EPOCH};

/// The most that a count in a header is taken for. No worker counts that far, so a producer that forges more gains nothing and no
/// sum overflows.
pub(in crate::amqp) const MOST_BELIEVED: u32 = 1_000_000;

/// The properties that have a meaning for the job.
pub(in crate::amqp) fn read(properties: &BasicProperties) -> Properties {
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
pub(in crate::amqp) fn number(properties: &BasicProperties, name: &str) -> Option<i64> {
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

/// A header of ours that counts something; 0 where it is missing or no count.
pub(in crate::amqp) fn count(properties: &BasicProperties, name: &str) -> u32 {
    let number = number(properties, name).unwrap_or_default().max(0);
    u32::try_from(number).map_or(MOST_BELIEVED, |number| number.min(MOST_BELIEVED))
}

/// Why the broker took a message off this queue: as its newest entry about that queue says, else as an earlier copy of it said.
pub(in crate::amqp) fn dropped(properties: &BasicProperties, queue: &str) -> Dropped {
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

/// Trace headers come as any of three types, depending on the client library.
pub(in crate::amqp) fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(value) => str::from_utf8(value.as_bytes()).ok(),
        AMQPValue::ShortString(value) => Some(value.as_str()),
        AMQPValue::ByteArray(value) => str::from_utf8(value.as_slice()).ok(),
        _ => None,
    }
}

/// Milliseconds since 1970.
pub(in crate::amqp) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
