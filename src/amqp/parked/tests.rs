use super::*;
use crate::amqp::headers::number;
use antispoof_core::job::Admission;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use serde_json::json;

fn every_type() -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("deep".into(), AMQPValue::ShortUInt(9));
    let mut array = FieldArray::default();
    array.push(AMQPValue::LongLongInt(-1));
    array.push(AMQPValue::FieldTable(inner.clone()));
    let values = [
        ("boolean", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("u8", AMQPValue::ShortShortUInt(8)),
        ("i16", AMQPValue::ShortInt(-16)),
        ("u16", AMQPValue::ShortUInt(16)),
        ("i32", AMQPValue::LongInt(-32)),
        ("u32", AMQPValue::LongUInt(32)),
        ("i64", AMQPValue::LongLongInt(i64::MIN)),
        ("f32", AMQPValue::Float(1.5)),
        ("f64", AMQPValue::Double(f64::NEG_INFINITY)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("short", AMQPValue::ShortString("s".into())),
        ("long", AMQPValue::LongString("{\"amqp\": \"u8\"}".into())),
        ("binary", AMQPValue::LongString(vec![0xff, 0x00].into())),
        ("bytes", AMQPValue::ByteArray(vec![1, 2].into())),
        ("timestamp", AMQPValue::Timestamp(1_764_000_000)),
        ("void", AMQPValue::Void),
        ("table", AMQPValue::FieldTable(inner)),
        ("array", AMQPValue::FieldArray(array)),
        ("as-replay", AMQPValue::LongLongInt(2)),
    ];
    let mut table = FieldTable::default();
    for (name, value) in values {
        table.insert(name.into(), value);
    }
    table
}

fn message(headers: FieldTable, body: &[u8]) -> ParkedMessage {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("identity".into())
        .with_message_id("kyc-1".into())
        .with_correlation_id("order-7".into())
        .with_type("job".into())
        .with_app_id("shop".into())
        .with_timestamp(1_764_000_000)
        .with_priority(3)
        .with_delivery_mode(2)
        .with_headers(headers);
    ParkedMessage::imported(&properties, body.to_vec(), &Admission::default())
}

#[test]
fn an_export_brings_back_every_type_and_every_byte() {
    for body in [&b"{\"bucket\": \"b\", \"key\": \"k\"}"[..], &[0xff, 0xfe, 0x00]] {
        let original = message(every_type(), body);
        let line = exported(&original).to_string();
        let read = serde_json::from_str(&line).expect("a line of JSON");
        let back = imported(read, &Admission::default()).expect("an export can be imported");
        assert_eq!(back.properties, original.properties, "{line}");
        assert_eq!(back.body(), original.body());
        assert_eq!(back.entry(), original.entry());
        assert_eq!(back.fingerprint(), original.fingerprint());
    }
}

#[test]
fn what_cannot_be_a_message_is_refused_with_its_place() {
    let refused =
        |line: serde_json::Value| imported(line, &Admission::default()).expect_err("it is not an export").to_string();
    assert_eq!(
        refused(json!({ "properties": {}, "body": "", "headers": { "a": { "amqp": "u8", "value": 300 } } })),
        "headers.a: invalid value: integer `300`, expected u8"
    );
    assert_eq!(
        refused(json!({ "properties": {}, "body": "", "headers": { "a": [1.5] } })),
        "headers.a[0]: 1.5 is not an integer of 64 bits"
    );
    assert!(refused(json!({ "properties": {} })).starts_with("body: one of body and body_base64"));
    assert!(
        refused(json!({ "properties": { "message_id": "m".repeat(256) }, "body": "" })).starts_with("message_id: ")
    );
    assert!(refused(json!({ "properties": {}, "body": "", "colour": 1 })).contains("unknown field `colour`"));
    // Each table is two levels of JSON, of which a line may have 128.
    let deep = (0..60).fold(json!(1), |inner, _| json!({ "amqp": "table", "value": { "a": inner } }));
    let line = json!({ "properties": {}, "body": "", "headers": { "a": deep } }).to_string();
    let read = serde_json::from_str(&line).expect("a line of JSON");
    imported(read, &Admission::default()).expect("as deep as a line of JSON may be");
}

#[test]
fn a_replay_begins_anew_and_forgets_neither_calls_nor_whose_it_is() {
    let mut headers = FieldTable::default();
    let integer = AMQPValue::LongLongInt;
    for (name, value) in [
        ("as-attempt", integer(8)),
        ("as-in-doubt", integer(2)),
        ("as-replay", integer(1)),
        ("as-deliveries", integer(4)),
        ("as-first-seen", integer(5)),
        ("as-code", AMQPValue::LongString("api_in_doubt".into())),
        ("as-correlation-id", AMQPValue::LongString("long".into())),
        ("traceparent", AMQPValue::LongString("00-1".into())),
        ("tenant", integer(7)),
    ] {
        headers.insert(name.into(), value);
    }
    let parked = message(headers, b"{}");
    let properties = parked.replayed(131_072);
    let names: Vec<_> =
        properties.headers().iter().flat_map(|table| table.inner().keys().map(ToString::to_string)).collect();
    assert_eq!(names, ["as-correlation-id", "as-first-seen", "as-in-doubt", "as-replay", "tenant", "traceparent"]);
    assert_eq!((number(&properties, "as-replay"), number(&properties, "as-in-doubt")), (Some(2), Some(2)));
    assert_eq!(properties.correlation_id(), parked.properties.correlation_id());

    // A message that no worker had written on: its replay is older than whatever becomes of it.
    let properties = message(FieldTable::default(), b"{}").replayed(131_072);
    assert_eq!((number(&properties, "as-replay"), number(&properties, "as-redelivered")), (Some(1), Some(1)));
}

#[test]
fn equal_messages_have_one_fingerprint_and_others_another() {
    let one = message(every_type(), b"{}");
    assert_eq!(one.fingerprint(), message(every_type(), b"{}").fingerprint());
    assert_ne!(one.fingerprint(), message(every_type(), b"{} ").fingerprint());
    let mut headers = every_type();
    headers.insert("as-replay".into(), AMQPValue::LongLongInt(3));
    assert_ne!(one.fingerprint(), message(headers, b"{}").fingerprint());
}
