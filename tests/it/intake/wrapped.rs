//! Bodies and headers as producers and the broker's other protocols send them.

use std::collections::BTreeSet;
use std::io::Write as _;

use antispoof_core::job::REFUSED;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::contract::assert_valid_event;
use crate::harness::broker::PARKED;
use crate::harness::wait::{SOON, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

/// Lays something around a job.
type Wrap<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

#[tokio::test]
async fn what_is_laid_around_a_job_is_taken_off() {
    let world = World::new("laid_around_a_job").await;
    let daemon = world.daemon().start_ready().await;
    let json = || BasicProperties::default().with_content_type("application/json".into());
    let kombu = || headers(json().with_content_encoding("utf-8".into()), &[("compression", "application/x-gzip")]);
    let sections = || BasicProperties::default().with_type("amqp-1.0".into());
    let as_string = |job: &[u8]| serde_json::to_vec(str::from_utf8(job).expect("text")).expect("JSON");
    let ways: [(&str, Wrap, BasicProperties); 6] = [
        ("gzip", &gzip, json().with_content_encoding("gzip".into())),
        ("deflate", &zlib, json().with_content_encoding("deflate".into())),
        ("kombu", &zlib, kombu()),
        ("mark", &|job| [b"\xef\xbb\xbf", job].concat(), json()),
        ("string", &as_string, json()),
        (
            "value",
            &|job| [b"\0\x53\x77\xb0", &u32::try_from(job.len()).expect("short").to_be_bytes()[..], job].concat(),
            sections(),
        ),
    ];
    let mut bytes = Vec::new();
    for (number, (name, wrap, properties)) in (1..).zip(&ways) {
        bytes.push(jpeg::tiny(number));
        let key = world.upload(&format!("{name}.jpg"), bytes[bytes.len() - 1].clone()).await.key;
        let job = json!({ "id": name, "key": key, "metadata": { "way": name } }).to_string();
        world.broker.publish_job(&wrap(job.as_bytes()), properties.clone()).await;
    }
    for ((name, ..), bytes) in ways.iter().zip(&bytes) {
        let event = world.event_for(name).await;
        assert_valid_event(&event);
        assert!(event.routing_key.starts_with("verdict."), "{}", event.json);
        assert_eq!(event.json["data"]["metadata"], json!({ "way": name }));
        assert_eq!(world.simulator.billed(&sha256(bytes)).await, 1);
    }
    daemon.term();
    world.assert_drained().await;
    assert_eq!(world.events().await.len(), ways.len());
}

/// The Python SDK writes `ce-`, Kafka's binding `ce_`; the user properties of MQTT 5 have no prefix.
#[tokio::test]
async fn two_events_about_one_object_are_two_jobs_in_every_dialect() {
    let world = World::new("two_events_about_one_object").await;
    let daemon = world.daemon().start_ready().await;
    let key = world.upload("face.jpg", jpeg::tiny(1)).await.key;
    let body = json!({ "key": key }).to_string();
    let mut jobs = Vec::new();
    for prefix in ["ce-", "ce_", ""] {
        for number in 1..=2 {
            let id = format!("event{}{number}", prefix.replace('-', "."));
            let attributes =
                [("specversion", "1.0"), ("id", id.as_str()), ("source", "/kyc/portal"), ("type", "kyc.selfie")];
            let spelt = attributes.map(|(name, value)| (format!("{prefix}{name}"), value));
            let spelt: Vec<_> = spelt.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let properties = BasicProperties::default().with_content_type("application/json".into());
            world.broker.publish_job(body.as_bytes(), headers(properties, &spelt)).await;
            jobs.push(id);
        }
    }
    let mut events = BTreeSet::new();
    for name in &jobs {
        let event = world.event_for(name).await;
        assert_valid_event(&event);
        assert!(event.routing_key.starts_with("verdict."), "{}", event.json);
        events.insert(event.message_id().to_owned());
    }
    assert_eq!(events.len(), jobs.len(), "{events:?}");
    let unsaid = headers(BasicProperties::default().with_message_id("m-1".into()), &[("ce-specversion", "1.0")]);
    world.broker.publish_job(body.as_bytes(), unsaid).await;
    let refused = world.event_for("m-1").await;
    assert_eq!(message(&refused.json), "the CloudEvent's id is missing; CloudEvents 1.0 asks for it");
    daemon.term();
    world.assert_drained().await;
    assert_eq!(world.events().await.len(), jobs.len() + 1);
}

/// RabbitMQ puts ids there that have no room in the properties. The headers stay behind when the message is copied, its name does not.
#[tokio::test]
async fn ids_in_headers_name_a_job_also_after_a_delay() {
    let world = World::new("ids_in_headers").await;
    let daemon = world.daemon().start_ready().await;
    let long = "c".repeat(300);
    let properties = BasicProperties::default().with_content_encoding("gzip".into());
    let properties = headers(properties, &[("x-message-id", "m-1"), ("x-correlation-id", &long)]);
    world.simulator.configure(json!({ "faults": "429=x1", "retry_after": "1s" })).await;
    let key = world.upload("face.jpg", jpeg::tiny(1)).await.key;
    world.broker.publish_job(&gzip(json!({ "key": key }).to_string().as_bytes()), properties).await;
    let event = world.event_for("m-1").await;
    assert_valid_event(&event);
    assert!(event.routing_key.starts_with("verdict."), "{}", event.json);
    assert_eq!(event.json["correlationid"], long);
    assert_eq!(event.json["data"]["check"]["attempts"], 2, "{}", event.json);
    daemon.term();
    world.assert_drained().await;
}

#[tokio::test]
async fn what_is_recognised_ends_in_one_event_that_says_what_to_send_instead() {
    let world = World::new("recognised").await;
    let daemon = world.daemon().start_ready().await;
    let job = r#"{"key":"a.jpg"}"#;
    let utf16: Vec<u8> = job.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let twice = serde_json::to_vec(&serde_json::to_string(job).expect("JSON")).expect("JSON");
    let encoded = |name: &str| BasicProperties::default().with_content_encoding(name.into());
    let typed = |name: &str| BasicProperties::default().with_content_type(name.into());
    let none = BasicProperties::default;
    let framework = |header: &str| headers(typed("application/json"), &[(header, "Kyc.Job, Kyc")]);
    let messages: Vec<(&str, Vec<u8>, BasicProperties)> = vec![
        (
            "an AMQP 1.0 value section with a map",
            b"\0\x53\x77\xc1\x09\x02\xa1\x03key\xa1\x01a".into(),
            none().with_type("amqp-1.0".into()),
        ),
        ("AMQP 1.0 sequence sections", b"\0\x53\x76\xc0\x04\x01\xa1\x01a".into(), none().with_type("amqp-1.0".into())),
        ("a body with several encodings", gzip(job.as_bytes()), encoded("utf-8, gzip")),
        ("compressed with Brotli", b"\x0b\x1a\x80{}\x03".into(), encoded("br")),
        ("compressed with Zstandard", b"\x28\xb5\x2f\xfd\x04\x58".into(), encoded("zstd")),
        ("compressed with bzip2", b"BZh91AY&SY".into(), headers(none(), &[("compression", "application/x-bz2")])),
        ("compressed without saying so", gzip(job.as_bytes()), none()),
        ("text in UTF-16", utf16, typed("application/json")),
        ("JSON in a string in a string", twice, typed("application/json")),
        (
            "a Celery task",
            br#"[[{"key":"a"}],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]"#.into(),
            typed("application/json"),
        ),
        (
            "a MassTransit envelope",
            br#"{"messageType":["urn:message:Kyc:Job"],"message":{"key":"a"}}"#.into(),
            typed("application/vnd.masstransit+json"),
        ),
        ("an NServiceBus message", br#"{"Key":"a"}"#.into(), framework("NServiceBus.EnclosedMessageTypes")),
        ("a Rebus message", br#"{"Key":"a"}"#.into(), framework("rbs2-msg-type")),
        ("MessagePack", b"\x81\xa3key\xa1a".into(), typed("application/x-msgpack")),
        ("Protocol Buffers", b"\x0a\x01a".into(), typed("application/x-protobuf")),
        ("Avro", b"\x02a".into(), typed("avro/binary")),
        ("XML or HTML", b"<job><key>a</key></job>".into(), typed("text/xml")),
        ("an HTML form", b"key=a&bucket=b".into(), typed("application/x-www-form-urlencoded")),
        ("a serialised Java object", b"\xac\xed\0\x05sr".into(), typed("application/x-java-serialized-object")),
    ];
    for (number, (_, body, properties)) in messages.iter().enumerate() {
        let named = properties.clone().with_message_id(format!("m-{number}").into());
        world.broker.publish_job(body, named).await;
    }
    for (number, (recognised, ..)) in messages.iter().enumerate() {
        let event = world.event_for(&format!("m-{number}")).await;
        assert_valid_event(&event);
        let row = REFUSED.iter().find(|row| row.recognised == *recognised).expect(recognised);
        assert_eq!(message(&event.json), format!("the message is {recognised}; {}", row.instead));
        assert_eq!(event.failure_code(), Some("unsupported_message"));
    }
    eventually_equals("all to be parked", SOON, u32::try_from(messages.len()).ok(), async || {
        world.broker.depth(PARKED).await
    })
    .await;
    daemon.term();
    world.assert_drained().await;
    assert_eq!(world.events().await.len(), messages.len());
    assert_eq!(world.simulator.count("calls").await, 0);
}

fn message(event: &Value) -> &str {
    event["data"]["failure"]["message"].as_str().expect("a message")
}

fn headers(properties: BasicProperties, headers: &[(&str, &str)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    properties.with_headers(table)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}
