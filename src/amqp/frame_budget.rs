//! How much fits into the one frame that holds all properties of a message. A longer frame ends the connection.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

/// Everything in such a frame that is neither a short string nor a header: its own eight bytes, class, weight, length of the body,
/// flags, the length of the table, delivery mode, priority and timestamp.
const FIXED: usize = 8 + 2 + 2 + 8 + 2 + 4 + 1 + 1 + 8;

/// How many bytes are left for headers.
pub(super) struct FrameBudget(usize);

impl FrameBudget {
    /// In a frame of `frame_max` bytes with these properties, which have no headers yet.
    pub(super) fn new(frame_max: usize, properties: &BasicProperties) -> Self {
        let strings: usize = [
            properties.content_type(),
            properties.content_encoding(),
            properties.correlation_id(),
            properties.reply_to(),
            properties.expiration(),
            properties.message_id(),
            properties.kind(),
            properties.user_id(),
            properties.app_id(),
            properties.cluster_id(),
        ]
        .into_iter()
        .flatten()
        .map(short)
        .sum();
        Self(frame_max.saturating_sub(FIXED + strings))
    }

    /// Takes the bytes of a header from the budget; false, and nothing taken, where they are not left.
    pub(super) fn take(&mut self, name: &str, value: &AMQPValue) -> bool {
        let Some(left) = self.0.checked_sub(1 + name.len() + length(value)) else { return false };
        self.0 = left;
        true
    }
}

/// The length of a value with its type. The sanitizer bounds how deep it is nested.
fn length(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(value) => short(value),
        AMQPValue::LongString(value) => 4 + value.as_bytes().len(),
        AMQPValue::ByteArray(value) => 4 + value.as_slice().len(),
        AMQPValue::FieldArray(values) => 4 + values.as_slice().iter().map(length).sum::<usize>(),
        AMQPValue::FieldTable(table) => {
            4 + table.inner().iter().map(|(name, value)| short(name) + length(value)).sum::<usize>()
        }
    }
}

fn short(value: &ShortString) -> usize {
    1 + value.as_str().len()
}
