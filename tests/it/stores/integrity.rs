//! Bytes that are damaged on their way: with a checksum of the store they are never paid for, and never the image's fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, builders::CompletedPartBuilder,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::stand_in::{Answer, StandIn};
use super::{failure, logged, two_attempts};
use crate::batch::Batch;
use crate::harness::broker::Message;
use crate::harness::store::{BUCKET, Store};
use crate::harness::wait::{SOON, STARTED, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

const ETAG: &str = "5d41402abc4b2a76b9719d911017c592";
/// The least that S3 takes for a part that is not the last.
const PART: usize = 5 * 1024 * 1024;

/// An upload with one algorithm, and whether what it leaves in the store can be held against the bytes.
struct Upload {
    algorithm: ChecksumAlgorithm,
    parts: Option<ChecksumType>,
    named: Option<&'static str>,
}

fn uploads() -> Vec<Upload> {
    use ChecksumAlgorithm::{Crc32, Crc32C, Crc64Nvme, Sha1, Sha256};
    use ChecksumType::{Composite, FullObject};
    let whole = |algorithm, named| Upload { algorithm, parts: None, named };
    let parts = |algorithm, kind, named| Upload { algorithm, parts: Some(kind), named };
    vec![
        whole(Crc32, Some("CRC32")),
        whole(Crc32C, Some("CRC32C")),
        whole(Crc64Nvme, Some("CRC64NVME")),
        whole(Sha256, Some("SHA-256")),
        whole(Sha1, None),
        parts(Crc32, FullObject, Some("CRC32")),
        parts(Crc32C, FullObject, Some("CRC32C")),
        parts(Crc64Nvme, FullObject, Some("CRC64NVME")),
        parts(Crc32, Composite, None),
        parts(Sha256, Composite, None),
    ]
}

impl Upload {
    async fn store(&self, client: &Client, key: &str, bytes: &[u8]) {
        let Some(kind) = &self.parts else {
            let put = client.put_object().bucket(BUCKET).key(key).checksum_algorithm(self.algorithm.clone());
            put.body(bytes.to_vec().into()).send().await.expect("stored");
            return;
        };
        let create =
            client.create_multipart_upload().bucket(BUCKET).key(key).checksum_algorithm(self.algorithm.clone());
        let created = create.checksum_type(kind.clone()).send().await.expect("an upload");
        let upload = created.upload_id().expect("an id");
        let mut done = Vec::new();
        for (number, part) in (1..).zip(bytes.chunks(PART)) {
            let put = client.upload_part().bucket(BUCKET).key(key).upload_id(upload).part_number(number);
            let put = put.checksum_algorithm(self.algorithm.clone()).body(part.to_vec().into());
            let part = put.send().await.expect("a part");
            let sums = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag().map(Into::into));
            let sum = |sums: CompletedPartBuilder| {
                sums.set_checksum_crc32(part.checksum_crc32().map(Into::into))
                    .set_checksum_crc32_c(part.checksum_crc32_c().map(Into::into))
                    .set_checksum_crc64_nvme(part.checksum_crc64_nvme().map(Into::into))
                    .set_checksum_sha256(part.checksum_sha256().map(Into::into))
            };
            done.push(sum(sums).build());
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(done)).build();
        let complete = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload);
        complete.checksum_type(kind.clone()).multipart_upload(parts).send().await.expect("complete");
    }
}

/// Each way to upload to the real store: first as it is, then with one bit changed on every way down.
#[tokio::test]
async fn every_checksum_of_a_whole_object_is_verified() {
    let world = World::new("checksums").await;
    let client = Store::client(&world.services);
    let _daemon = two_attempts(&world).start_ready().await;
    let mut kept = Vec::new();
    for (seed, upload) in (0..).zip(uploads()) {
        let bytes = padded(seed, if upload.parts.is_some() { 90 } else { 2 });
        let key = world.store.key(&format!("{seed}.jpg"));
        upload.store(&client, &key, &bytes).await;
        let event = world.event_for(&world.submit(&key).await).await;
        assert_eq!(digest(&event), sha256(&bytes), "{}", event.json);
        kept.push((upload, key, bytes));
    }
    let called = world.simulator.count("calls").await;
    assert_eq!(called, kept.len() as u64, "one call for each");
    let mut passed = 0;
    for (seed, (upload, key, bytes)) in kept.iter().enumerate() {
        // In its comment: a decoder sees no difference.
        world.s3_link.damage(format!("sample {seed}").as_bytes(), u64::MAX);
        let job = world.submit_job(json!({ "key": key, "id": format!("{}-again", key.replace('/', "-")) })).await;
        if let Some(algorithm) = upload.named {
            let message = failure(&world, &job, "store_unavailable").await;
            assert!(message.contains(&format!("the store keeps a {algorithm} of the object")), "{message}");
        } else {
            passed += 1;
            let event = world.event_for(&job).await;
            assert_ne!(digest(&event), sha256(bytes), "{}", event.json);
        }
    }
    assert_eq!(world.simulator.count("calls").await, called + passed, "what is known to be damaged is not called for");
}

fn digest(event: &Message) -> String {
    let digest = event.json["data"]["image"]["digest"].as_str().unwrap_or_default();
    digest.strip_prefix("sha256:").unwrap_or_default().to_owned()
}

/// A JPEG with so many comments of 60 kB behind its scan, so that the last of them comes when most of the call has been sent.
fn padded(seed: u64, comments: usize) -> Vec<u8> {
    let small = jpeg::tiny(seed);
    let (image, end) = small.split_at(small.len() - 2);
    let comment = [&[0xff, 0xfe, 0xea, 0x62][..], &vec![b'.'; 0xea60]].concat();
    [image, &comment.repeat(comments), b"\xff\xfe\x00\x0clast words", end].concat()
}

#[tokio::test]
async fn what_is_damaged_once_is_read_again_and_paid_for_once() {
    let world = World::new("damaged_once").await;
    let daemon = world.daemon().start_ready().await;
    let bytes = padded(1, 25);
    let stored = world.upload("large.jpg", bytes.clone()).await;
    world.s3_link.damage(b"last words", 1);
    let event = world.event_for(&world.submit(&stored.key).await).await;
    assert_eq!(digest(&event), sha256(&bytes), "{}", event.json);
    assert_eq!(event.json["data"]["check"]["attempts"], 1, "a quick retry is no further attempt");
    // The call had begun; that its client has left is noticed when it is.
    let aborted = async || world.simulator.count("aborted_bodies").await;
    eventually_equals("the call that broke off", SOON, 1, aborted).await;
    let stats = world.simulator.stats().await;
    assert_eq!((&stats["calls"], &stats["billed"]), (&json!(1), &json!(1)), "{stats}");
    let repeated = daemon.metric("antispoofd_api_retries_total{reason=\"store_unavailable\"}").await;
    assert_eq!(repeated, Some(1.0));
    world.assert_drained().await;
}

/// In the header, so that no decoder would read it; at its very beginning; at the end marker; where nothing shows.
#[tokio::test]
async fn what_is_damaged_each_time_is_never_paid_for_nor_the_image_s_fault() {
    let world = World::new("damaged_for_good").await;
    let _daemon = two_attempts(&world).set("retry.quick_attempts", "2").start_ready().await;
    let image = jpeg::tiny(1);
    let frame = image.windows(2).position(|bytes| bytes == [0xff, 0xc0]).expect("a frame header");
    let end = image.len();
    let invisible = image.windows(8).position(|bytes| bytes == b"sample 1").expect("the comment") + 8;
    let places = [("frame", frame + 5, "image_corrupt"), ("start", 2, "not_an_image"), ("end", end, "image_corrupt")];
    for (name, to, without) in places {
        let damaged = &image[to.saturating_sub(20)..to];
        // As the same bytes end where they are what the store keeps.
        let mut kept = image.clone();
        kept[to - 1] ^= 1;
        let kept = world.upload(&format!("{name}-kept.jpg"), kept).await;
        world.s3_link.damage(b"nothing like this", 0);
        failure(&world, &world.submit(&kept.key).await, without).await;
        let stored = world.upload(&format!("{name}.jpg"), image.clone()).await;
        world.s3_link.damage(damaged, u64::MAX);
        let job = world.submit(&stored.key).await;
        let message = failure(&world, &job, "store_unavailable").await;
        assert!(message.contains("the store keeps a CRC32 of the object"), "{name}: {message}");
        assert_eq!(world.event_for(&job).await.json["data"]["check"]["attempts"], 2, "{name}");
    }
    world.s3_link.damage(&image[invisible - 8..invisible], u64::MAX);
    let stored = world.upload("invisible.jpg", image).await;
    failure(&world, &world.submit(&stored.key).await, "store_unavailable").await;
    let stats = world.simulator.stats().await;
    assert_eq!((&stats["calls"], &stats["billed"]), (&json!(0), &json!(0)), "{stats}");
}

#[tokio::test]
async fn many_jobs_over_a_way_that_damages_end_without_a_call_and_with_one_event_each() {
    let world = World::new("damaged_many").await;
    let _daemon = two_attempts(&world).start_ready().await;
    let mut batch = Batch::stored(&world, 4).await;
    world.s3_link.damage(b"sample ", u64::MAX);
    batch.submit(&world).await;
    let events = world.events_for_all(&batch.jobs).await;
    assert!(events.iter().all(|event| event.failure_code() == Some("store_unavailable")));
    assert_eq!(events.len(), batch.jobs.len());
    let stats = world.simulator.stats().await;
    assert_eq!((&stats["calls"], &stats["billed"]), (&json!(0), &json!(0)), "{stats}");
    world.assert_drained().await;
}

/// A store that says what cannot be read, or says it of parts: nothing is verified, and nothing stopped. One that says something else of its object is
/// not believed.
#[tokio::test]
async fn what_is_said_of_an_object_is_verified_or_ignored() {
    let world = World::new("said_checksums").await;
    let image = jpeg::tiny(1);
    let right = BASE64_STANDARD.encode(Sha256::digest(&image));
    let other = BASE64_STANDARD.encode(Sha256::digest(b"another object"));
    let composite = format!("{other}-2");
    let cases: [(&str, &str, Option<&str>, bool); 7] = [
        ("x-amz-checksum-sha256", &right, Some("FULL_OBJECT"), true),
        ("x-amz-checksum-sha256", &right, None, true),
        ("x-amz-checksum-sha256", &other, Some("FULL_OBJECT"), false),
        ("x-amz-checksum-sha256", &other, Some("COMPOSITE"), true),
        ("x-amz-checksum-sha256", &composite, None, true),
        ("x-amz-checksum-crc32", "not base64", Some("FULL_OBJECT"), true),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", None, false),
    ];
    let mut called = 0;
    for (name, value, kind, passes) in cases {
        let mut headers = vec![("etag", "\"e\""), ("x-amz-request-id", "1"), (name, value)];
        headers.extend(kind.map(|kind| ("x-amz-checksum-type", kind)));
        let answer = Answer::new(200, &headers, image.clone());
        let store = StandIn::start(move |_| answer.clone()).await;
        let daemon = two_attempts(&world).set("s3.endpoint_url", store.url()).start_ready().await;
        let job = world.submit("face.jpg").await;
        if passes {
            called += 1;
            assert_eq!(digest(&world.event_for(&job).await), sha256(&image), "{headers:?}");
        } else {
            failure(&world, &job, "store_unavailable").await;
        }
        daemon.term();
        daemon.wait_exit(STARTED).await;
    }
    assert_eq!(world.simulator.count("calls").await, called);
}

/// Backblaze B2, as reported of it in 2025; and what a store says that has not implemented a header (Cloudflare R2).
#[tokio::test]
async fn a_store_that_refuses_to_be_asked_for_checksums_is_read_without() {
    let world = World::new("no_checksums").await;
    for (status, code, message) in [
        (400, "InvalidArgument", "Unsupported header 'x-amz-checksum-mode' received for this API call."),
        (501, "NotImplemented", "Header 'x-amz-checksum-mode' with value 'ENABLED' not implemented"),
    ] {
        let image = jpeg::tiny(status);
        let object = Answer::object(&image, ETAG);
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let headers = [("content-type", "application/xml"), ("x-amz-request-id", "1")];
        let refusal = Answer::new(u16::try_from(status).expect("a status"), &headers, body);
        let refused = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&refused);
        let store = StandIn::start(move |request| {
            let signed = request.header.contains("x-amz-checksum-mode;")
                && request.header.contains("x-amz-checksum-mode: enabled");
            if signed {
                count.fetch_add(1, Ordering::SeqCst);
            }
            if signed { refusal.clone() } else { object.clone() }
        })
        .await;
        let daemon = two_attempts(&world).set("s3.endpoint_url", store.url()).start_ready().await;
        for etag in [None, Some(ETAG), None] {
            let job = match etag {
                None => world.submit("face.jpg").await,
                Some(etag) => world.submit_job(json!({ "key": "face.jpg", "etag": etag })).await,
            };
            assert_eq!(digest(&world.event_for(&job).await), sha256(&image), "{status}");
        }
        assert_eq!(refused.load(Ordering::SeqCst), 1, "{status}: it is asked once");
        logged(&daemon, &["WARN", "the store does not take the header x-amz-checksum-mode", code]).await;
        daemon.term();
        daemon.wait_exit(STARTED).await;
    }
}

#[tokio::test]
async fn without_the_setting_no_checksum_is_asked_for_nor_believed() {
    let world = World::new("checksums_off").await;
    let image = jpeg::tiny(1);
    let headers = [("etag", "\"e\""), ("x-amz-request-id", "1"), ("x-amz-checksum-crc32", "AAAAAA==")];
    let answer = Answer::new(200, &headers, image.clone());
    let store = StandIn::start(move |request| {
        if request.header.contains("checksum") { Answer::error(400, "InvalidRequest") } else { answer.clone() }
    })
    .await;
    let settings = two_attempts(&world).set("s3.verify_checksums", "false");
    let _daemon = settings.set("s3.endpoint_url", store.url()).start_ready().await;
    let event = world.event_for(&world.submit("face.jpg").await).await;
    assert_eq!(digest(&event), sha256(&image), "{}", event.json);
}
