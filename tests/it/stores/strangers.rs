//! What stands at `s3.endpoint_url` and is no store, and stores that send whoever asks elsewhere.

use super::stand_in::{Answer, StandIn};
use super::{check, failure, two_attempts};
use crate::harness::store::BUCKET;
use crate::harness::world::World;

const NO_STORE: &str = "this does not look like an S3 store";

/// MinIO's console answers every path with its page, and what is signed with an error in the form of S3 (RELEASE.2025-09-07T16-13-09Z).
fn consoles() -> [Answer; 2] {
    let page = [("content-type", "text/html"), ("server", "MinIO Console"), ("accept-ranges", "bytes")];
    let error = [("location", "http://127.0.0.1:9000"), ("content-type", "text/xml; charset=utf-8")];
    [
        Answer::new(200, &page, "<!doctype html><html lang=\"en\"><head><title>MinIO Console</title></head></html>"),
        Answer::new(
            400,
            &error,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>InvalidArgument</Code><Message>S3 API Requests must be made to API port.</Message><RequestId>0</RequestId></Error>",
        ),
    ]
}

/// An answer, and what is said of it.
fn strangers() -> Vec<(&'static str, Answer, &'static str)> {
    let page = [("content-type", "text/html"), ("etag", "\"66f1c3a4-264\""), ("server", "nginx/1.22.1")];
    let xml = [("content-type", "application/xml")];
    vec![
        ("console's page", consoles()[0].clone(), NO_STORE),
        (
            "console",
            consoles()[1].clone(),
            "it is MinIO's console, whose S3 API is at http://127.0.0.1:9000 (400 InvalidArgument)",
        ),
        ("page", Answer::new(200, &page, "<!DOCTYPE html>\n<html><h1>Welcome to nginx!</h1></html>"), NO_STORE),
        ("missing page", Answer::new(404, &page[..1], "<html><h1>404 Not Found</h1></html>"), NO_STORE),
        ("firewall", Answer::new(403, &[("server", "awselb/2.0")], "<html>403 Forbidden</html>"), NO_STORE),
        ("precondition", Answer::new(412, &[], ""), NO_STORE),
        (
            "redirect",
            Answer::new(301, &[("location", "https://127.0.0.1:9/x")], ""),
            "it redirects to https://127.0.0.1:9 (301)",
        ),
        (
            "error with a 200",
            Answer::new(200, &xml, "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>"),
            "an error document instead of the object (200 InternalError)",
        ),
        ("gateway", Answer::new(502, &page[..1], "<html>502 Bad Gateway</html>"), "a proxy before the store"),
    ]
}

/// None of them ends a job for good at its first attempt, or as something that the job is to blame for.
#[tokio::test]
async fn what_is_no_store_is_not_believed() {
    let world = World::new("strangers").await;
    for (name, answer, says) in strangers() {
        let stranger = StandIn::start(move |_| answer.clone()).await;
        let daemon = two_attempts(&world).set("s3.endpoint_url", stranger.url()).start_ready().await;
        let job = world
            .submit_job(serde_json::json!({ "key": "face.jpg", "etag": "5d41402abc4b2a76b9719d911017c592" }))
            .await;
        let message = failure(&world, &job, "store_unavailable").await;
        assert!(message.contains(says), "{name}: {message}");
        assert_eq!(world.event_for(&job).await.json["data"]["check"]["attempts"], 2, "{name}");
        daemon.term();
        daemon.wait_exit(crate::harness::wait::STARTED).await;
    }
    assert_eq!(world.simulator.count("calls").await, 0);
}

#[tokio::test]
async fn check_names_what_is_no_store() {
    let world = World::new("check_strangers").await;
    for (name, answer, says) in strangers() {
        if says.contains("error document") {
            continue;
        }
        let stranger = StandIn::start(move |_| answer.clone()).await;
        let settings = world.daemon().set("s3.buckets", BUCKET).set("s3.endpoint_url", stranger.url());
        let (code, said) = check(settings).await;
        assert_eq!(code, Some(78), "{name}: {said}");
        assert!(said.contains(says), "{name}: {said}");
        assert!(said.contains("set s3.endpoint_url to the address of the store's S3 API"), "{name}: {said}");
    }
}

/// AWS, as its documentation has it.
#[tokio::test]
async fn a_bucket_in_another_region_is_said_to_be_there() {
    let world = World::new("another_region").await;
    let headers =
        [("x-amz-bucket-region", "eu-west-3"), ("x-amz-request-id", "1"), ("content-type", "application/xml")];
    let moved = Answer::new(301, &headers, "<Error><Code>PermanentRedirect</Code></Error>");
    let aws = StandIn::start(move |_| moved.clone()).await;
    let settings = || two_attempts(&world).set("s3.buckets", BUCKET).set("s3.endpoint_url", aws.url());
    let _daemon = settings().start_ready().await;
    let job = world.submit("face.jpg").await;
    let message = failure(&world, &job, "store_unavailable").await;
    let says = "the bucket is in region eu-west-3, s3.region says us-east-1: set s3.region";
    assert!(message.contains(says) && message.contains("301 PermanentRedirect"), "{message}");
    let (code, said) = check(settings()).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(says), "{said}");
}

#[tokio::test]
async fn a_missing_bucket_is_named_in_the_failure() {
    let world = World::new("missing_bucket").await;
    let _daemon =
        two_attempts(&world).set("s3.buckets", "kyc-uploads").set("s3.default_bucket", "").start_ready().await;
    let job = world.submit_job(serde_json::json!({ "bucket": "kyc-uploads", "key": "face.jpg" })).await;
    let message = failure(&world, &job, "object_not_found").await;
    assert!(
        message.starts_with("there is no bucket kyc-uploads: create it") && message.ends_with("(404 NoSuchBucket)"),
        "{message}"
    );
}

/// Names with a dot, and states of an object that somebody else has to change.
#[tokio::test]
async fn what_has_to_be_done_is_said_in_a_sentence() {
    let world = World::new("sentences").await;
    for (status, code, says) in [
        (400, "KMS.DisabledException", "enable the key"),
        (403, "InvalidObjectState", "restore it"),
        (403, "AllAccessDisabled", "ask the owner"),
    ] {
        let store = StandIn::start(move |_| Answer::error(status, code)).await;
        let daemon = two_attempts(&world).set("s3.endpoint_url", store.url()).start_ready().await;
        let job = world.submit("face.jpg").await;
        let message = failure(&world, &job, "object_forbidden").await;
        assert!(message.contains(says) && message.ends_with(&format!("({status} {code})")), "{message}");
        daemon.term();
        daemon.wait_exit(crate::harness::wait::STARTED).await;
    }
}
