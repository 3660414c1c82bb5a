//! A worker that dies: what it paid for is not paid for again, and what it may have paid for is known to be so.

use super::events;
use crate::harness::daemon::DaemonBuilder;
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};
use serde_json::json;
use std::path::Path;

fn with_file(world: &World, folder: &Path) -> DaemonBuilder {
    world.daemon().set("ledger.backend", "file").set("ledger.path", folder.join("ledger.redb").display().to_string())
}

#[tokio::test]
async fn a_verdict_that_was_not_told_is_told_by_the_next_process() {
    let world = World::new("ledger_crash_verdict").await;
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = with_file(&world, folder.path()).start_ready().await;
    world.broker.unbind_results().await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let job = world.submit(&stored.key).await;
    let unroutable = "antispoofd_results_published_total{status=\"unroutable\"}";
    eventually("a verdict that has nowhere to go", SOON, async || match daemon.metric(unroutable).await {
        Some(count) if count >= 1.0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    daemon.kill();
    daemon.wait_exit(STARTED).await;
    world.broker.bind_results().await;
    let _next = with_file(&world, folder.path()).start_ready().await;
    let event = world.event_for(&job).await;
    assert!(event.outcome().is_some(), "{}", event.json);
    assert_eq!(event.json["data"]["check"]["reused"], true);
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
    world.assert_drained().await;
}

#[tokio::test]
async fn a_call_that_a_crash_cut_off_is_in_doubt_at_once_in_a_file() {
    let world = World::new("ledger_crash_file").await;
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = with_file(&world, folder.path()).set("api.in_doubt", "park").start_ready().await;
    world.simulator.configure(json!({ "latency": "20s" })).await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let job = world.submit(&stored.key).await;
    // Whole, and not only begun: killed before, it would be none.
    eventually_equals("the call", SOON, 1, async || world.simulator.count("calls").await).await;
    daemon.kill();
    daemon.wait_exit(STARTED).await;
    let _next = with_file(&world, folder.path()).set("api.in_doubt", "park").start_ready().await;
    let event = world.event_for(&job).await;
    assert_eq!(event.failure_code(), Some("api_in_doubt"));
    assert_eq!(event.json["data"]["check"]["in_doubt"], 1);
    assert_eq!(world.simulator.count("calls").await, 1, "nobody called again");
    // The copy is made after the event.
    let parked = eventually("the parked message", SOON, async || {
        world.broker.parked().await.pop().ok_or_else(|| "nothing is there".to_owned())
    })
    .await;
    assert_eq!(parked.headers["as-in-doubt"], 1);
    world.assert_drained().await;
}

/// The claim of the dead has to run out first: half a minute and the longest step.
#[tokio::test]
async fn a_call_that_a_crash_cut_off_is_in_doubt_for_the_other_workers() {
    let world = World::new("ledger_crash_redis").await;
    let impatient = |world: &World| {
        let daemon = world.daemon_with_redis().set("api.timeout", "8s").set("api.connect_timeout", "1s");
        daemon.set("s3.timeout", "1s").set("s3.connect_timeout", "1s").set("s3.read_timeout", "1s")
    };
    let first = impatient(&world).start_ready().await;
    // Time enough, on a busy machine, to kill it under its call.
    world.simulator.configure(json!({ "latency": "7s" })).await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let job = world.submit(&stored.key).await;
    eventually_equals("the call", SOON, 1, async || world.simulator.count("calls").await).await;
    first.kill();
    first.wait_exit(STARTED).await;
    world.simulator.configure(json!({ "latency": "0s" })).await;
    let second = impatient(&world).start_ready().await;
    let returned = "antispoofd_settlements_total{kind=\"returned\"}";
    eventually("the job to be somebody else's", EVENTUALLY, async || match second.metric(returned).await {
        Some(count) if count >= 1.0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let events = events(&world, &job, 1).await;
    assert!(events[0].outcome().is_some(), "{}", events[0].json);
    assert_eq!(events[0].json["data"]["check"]["in_doubt"], 1);
    assert_eq!(events[0].json["data"]["check"]["attempts"], 1, "waiting for the claim costs no attempt");
    world.assert_drained().await;
}
