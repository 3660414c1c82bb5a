//! The accepted bodies besides our own JSON, as their producers send them, and what becomes of a message that is none.

mod minio;
mod refused;
mod wrapped;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::codes::TRACEPARENT;
use crate::contract::assert_valid_event;
use crate::harness::broker::{Message, PARKED};
use crate::harness::store::{BUCKET, Stored, VERSIONED_BUCKET};
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

#[tokio::test]
async fn a_cloud_event_is_a_job_in_both_modes() {
    let world = World::new("a_cloud_event_is_a_job").await;
    let daemon = world.daemon().start_ready().await;
    let bytes: Vec<_> = (1..=3).map(jpeg::tiny).collect();
    let mut keys = Vec::new();
    for (number, bytes) in bytes.iter().enumerate() {
        keys.push(world.upload(&format!("{number}.jpg"), bytes.clone()).await.key);
    }

    let data = |key: &str| json!({ "key": key, "metadata": { "applicant": "42" } });
    let structured = json!({
        "specversion": "1.0", "id": "event-0", "source": "/kyc/portal", "type": "kyc.selfie.uploaded", "tenant": "t",
        "correlationid": "onboarding-0", "traceparent": TRACEPARENT, "tracestate": "portal=1",
        "data": data(&keys[0]),
    });
    let properties = BasicProperties::default().with_content_type("application/cloudevents+json; charset=UTF-8".into());
    world.broker.publish_job(structured.to_string().as_bytes(), properties.with_message_id("m-0".into())).await;
    for (number, separator) in [(1, ':'), (2, '_')] {
        let mut headers = FieldTable::default();
        for (name, value) in [
            ("specversion", "1.0"),
            ("id", &format!("event-{number}")),
            ("source", "/kyc/portal"),
            ("type", "kyc.selfie.uploaded"),
            ("correlationid", &format!("onboarding-{number}")),
            ("traceparent", TRACEPARENT),
            ("tracestate", "portal=1"),
        ] {
            let name = format!("cloudEvents{separator}{name}");
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let properties = BasicProperties::default().with_content_type("application/json".into()).with_headers(headers);
        world.broker.publish_job(data(&keys[number]).to_string().as_bytes(), properties).await;
    }

    for (number, bytes) in bytes.iter().enumerate() {
        let event = world.event_for(&format!("event-{number}")).await;
        assert_valid_event(&event);
        assert!(event.routing_key.starts_with("verdict."), "{}", event.json);
        assert_eq!(event.json["correlationid"], format!("onboarding-{number}"));
        assert_eq!((&event.json["traceparent"], &event.json["tracestate"]), (&json!(TRACEPARENT), &json!("portal=1")));
        assert_eq!(event.headers["traceparent"], TRACEPARENT);
        assert_eq!(event.json["data"]["metadata"], json!({ "applicant": "42" }));
        assert_eq!(world.simulator.billed(&sha256(bytes)).await, 1);
    }
    daemon.term();
    world.assert_drained().await;
    assert_eq!(world.events().await.len(), 3);
}

#[tokio::test]
async fn a_notification_of_aws_is_a_job_for_the_version_that_was_uploaded() {
    let world = World::new("a_notification_of_aws").await;
    let daemon = world.daemon().start_ready().await;
    let (first, second) = (jpeg::tiny(1), jpeg::tiny(2));
    let stored = world.store.put_version("red flower+1 é.jpg", first.clone()).await;
    world.store.put_version("red flower+1 é.jpg", second.clone()).await;
    let record = aws("ObjectCreated:Put", &stored);
    let encoded = record["s3"]["object"]["key"].as_str().expect("a key").to_owned();
    assert!(encoded.ends_with("/red+flower%2B1+%C3%A9.jpg"), "{encoded}");
    // At least once, as S3 says.
    for _ in 0..2 {
        publish(&world, &json!({ "Records": [record] }), BasicProperties::default()).await;
    }
    let events = events_about(&world, &stored.key, 2).await;
    for event in &events {
        assert_valid_event(event);
        let image = &event.json["data"]["image"];
        assert_eq!((&image["bucket"], &image["version_id"]), (&json!(VERSIONED_BUCKET), &json!(stored.version_id)));
        assert_eq!(image["digest"], format!("sha256:{}", sha256(&first)));
        assert!(event.job_id().is_some_and(|id| id.starts_with("obj-")), "{}", event.json);
    }
    assert_eq!(events[0].message_id(), events[1].message_id(), "one job, whatever the number of its notifications");
    assert_eq!(world.simulator.billed(&sha256(&first)).await, 1);
    assert_eq!(world.simulator.billed(&sha256(&second)).await, 0);
    daemon.term();
    world.assert_drained().await;
    assert!(world.broker.parked().await.is_empty());
}

#[tokio::test]
async fn several_records_are_jobs_of_their_own() {
    let world = World::new("several_records").await;
    let daemon = world.daemon().start_ready().await;
    let mut records = Vec::new();
    let mut keys = Vec::new();
    let bytes: Vec<_> = (1..=3).map(jpeg::tiny).collect();
    for (number, bytes) in bytes.iter().enumerate() {
        let stored = world.upload(&format!("{number}.jpg"), bytes.clone()).await;
        records.push(aws("ObjectCreated:Post", &stored));
        keys.push(stored.key);
    }
    let mut wrong = records[0].clone();
    wrong["s3"]["object"]["key"] = "no/../such".into();
    let mut deleted = records[0].clone();
    deleted["eventName"] = "ObjectRemoved:Delete".into();
    records.extend([wrong, deleted]);
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), AMQPValue::LongString(TRACEPARENT.into()));
    let properties = BasicProperties::default().with_message_id("relay-1".into()).with_headers(headers);
    let whole = json!({ "Records": records });
    publish(&world, &whole, properties.clone()).await;

    let mut first = Vec::new();
    for (key, bytes) in keys.iter().zip(&bytes) {
        let event = events_about(&world, key, 1).await.remove(0);
        assert_valid_event(&event);
        assert!(event.routing_key.starts_with("verdict."), "{}", event.json);
        assert_eq!(event.json["correlationid"], "relay-1");
        assert_eq!(event.json["traceparent"], TRACEPARENT);
        assert_eq!(world.simulator.billed(&sha256(bytes)).await, 1);
        first.push(event.message_id().to_owned());
    }
    let refused = malformed(&world, 1).await.remove(0);
    assert_eq!(refused.json["correlationid"], "relay-1");
    // It is acked, and counted, after its parts are out.
    eventually_equals("the whole to be counted", SOON, Some(1.0), async || daemon.metric(&settled("divided")).await)
        .await;

    // Once more: the same jobs, so the same events, and no further bill.
    publish(&world, &whole, properties).await;
    let again = malformed(&world, 2).await.remove(1);
    assert_eq!(again.message_id(), refused.message_id());
    for ((key, bytes), first) in keys.iter().zip(&bytes).zip(&first) {
        let events = events_about(&world, key, 2).await;
        assert_eq!(events[1].message_id(), first);
        assert_eq!(world.simulator.billed(&sha256(bytes)).await, 1);
    }
    daemon.term();
    world.assert_drained().await;
    assert_eq!(world.events().await.len(), 8, "the deletion is nobody's job");
    eventually_equals("both refusals to be parked", SOON, Some(2), async || world.broker.depth(PARKED).await).await;
}

/// No customer waits for it, and it comes with every change of a bucket's settings: parking it would only page people.
#[tokio::test]
async fn what_asks_for_nothing_is_acked_and_counted() {
    let world = World::new("asks_for_nothing").await;
    let daemon = world.daemon().start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-22T21:57:07.123Z", "Bucket": BUCKET,
                       "RequestId": "5582815E1AEA5ADF", "HostId": "EXAMPLE" });
    let tagged =
        json!({ "EventName": "s3:ObjectCreated:PutTagging", "Records": [aws("s3:ObjectCreated:PutTagging", &stored)] });
    publish(&world, &test, BasicProperties::default()).await;
    publish(&world, &tagged, BasicProperties::default()).await;
    eventually_equals("both to be acked", SOON, Some(2.0), async || daemon.metric(&settled("dismissed")).await).await;
    // The line comes after the count, and no job waits for the log.
    eventually("a line about it in the log", SOON, async || {
        let lines = daemon.logs();
        let there = lines.iter().any(|line| line.contains("s3:TestEvent, which asks for nothing"));
        if there { Ok(()) } else { Err(format!("{lines:?}")) }
    })
    .await;
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0));
    daemon.term();
    world.assert_drained().await;
    assert!(world.events().await.is_empty() && world.broker.parked().await.is_empty());
    assert_eq!(world.simulator.count("calls").await, 0);
}

async fn publish(world: &World, body: &Value, properties: BasicProperties) {
    let properties = properties.with_content_type("application/json".into());
    world.broker.publish_job(body.to_string().as_bytes(), properties).await;
}

/// Waits for so many events about an object.
async fn events_about(world: &World, key: &str, count: usize) -> Vec<Message> {
    eventually(&format!("{count} events about {key}"), EVENTUALLY, async || {
        let mut events = world.events().await;
        events.retain(|event| event.json["data"]["image"]["key"] == key);
        if events.len() >= count { Ok(events) } else { Err(format!("{} events", events.len())) }
    })
    .await
}

/// Waits for so many refusals.
async fn malformed(world: &World, count: usize) -> Vec<Message> {
    eventually(&format!("{count} refusals"), EVENTUALLY, async || {
        let mut events = world.events().await;
        events.retain(|event| event.failure_code() == Some("malformed_job"));
        if events.len() >= count { Ok(events) } else { Err(format!("{} refusals", events.len())) }
    })
    .await
}

fn settled(kind: &str) -> String {
    format!("antispoofd_settlements_total{{kind=\"{kind}\"}}")
}

/// A record as AWS writes it.
fn aws(event: &str, stored: &Stored) -> Value {
    let mut record = json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-central-1", "eventTime": "2026-11-22T21:57:07.123Z", "eventName": event,
        "userIdentity": { "principalId": "AWS:EXAMPLE" }, "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "EXAMPLE", "x-amz-id-2": "EXAMPLE" },
        "s3": { "s3SchemaVersion": "1.0", "configurationId": "selfies",
                "bucket": { "name": stored.bucket, "ownerIdentity": { "principalId": "EXAMPLE" }, "arn": "arn:aws:s3:::example" },
                "object": { "key": form_encoded(&stored.key), "size": 1, "eTag": stored.etag.trim_matches('"'), "sequencer": "0055" } },
    });
    if let Some(version) = &stored.version_id {
        record["s3"]["object"]["versionId"] = json!(version);
    }
    record
}

/// As AWS does it: the slashes stay.
fn form_encoded(key: &str) -> String {
    use std::fmt::Write as _;

    key.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' ' => out.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-._*/".contains(&byte) => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
        out
    })
}
