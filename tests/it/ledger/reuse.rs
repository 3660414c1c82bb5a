//! Which verdicts are given again.

use super::{events, publish};
use crate::harness::broker::Message;
use crate::harness::store::BUCKET;
use crate::harness::wait::{EVENTUALLY, SOON, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};
use serde_json::json;

fn reused(event: &Message) -> bool {
    event.json["data"]["check"]["reused"] == true
}

#[tokio::test]
async fn two_workers_that_share_a_ledger_pay_once_for_a_job() {
    let world = World::new("ledger_shared").await;
    let _first = world.daemon_with_redis().start_ready().await;
    let _second = world.daemon_with_redis().start_ready().await;
    world.simulator.configure(json!({ "latency": "500ms" })).await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let job =
        json!({ "id": world.submit_job(json!({ "key": stored.key })).await, "bucket": BUCKET, "key": stored.key });
    for _ in 0..7 {
        publish(&world, &job).await;
    }
    let events = events(&world, job["id"].as_str().expect("an id"), 8).await;
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
    assert_eq!(events.iter().filter(|event| !reused(event)).count(), 1);
    assert!(events.iter().all(|event| event.json["id"] == events[0].json["id"]), "the same end has the same id");
    world.assert_drained().await;
}

#[tokio::test]
async fn the_same_content_is_paid_for_once_where_that_is_wanted() {
    let world = World::new("ledger_object").await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let daemon = world.daemon_with_redis().set("ledger.reuse", "object").start_ready().await;
    let first = world.submit(&stored.key).await;
    let first = world.event_for(&first).await;
    let second = world.submit(&stored.key).await;
    let second = world.event_for(&second).await;
    assert!(!reused(&first) && reused(&second));
    assert_ne!(first.json["id"], second.json["id"], "another job has another end");
    for field in ["accuracy", "spoof_detected", "outcome", "image"] {
        assert_eq!(first.json["data"][field], second.json["data"][field], "{field}");
    }
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
    assert_eq!(daemon.metric("antispoofd_verdicts_reused_total").await, Some(1.0));
    drop(daemon);

    // What is remembered is the vendor's word; what it means is for the settings of today.
    let _strict =
        world.daemon_with_redis().set("ledger.reuse", "object").set("api.review_below", "1").start_ready().await;
    let third = world.submit(&stored.key).await;
    let third = world.event_for(&third).await;
    assert!(reused(&third));
    assert_eq!((third.outcome(), &third.json["data"]["accuracy"]), (Some("review"), &first.json["data"]["accuracy"]));

    // Other content under the same key is another object.
    let other = jpeg::tiny(2);
    world.upload("face.jpg", other.clone()).await;
    let fourth = world.submit(&stored.key).await;
    assert!(!reused(&world.event_for(&fourth).await));
    assert_eq!(world.simulator.billed(&sha256(&other)).await, 1);
    world.assert_drained().await;
}

#[tokio::test]
async fn a_job_that_is_published_again_is_paid_for_again_only_where_that_is_wanted() {
    let world = World::new("ledger_off").await;
    let daemon = world.daemon_with_redis().set("ledger.reuse", "off").start_ready().await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let job =
        json!({ "id": world.submit_job(json!({ "key": stored.key })).await, "bucket": BUCKET, "key": stored.key });
    let id = job["id"].as_str().expect("an id");
    events(&world, id, 1).await;
    world.assert_drained().await;
    // Its end is forgotten after the ack, and counted when both are done.
    let told = "antispoofd_settlements_total{kind=\"announced\"}";
    eventually_equals("its end to be forgotten", SOON, Some(1.0), async || daemon.metric(told).await).await;
    publish(&world, &job).await;
    let events = events(&world, id, 2).await;
    assert!(events.iter().all(|event| !reused(event)));
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 2);
    world.assert_drained().await;
}

/// The worker's session ends under the call, so the ack cannot be written and the broker brings the job again.
#[tokio::test]
async fn a_redelivery_after_a_lost_session_is_not_paid_for_again_where_nothing_is_reused() {
    let world = World::new("ledger_off_cut").await;
    world.simulator.configure(json!({ "latency": "3s" })).await;
    let daemon = world.daemon_with_redis().set("ledger.reuse", "off").start_ready().await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let job = json!({ "id": "kyc-1", "bucket": BUCKET, "key": stored.key });
    publish(&world, &job).await;
    eventually_equals("the call", SOON, 1, async || world.simulator.count("calls").await).await;
    world.amqp_link.cut().await;
    world.amqp_link.restore().await;
    // Told once or twice: the call ends before the next session is there, or after.
    let told = events(&world, "kyc-1", 1).await;
    assert!(told.iter().all(|event| event.outcome().is_some()));
    let announced = "antispoofd_settlements_total{kind=\"announced\"}";
    eventually_equals("the redelivery to be told of", EVENTUALLY, Some(1.0), async || daemon.metric(announced).await)
        .await;
    world.assert_drained().await;
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
    // Now it is forgotten.
    publish(&world, &job).await;
    let billed = async || world.simulator.billed(&sha256(&bytes)).await;
    eventually_equals("another call", EVENTUALLY, 2, billed).await;
    eventually_equals("its end", EVENTUALLY, Some(2.0), async || daemon.metric(announced).await).await;
    world.assert_drained().await;
}
