//! A message that is no job is told of under the name that its sender knows.

use lapin::BasicProperties;
use serde_json::{Value, json};

use super::{malformed, publish};
use crate::contract::assert_valid_event;
use crate::harness::broker::PARKED;
use crate::harness::store::BUCKET;
use crate::harness::wait::{SOON, eventually_equals};
use crate::harness::world::World;

#[tokio::test]
async fn a_wrong_job_keeps_its_name_and_what_else_is_sound() {
    let world = World::new("keeps_its_name").await;
    let daemon = world.daemon().start_ready().await;
    let properties = || BasicProperties::default().with_message_id("m-1".into());
    let wrong = json!({ "id": "kyc-1", "key": "a.jpg", "expires_at": "tomorrow", "metadata": { "applicant": "42" } });
    publish(&world, &wrong, properties()).await;
    let event = world.event_for("kyc-1").await;
    assert_valid_event(&event);
    assert_eq!(event.failure_code(), Some("malformed_job"));
    assert_eq!(event.json["correlationid"], "m-1");
    assert_eq!(event.json["data"]["image"], json!({ "bucket": BUCKET, "key": "a.jpg" }));
    assert_eq!(event.json["data"]["metadata"], json!({ "applicant": "42" }));

    let structured = BasicProperties::default().with_content_type("application/cloudevents+json".into());
    let body = json!({ "specversion": "1.0", "id": "event-1", "source": "s", "type": "t", "data": { "kye": "a" } });
    world.broker.publish_job(body.to_string().as_bytes(), structured).await;
    let event = world.event_for("event-1").await;
    let message = event.json["data"]["failure"]["message"].as_str().expect("a message");
    assert!(message.starts_with("the CloudEvent's data is not a job: unknown field `kye`"), "{message}");

    // Two bodies under one name are two failures; each of them, sent twice, is one.
    let nameless: [Value; 2] = [json!({ "id": "two words", "key": "a" }), json!({ "kye": "a" })];
    for body in nameless.iter().chain(&nameless) {
        publish(&world, body, properties()).await;
    }
    let mut ids = Vec::new();
    for event in malformed(&world, 6).await {
        if event.job_id() == Some("m-1") {
            ids.push(event.message_id().to_owned());
        }
    }
    assert_eq!(ids.len(), 4);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2, "{ids:?}");
    eventually_equals("all to be parked", SOON, Some(6), async || world.broker.depth(PARKED).await).await;
    daemon.term();
    world.assert_drained().await;
}

/// Consumers' parsers give up on them, or worse.
#[tokio::test]
async fn metadata_that_cannot_be_read_everywhere_is_refused_and_the_job_named() {
    let world = World::new("metadata_not_for_everybody").await;
    let _daemon = world.daemon().start_ready().await;
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(32), "]".repeat(32));
    for (name, metadata, says) in [
        ("deep", deep.as_str(), "metadata is nested deeper than 32 levels at its byte 36; flatten it"),
        ("half", r#"{"name":"jane \ud800"}"#, "metadata has half of a surrogate pair"),
        ("huge", r#"{"n":1e999}"#, "metadata has a number beyond 1.8e308 at its byte 5"),
    ] {
        let body = format!(r#"{{"id":"{name}","key":"a.jpg","metadata":{metadata}}}"#);
        let properties = BasicProperties::default().with_content_type("application/json".into());
        world.broker.publish_job(body.as_bytes(), properties).await;
        let event = world.event_for(name).await;
        assert_valid_event(&event);
        let message = event.json["data"]["failure"]["message"].as_str().expect("a message");
        assert!(message.starts_with(says) && !message.contains("jane"), "{message}");
        assert_eq!(event.json["data"]["metadata"], Value::Null);
    }
}
