//! A message as a test looks at it.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Value, json};

/// A message that was read from a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    pub(crate) properties: BasicProperties,
    /// The headers as a JSON object.
    pub(crate) headers: Value,
    /// The body as JSON; null when it is none.
    pub(crate) json: Value,
    pub(crate) body: Vec<u8>,
    pub(crate) redelivered: bool,
}

impl Message {
    /// The `message_id` property; empty when there is none.
    pub(crate) fn message_id(&self) -> &str {
        self.properties.message_id().as_ref().map_or("", ShortString::as_str)
    }

    /// Whether both are deliveries of one message, as far as can be told.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.message_id() == other.message_id() && self.body == other.body
    }

    /// The job's id, of a terminal event.
    pub(crate) fn job_id(&self) -> Option<&str> {
        self.json["data"]["job_id"].as_str()
    }

    /// The failure's code, of a failure event.
    pub(crate) fn failure_code(&self) -> Option<&str> {
        self.json["data"]["failure"]["code"].as_str()
    }

    /// `live`, `spoof` or `review`, of a verdict event.
    pub(crate) fn outcome(&self) -> Option<&str> {
        self.json["data"]["outcome"].as_str()
    }
}

impl From<Delivery> for Message {
    fn from(delivery: Delivery) -> Self {
        let headers = delivery.properties.headers().as_ref().map_or_else(|| json!({}), table);
        Self {
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            headers,
            json: serde_json::from_slice(&delivery.data).unwrap_or(Value::Null),
            body: delivery.data,
            redelivered: delivery.redelivered,
            properties: delivery.properties,
        }
    }
}

fn table(table: &FieldTable) -> Value {
    let entries = table.inner().iter().map(|(name, value)| (name.to_string(), value_as_json(value)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn value_as_json(amqp: &AMQPValue) -> Value {
    match amqp {
        AMQPValue::Boolean(value) => json!(value),
        AMQPValue::ShortShortInt(value) => json!(value),
        AMQPValue::ShortShortUInt(value) => json!(value),
        AMQPValue::ShortInt(value) => json!(value),
        AMQPValue::ShortUInt(value) => json!(value),
        AMQPValue::LongInt(value) => json!(value),
        AMQPValue::LongUInt(value) => json!(value),
        AMQPValue::LongLongInt(value) => json!(value),
        AMQPValue::Float(value) => json!(value),
        AMQPValue::Double(value) => json!(value),
        AMQPValue::Timestamp(value) => json!(value),
        AMQPValue::DecimalValue(value) => json!({ "scale": value.scale, "value": value.value }),
        AMQPValue::ShortString(value) => json!(value.as_str()),
        AMQPValue::LongString(value) => json!(String::from_utf8_lossy(value.as_bytes())),
        AMQPValue::ByteArray(value) => json!(value.as_slice()),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(value_as_json).collect(),
        AMQPValue::FieldTable(value) => table(value),
        AMQPValue::Void => Value::Null,
    }
}
