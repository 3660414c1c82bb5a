//! A parked job as a line of JSON.

use crate::amqp::Entry;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The fields that stay; more may come.
pub(super) fn line(entry: &Entry) -> Value {
    json!({
        "job_id": entry.job_id,
        "code": entry.code,
        "stage": entry.stage,
        "message": entry.message,
        "attempts": entry.attempts,
        "in_doubt": entry.in_doubt,
        "replay": entry.replay,
        "first_seen": entry.first_seen_ms.and_then(time),
        "parked_at": entry.parked_at_ms.and_then(time),
        "bucket": entry.bucket,
        "key": entry.key,
        "http_status": entry.http_status,
        "worker": entry.worker,
        "message_id": entry.message_id,
        "correlation_id": entry.correlation_id,
    })
}

/// Milliseconds since 1970 as RFC 3339, in UTC; `None` for a time that no clock shows.
pub(super) fn time(ms: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?.format(&Rfc3339).ok()
}

/// The same to the second, for a person.
pub(super) fn short_time(ms: Option<i64>) -> String {
    ms.and_then(|ms| time(ms.div_euclid(1000) * 1000)).unwrap_or_else(|| "-".to_owned())
}
