//! Parked at once, and nothing paid.

use aws_sdk_s3::error::DisplayErrorContext;
use serde_json::{Value, json};

use super::{Ending, Sent, assert_ended, assert_over, send, send_raw};
use crate::harness::broker::PARKED;
use crate::harness::store::{Store, VERSIONED_BUCKET};
use crate::harness::wait::{SOON, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sample};

#[tokio::test]
async fn what_is_the_message_s_or_the_job_s_own_fault() {
    let world = World::new("the_job_s_own_fault").await;
    let daemon = world.daemon().start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let mut ended = Vec::new();
    for (name, body, says) in [
        ("empty", "", "not JSON"),
        ("half", r#"{"key":"a""#, "not JSON"),
        ("list", "[]", "not a job"),
        ("no-key", "{}", "missing field `key`"),
        ("misspelt", r#"{"key":"a","kye":"b"}"#, "unknown field `kye`"),
        ("twice", r#"{"key":"a","key":"b"}"#, "duplicate field `key`"),
        ("climbing", r#"{"key":"../other/secret.jpg"}"#, "path segment"),
        ("bad-bucket", r#"{"key":"a","bucket":"a/b"}"#, "bucket:"),
        ("bad-id", r#"{"key":"a","id":"two words"}"#, "printable ASCII"),
        ("bad-time", r#"{"key":"a","expires_at":"tomorrow"}"#, "RFC 3339"),
        ("bad-metadata", r#"{"key":"a","metadata":[]}"#, "a JSON object"),
    ] {
        let sent = send_raw(&world, name, body.as_bytes(), "application/json").await;
        ended.push((sent, Ending::at_once("malformed_job", says)));
    }
    let not_text = send_raw(&world, "not-text", b"\xff\xfe\x00", "application/json").await;
    ended.push((not_text, Ending::at_once("unsupported_message", "UTF-16")));
    for (name, content_type, says) in [
        ("image", "image/jpeg", "the message is an image"),
        ("xml", "application/xml; charset=utf-8", "is XML or HTML"),
    ] {
        let sent = send_raw(&world, name, &jpeg::tiny(9), content_type).await;
        ended.push((sent, Ending::at_once("unsupported_message", says)));
    }
    let expired = json!({ "key": stored.key, "expires_at": "2020-02-29T12:00:00+01:00" });
    ended.push((send(&world, "expired", expired).await, Ending::at_once("job_expired", "expires_at has passed")));
    let elsewhere = json!({ "key": stored.key, "bucket": "payroll" });
    ended.push((
        send(&world, "elsewhere", elsewhere).await,
        Ending::at_once("bucket_not_allowed", "bucket \"payroll\" is not in s3.buckets"),
    ));

    assert_ended(&world, &ended).await;
    assert_nothing_was_called(&world).await;
    for (code, count) in
        [("malformed_job", 11), ("unsupported_message", 3), ("job_expired", 1), ("bucket_not_allowed", 1)]
    {
        let failures = daemon.metric(&format!("antispoofd_failures_total{{code=\"{code}\"}}")).await;
        assert_eq!(failures, Some(f64::from(count)), "{code}: one failure each");
        // Counted when the ack is written, which is after the copy.
        let parked = format!("antispoofd_dead_lettered_total{{reason=\"{code}\"}}");
        eventually_equals(&parked, SOON, Some(f64::from(count)), async || daemon.metric(&parked).await).await;
    }
    assert_eq!(world.s3_link.connections(), 0, "none of them was worth asking the store");
    assert_over(&world, 16, 16).await;
}

#[tokio::test]
async fn an_object_that_the_store_cannot_have_is_not_asked_for_again() {
    let world = World::new("impossible_object").await;
    let daemon = world.daemon().start_ready().await;
    let mut ended = Vec::new();
    for (name, key) in [("empty-segment", "a//b.jpg".to_owned()), ("long-segment", "x".repeat(300))] {
        let sent = send(&world, name, json!({ "key": key })).await;
        ended.push((sent, Ending::at_once("malformed_job", "no objects of such a name").status(400)));
    }
    assert_ended(&world, &ended).await;
    assert_nothing_was_called(&world).await;
    assert_eq!(daemon.metric("antispoofd_object_fetch_duration_seconds_count").await, Some(2.0), "asked once each");
    assert_over(&world, 2, 2).await;
}

#[tokio::test]
async fn a_message_that_names_nothing_still_ends_in_an_event() {
    let world = World::new("names_nothing").await;
    let _daemon = world.daemon().start_ready().await;
    world.broker.publish_job(b"no id, no type, no job", lapin::BasicProperties::default()).await;
    eventually_equals("the message to be parked", SOON, Some(1), async || world.broker.depth(PARKED).await).await;
    assert_eq!(world.broker.parked().await[0].body, b"no id, no type, no job");
    let events = world.events().await;
    assert_eq!(events.len(), 1);
    crate::contract::assert_valid_event(&events[0]);
    assert_eq!(events[0].failure_code(), Some("malformed_job"));
    let stand_in = events[0].job_id().expect("a stand-in");
    assert!(stand_in.starts_with("msg-") && stand_in.len() > 30, "{stand_in}");
}

#[tokio::test]
async fn what_is_the_object_s_fault() {
    let world = World::new("the_object_s_fault").await;
    let daemon = world.daemon().set("s3.max_object_bytes", "64KiB").set("image.max_pixels", "10000").start_ready();
    let daemon = daemon.await;
    let mut ended: Vec<(Sent, Ending)> = Vec::new();
    let put = async |name: &str, bytes: Vec<u8>| json!({ "key": world.upload(name, bytes).await.key });

    let old = world.upload("replaced.jpg", jpeg::tiny(1)).await;
    world.upload("replaced.jpg", jpeg::tiny(2)).await;
    let replaced = json!({ "key": old.key, "etag": old.etag });
    ended.push((send(&world, "replaced", replaced).await, Ending::at_once("object_changed", "ETag").status(412)));
    ended.push((
        send(&world, "version", gone_version(&world).await).await,
        Ending::at_once("object_changed", "version"),
    ));
    ended.push((
        send(&world, "empty", put("empty.jpg", Vec::new()).await).await,
        Ending::at_once("object_empty", "no bytes"),
    ));
    ended.push((
        send(&world, "large", put("large.jpg", jpeg::of_size(64 * 1024 + 1, 3)).await).await,
        Ending::at_once("object_too_large", "65537 bytes, s3.max_object_bytes allows 65536"),
    ));
    for (name, code, says) in [
        ("notes.jpg", "not_an_image", "is text,"),
        ("pixel.gif", "unsupported_format", "is gif;"),
        ("iphone.heic", "unsupported_format", "is heic;"),
        ("face-cut-in-header.jpg", "image_corrupt", "before its frame header"),
        ("face-128-icon.jpg", "image_dimensions", "128x128 is above image.max_pixels"),
    ] {
        let mut bytes = sample(name).bytes();
        // The EXIF of that one alone is as large as this daemon's limit.
        if name == "face-cut-in-header.jpg" {
            bytes = cut_in_a_small_header();
        }
        ended.push((send(&world, name, put(name, bytes).await).await, Ending::at_once(code, says)));
    }
    for (name, bytes, format) in foreign() {
        let ending = Ending::at_once("unsupported_format", format);
        ended.push((send(&world, name, put(name, bytes).await).await, ending));
    }
    let mut truncated = jpeg::tiny(4);
    truncated.truncate(truncated.len() * 3 / 4);
    ended.push((
        send(&world, "truncated", put("truncated.jpg", truncated).await).await,
        Ending::at_once("image_corrupt", "cut off"),
    ));
    let no_pixels = b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x00\x01\x01\x11\x00\xff\xd9".to_vec();
    ended.push((
        send(&world, "no-pixels", put("no-pixels.jpg", no_pixels).await).await,
        Ending::at_once("image_corrupt", "no height"),
    ));

    // The store answers a version that is gone with 404 or 400, depending on its make.
    let version = world.event_for("version").await;
    let status = version.json["data"]["failure"]["http_status"].as_u64().expect("a status of the store");
    for (sent, ending) in &mut ended {
        if sent.id == "version" {
            *ending = ending.status(u16::try_from(status).expect("a status"));
        }
    }
    assert_ended(&world, &ended).await;
    assert_nothing_was_called(&world).await;
    assert_eq!(daemon.metric("antispoofd_api_billable_calls_total").await, Some(0.0));
    assert_over(&world, ended.len(), 17).await;
}

#[tokio::test]
async fn what_the_api_refuses() {
    let world = World::new("what_the_api_refuses").await;
    let _daemon = world.daemon().start_ready().await;
    for status in [400_u16, 413, 415, 422] {
        world.simulator.configure(json!({ "faults": format!("{status}=x1") })).await;
        let name = format!("refused-{status}");
        let stored = world.upload(&name, jpeg::tiny(status.into())).await;
        let sent = send(&world, &name, json!({ "key": stored.key })).await;
        let ending = Ending::at_once("api_rejected", "the API answered 4").status(status);
        let parked = [(sent, ending)];
        assert_ended(&world, &parked).await;
    }
    assert_eq!(world.simulator.count("calls").await, 4, "not one of them twice");
    assert_eq!(world.simulator.count("billed").await, 0);
    assert_over(&world, 4, 4).await;
}

async fn assert_nothing_was_called(world: &World) {
    let stats = world.simulator.stats().await;
    assert_eq!((&stats["calls"], &stats["billed"], &stats["rejected"]), (&json!(0), &json!(0), &json!(0)), "{stats}");
}

/// A job for a version that was there once.
async fn gone_version(world: &World) -> Value {
    let stored = world.store.put_version("versioned.jpg", jpeg::tiny(5)).await;
    let version = stored.version_id.expect("a version");
    let client = Store::client(&world.services);
    let deleted = client.delete_object().bucket(VERSIONED_BUCKET).key(&stored.key).version_id(&version).send().await;
    deleted.unwrap_or_else(|problem| panic!("failed to delete a version: {}", DisplayErrorContext(problem)));
    json!({ "bucket": VERSIONED_BUCKET, "key": stored.key, "version_id": version })
}

/// The first bytes of formats that are refused, and what they are called.
fn foreign() -> [(&'static str, Vec<u8>, &'static str); 6] {
    let padded = |magic: &[u8]| [magic, &[0; 64]].concat();
    [
        ("a.png", padded(b"\x89PNG\r\n\x1a\n"), "is png;"),
        ("a.webp", padded(b"RIFF\x40\0\0\0WEBPVP8 "), "is webp;"),
        ("a.tiff", padded(b"II*\0"), "is tiff;"),
        ("a.bmp", padded(b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"), "is bmp;"),
        ("a.avif", padded(b"\0\0\0\x18ftypavif"), "is avif;"),
        ("a.mp4", padded(b"\0\0\0\x18ftypisom"), "mp4 video"),
    ]
}

fn cut_in_a_small_header() -> Vec<u8> {
    b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\x00\x0b\x08".to_vec()
}
