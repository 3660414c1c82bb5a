//! Versions, tags and keys that can be read in two ways.

use lapin::BasicProperties;
use serde_json::{Value, json};

use super::stand_in::{Answer, StandIn};
use super::{failure, nothing_is_parked, only_event, two_attempts};
use crate::harness::store::{BUCKET, VERSIONED_BUCKET};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

/// versitygw 1.8.0 without versions knows none, not even `null`, which every object there has.
#[tokio::test]
async fn the_version_null_is_there_where_there_are_no_versions() {
    let world = World::new("null_version").await;
    let bytes = jpeg::tiny(1);
    let object = Answer::object(&bytes, "5d41402abc4b2a76b9719d911017c592");
    let gateway = StandIn::start(move |request| match request.path.split_once('?') {
        Some(_) => Answer::error(400, "InvalidArgument"),
        None if request.path.ends_with("face.jpg") => object.clone(),
        None => Answer::error(404, "NoSuchKey"),
    })
    .await;
    let _daemon = two_attempts(&world).set("s3.endpoint_url", gateway.url()).start_ready().await;
    let there = world.submit_job(json!({ "key": "face.jpg", "version_id": "null" })).await;
    let event = world.event_for(&there).await;
    assert_eq!(event.json["data"]["image"]["digest"], format!("sha256:{}", sha256(&bytes)), "{}", event.json);
    let missing = world.submit_job(json!({ "key": "none.jpg", "version_id": "null" })).await;
    failure(&world, &missing, "object_not_found").await;
    let other = world.submit_job(json!({ "key": "face.jpg", "version_id": "3HL4kqtJvjVBH40Nrjfkd" })).await;
    failure(&world, &other, "object_changed").await;
}

/// A store that has versions after all and says so: what is there is not the version that was asked for.
#[tokio::test]
async fn another_version_than_null_is_not_taken_for_it() {
    let world = World::new("null_version_other").await;
    let bytes = jpeg::tiny(1);
    let store = StandIn::start(move |request| {
        if request.path.contains('?') {
            return Answer::error(400, "InvalidArgument");
        }
        let headers =
            [("etag", "\"5d41402abc4b2a76b9719d911017c592\""), ("x-amz-request-id", "1"), ("x-amz-version-id", "v2")];
        Answer::new(200, &headers, bytes.clone())
    })
    .await;
    let _daemon = two_attempts(&world).set("s3.endpoint_url", store.url()).start_ready().await;
    let job = world.submit_job(json!({ "key": "face.jpg", "version_id": "null" })).await;
    let event = world.event_for(&job).await;
    assert!(event.failure_code().is_some(), "{}", event.json);
    assert_eq!(world.simulator.count("calls").await, 0);
}

/// As versitygw 1.8.0 writes it over AMQP: like AWS, but for keys that are as they are, quoted tags, and `PrincipalId`.
fn versitygw(key: &str, etag: &str) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.2", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2026-11-28T20:44:37Z", "eventName": "s3:ObjectCreated:Put",
        "userIdentity": { "PrincipalId": "root" }, "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "", "x-amz-id-2": "" },
        "s3": { "s3SchemaVersion": "1.0", "configurationId": "rabbitmq-global",
                "bucket": { "name": BUCKET, "ownerIdentity": { "PrincipalId": "root" }, "arn": format!("arn:aws:s3:::/{BUCKET}/{key}") },
                "object": { "key": key, "size": 14, "eTag": etag, "versionId": null, "sequencer": "3" } },
        "glacierEventData": { "restoreEventData": { "lifecycleRestorationExpiryTime": "", "lifecycleRestoreStorageClass": "" } },
    }] })
}

/// The same by somebody who writes like AWS and leaves keys as they are, and of whom we know nothing.
fn unknown(key: &str, etag: &str) -> Value {
    let mut body = versitygw(key, etag);
    body["Records"][0]["userIdentity"] = json!({ "principalId": "root" });
    body
}

async fn publish(world: &World, body: &Value) {
    let properties = BasicProperties::default().with_content_type("application/json".into());
    world.broker.publish_job(body.to_string().as_bytes(), properties).await;
}

#[tokio::test]
async fn a_key_that_is_not_encoded_names_the_object_that_was_uploaded() {
    for (test, writer, decoy) in [
        ("plain_key_alone", versitygw as fn(&str, &str) -> Value, false),
        ("plain_key_decoy", versitygw, true),
        ("plain_key_unknown", unknown, false),
        ("plain_key_unknown_decoy", unknown, true),
    ] {
        let world = World::new(test).await;
        let _daemon = two_attempts(&world).start_ready().await;
        let bytes = jpeg::tiny(1);
        let stored = world.upload("red+flower%41.jpg", bytes.clone()).await;
        if decoy {
            // What the key would be if it were encoded: another face.
            world.upload("red flowerA.jpg", jpeg::tiny(2)).await;
        }
        publish(&world, &writer(&stored.key, &stored.etag)).await;
        let event = only_event(&world).await;
        let image = &event["data"]["image"];
        assert_eq!(image["digest"], format!("sha256:{}", sha256(&bytes)), "{test}: {event}");
        assert_eq!(image["key"], stored.key, "{test}: the key that was read");
        nothing_is_parked(&world).await;
    }
}

/// No reading of a key is taken because there is something there.
#[tokio::test]
async fn another_object_than_the_notified_is_never_judged() {
    let world = World::new("plain_key_other").await;
    let _daemon = two_attempts(&world).start_ready().await;
    // Both readings are there, and neither has the content that was notified of.
    let stored = world.upload("red+flower.jpg", jpeg::tiny(1)).await;
    world.upload("red flower.jpg", jpeg::tiny(2)).await;
    publish(&world, &versitygw(&stored.key, "\"00000000000000000000000000000000\"")).await;
    let event = only_event(&world).await;
    assert_eq!(event["data"]["failure"]["code"], "object_changed", "{event}");
    assert_eq!(world.simulator.count("calls").await, 0);
}

/// MinIO tells of an encrypted upload by form with a tag that no GET repeats (96 hexadecimal digits, RELEASE.2025-09-07).
#[tokio::test]
async fn a_tag_that_is_no_content_s_is_no_pin() {
    let world = World::new("sealed_tag").await;
    let _daemon = two_attempts(&world).start_ready().await;
    let bytes = jpeg::tiny(1);
    let stored = world.store.put_version("face.jpg", bytes.clone()).await;
    let mut body = unknown(&stored.key, &"20000f00a1d0c5f5".repeat(6));
    body["Records"][0]["s3"]["bucket"]["name"] = VERSIONED_BUCKET.into();
    body["Records"][0]["s3"]["object"]["versionId"] = json!(stored.version_id);
    publish(&world, &body).await;
    let event = only_event(&world).await;
    assert_eq!(event["data"]["image"]["digest"], format!("sha256:{}", sha256(&bytes)), "{event}");
    assert_eq!(event["data"]["image"]["version_id"], json!(stored.version_id));
}
