//! A parked message as a line of JSON, and back, with nothing lost on the way.

use super::entry::ParkedMessage;
use antispoof_core::job::Admission;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The message in the form of [`imported`].
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    properties: Properties,
    #[serde(default)]
    headers: Map<String, Value>,
    /// The body, where it is text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// and where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// The AMQP properties that a copy keeps.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Properties {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
}

/// A line is not an exported message.
#[derive(Debug, thiserror::Error)]
pub enum ExportedError {
    /// Not JSON, or another object.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A value that no AMQP message can have.
    #[error("{field}: {what}")]
    Value {
        /// Which.
        field: String,
        /// What is wrong with it.
        what: String,
    },
}

/// The message as JSON: `{properties, headers, body | body_base64}`.
pub fn exported(message: &ParkedMessage) -> Value {
    let from = &message.properties;
    let short = |value: &Option<ShortString>| value.as_ref().map(|value| value.as_str().to_owned());
    let properties = Properties {
        content_type: short(from.content_type()),
        content_encoding: short(from.content_encoding()),
        message_id: short(from.message_id()),
        correlation_id: short(from.correlation_id()),
        r#type: short(from.kind()),
        app_id: short(from.app_id()),
        timestamp: *from.timestamp(),
        priority: *from.priority(),
    };
    let headers = from.headers().as_ref().map(table).unwrap_or_default();
    let mut line = json!({ "properties": properties, "headers": headers });
    match std::str::from_utf8(&message.body) {
        Ok(text) => line["body"] = json!(text),
        Err(_) => line["body_base64"] = json!(STANDARD.encode(&message.body)),
    }
    line
}

/// The message that [`exported`] made this of.
pub fn imported(message: Value, admission: &Admission) -> Result<ParkedMessage, ExportedError> {
    let Exported { properties: from, headers, body, body_base64 } = serde_json::from_value(message)?;
    let body = match (body, body_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|error| invalid("body_base64", error.to_string()))?,
        _ => return Err(invalid("body", "one of body and body_base64 has to be there".to_owned())),
    };
    let short = |field: &str, value: String| {
        ShortString::try_new(value).map_err(|_| invalid(field, "is longer than 255 bytes".to_owned()))
    };
    let mut properties = BasicProperties::default().with_delivery_mode(2);
    if let Some(value) = from.content_type {
        properties = properties.with_content_type(short("content_type", value)?);
    }
    if let Some(value) = from.content_encoding {
        properties = properties.with_content_encoding(short("content_encoding", value)?);
    }
    if let Some(value) = from.message_id {
        properties = properties.with_message_id(short("message_id", value)?);
    }
    if let Some(value) = from.correlation_id {
        properties = properties.with_correlation_id(short("correlation_id", value)?);
    }
    if let Some(value) = from.r#type {
        properties = properties.with_type(short("type", value)?);
    }
    if let Some(value) = from.app_id {
        properties = properties.with_app_id(short("app_id", value)?);
    }
    if let Some(value) = from.timestamp {
        properties = properties.with_timestamp(value);
    }
    if let Some(value) = from.priority {
        properties = properties.with_priority(value);
    }
    let properties = properties.with_headers(untable(headers, "headers")?);
    Ok(ParkedMessage::imported(&properties, body, admission))
}

fn table(table: &FieldTable) -> Map<String, Value> {
    table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), plain(value))).collect()
}

/// Text, booleans and 64-bit integers are what they are in JSON; every other type says its name: `{"amqp": "u8", "value": 1}`.
fn plain(value: &AMQPValue) -> Value {
    let typed = |name: &str, value: Value| json!({ "amqp": name, "value": value });
    match value {
        AMQPValue::Boolean(value) => json!(value),
        AMQPValue::LongLongInt(value) => json!(value),
        AMQPValue::LongString(value) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => json!(text),
            Err(_) => typed("string", json!(STANDARD.encode(value.as_bytes()))),
        },
        AMQPValue::ShortString(value) => typed("short_string", json!(value.as_str())),
        AMQPValue::ShortShortInt(value) => typed("i8", json!(value)),
        AMQPValue::ShortShortUInt(value) => typed("u8", json!(value)),
        AMQPValue::ShortInt(value) => typed("i16", json!(value)),
        AMQPValue::ShortUInt(value) => typed("u16", json!(value)),
        AMQPValue::LongInt(value) => typed("i32", json!(value)),
        AMQPValue::LongUInt(value) => typed("u32", json!(value)),
        // By their bits: JSON has no NaN and no infinity.
        AMQPValue::Float(value) => typed("f32", json!(value.to_bits())),
        AMQPValue::Double(value) => typed("f64", json!(value.to_bits())),
        AMQPValue::DecimalValue(value) => typed("decimal", json!([value.scale, value.value])),
        AMQPValue::Timestamp(value) => typed("timestamp", json!(value)),
        AMQPValue::ByteArray(value) => typed("bytes", json!(STANDARD.encode(value.as_slice()))),
        AMQPValue::FieldArray(values) => Value::Array(values.as_slice().iter().map(plain).collect()),
        AMQPValue::FieldTable(value) => typed("table", Value::Object(table(value))),
        AMQPValue::Void => Value::Null,
    }
}

fn untable(map: Map<String, Value>, at: &str) -> Result<FieldTable, ExportedError> {
    let mut table = FieldTable::default();
    for (name, value) in map {
        let at = format!("{at}.{name}");
        let value = unplain(value, &at)?;
        let name =
            ShortString::try_new(name).map_err(|_| invalid(&at, "a name is longer than 255 bytes".to_owned()))?;
        table.insert(name, value);
    }
    Ok(table)
}

fn unplain(value: Value, at: &str) -> Result<AMQPValue, ExportedError> {
    match value {
        Value::Null => Ok(AMQPValue::Void),
        Value::Bool(value) => Ok(AMQPValue::Boolean(value)),
        Value::String(text) => Ok(AMQPValue::LongString(text.into())),
        Value::Number(number) => number
            .as_i64()
            .map(AMQPValue::LongLongInt)
            .ok_or_else(|| invalid(at, format!("{number} is not an integer of 64 bits"))),
        Value::Array(values) => {
            let mut array = FieldArray::default();
            for (index, value) in values.into_iter().enumerate() {
                array.push(unplain(value, &format!("{at}[{index}]"))?);
            }
            Ok(AMQPValue::FieldArray(array))
        }
        Value::Object(mut typed) => match (typed.remove("amqp"), typed.remove("value")) {
            (Some(Value::String(name)), Some(value)) if typed.is_empty() => untyped(&name, value, at),
            _ => Err(invalid(at, "an object has to be {\"amqp\": TYPE, \"value\": …}".to_owned())),
        },
    }
}

fn untyped(name: &str, value: Value, at: &str) -> Result<AMQPValue, ExportedError> {
    fn number<T: serde::de::DeserializeOwned>(value: Value, at: &str) -> Result<T, ExportedError> {
        serde_json::from_value(value).map_err(|error| invalid(at, error.to_string()))
    }
    let bytes = |value: Value| {
        let text: String = number(value, at)?;
        STANDARD.decode(text).map_err(|error| invalid(at, error.to_string()))
    };
    Ok(match name {
        "string" => AMQPValue::LongString(bytes(value)?.into()),
        "short_string" => {
            let text: String = number(value, at)?;
            let text = ShortString::try_new(text).map_err(|_| invalid(at, "is longer than 255 bytes".to_owned()))?;
            AMQPValue::ShortString(text)
        }
        "i8" => AMQPValue::ShortShortInt(number(value, at)?),
        "u8" => AMQPValue::ShortShortUInt(number(value, at)?),
        "i16" => AMQPValue::ShortInt(number(value, at)?),
        "u16" => AMQPValue::ShortUInt(number(value, at)?),
        "i32" => AMQPValue::LongInt(number(value, at)?),
        "u32" => AMQPValue::LongUInt(number(value, at)?),
        "f32" => AMQPValue::Float(f32::from_bits(number(value, at)?)),
        "f64" => AMQPValue::Double(f64::from_bits(number(value, at)?)),
        "decimal" => {
            let (scale, value) = number(value, at)?;
            AMQPValue::DecimalValue(DecimalValue { scale, value })
        }
        "timestamp" => AMQPValue::Timestamp(number(value, at)?),
        "bytes" => AMQPValue::ByteArray(bytes(value)?.into()),
        "table" => AMQPValue::FieldTable(untable(number(value, at)?, at)?),
        _ => return Err(invalid(at, format!("\"{name}\" is no type of AMQP"))),
    })
}

fn invalid(field: &str, what: String) -> ExportedError {
    ExportedError::Value { field: field.to_owned(), what }
}
