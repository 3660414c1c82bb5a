//! The main job, end to end.

use crate::harness::world::World;
use crate::images::{self, jpeg};
use serde_json::json;

#[tokio::test]
async fn an_image_becomes_a_verdict() {
    let world = World::new("an_image_becomes_a_verdict").await;
    let _daemon = world.daemon().start_ready().await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("selfie.jpg", bytes.clone()).await;
    let job = world.submit_job(json!({ "key": stored.key, "metadata": { "applicant": "42" } })).await;

    let event = world.event_for(&job).await;
    let data = &event.json["data"];
    let outcome = data["outcome"].as_str().expect("an outcome");
    assert_eq!(outcome == "spoof", data["spoof_detected"].as_bool().expect("the vendor's field"));
    assert_eq!(event.routing_key, format!("verdict.{outcome}"));
    assert_eq!(data["image"]["bytes"], bytes.len());
    assert_eq!(data["image"]["digest"], format!("sha256:{}", images::sha256(&bytes)));
    assert_eq!(data["check"]["attempts"], 1);
    assert_eq!(data["metadata"], json!({ "applicant": "42" }));
    assert_eq!(world.simulator.billed(&images::sha256(&bytes)).await, 1);
    world.assert_drained().await;
}
