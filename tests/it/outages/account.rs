//! Faults of the account or the settings: nobody's job is blamed, and one probe finds out when it is over.

use std::time::Duration;

use serde_json::{Value, json};

use crate::batch::Batch;
use crate::harness::broker::{JOBS, PARKED};
use crate::harness::wait::{EVENTUALLY, SOON, eventually_equals, holds};
use crate::harness::world::World;
use reqwest::StatusCode;

#[tokio::test]
async fn a_wrong_secret_burns_no_queue() {
    let wrong =
        json!({ "type": "keys", "api_key": "it-api-key", "secret": "another-0123456789abcdef0123456789abcdef" });
    let right =
        json!({ "type": "keys", "api_key": "it-api-key", "secret": "it-secret-0123456789abcdef0123456789abcdef" });
    at_fault("api_401", json!({ "auth": wrong }), json!({ "auth": right })).await;
}

#[tokio::test]
async fn no_money_burns_no_queue() {
    at_fault("api_402", json!({ "faults": "402=100%" }), json!({ "faults": "" })).await;
}

#[tokio::test]
async fn a_forbidden_account_burns_no_queue() {
    at_fault("api_403", json!({ "faults": "403=100%" }), json!({ "faults": "" })).await;
}

#[tokio::test]
async fn a_wrong_address_burns_no_queue() {
    at_fault("api_404", json!({ "faults": "404=100%" }), json!({ "faults": "" })).await;
}

#[tokio::test]
async fn a_refusal_without_a_meaning_burns_no_queue() {
    at_fault("api_418", json!({ "faults": "418=100%" }), json!({ "faults": "" })).await;
}

async fn at_fault(test: &str, broken: Value, mended: Value) {
    const WAITING: usize = 6;
    /// With a first wait of 200 ms that doubles there are at most five probes in this time, and each may be made twice, with a fresh token.
    const WATCHED: Duration = Duration::from_secs(3);
    const MOST_REQUESTS: u64 = 10;

    let world = World::new(test).await;
    world.simulator.configure(broken).await;
    let daemon = world.daemon().set("worker.concurrency", "4").set("api.probe_interval", "200ms").start_ready().await;
    let first = Batch::submitted(&world, 8).await;
    eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric("antispoofd_gate_open").await).await;
    eventually_equals("one job in hand", SOON, Some(1.0), async || daemon.metric("antispoofd_jobs_in_flight").await)
        .await;
    eventually_equals("the consumer to be gone", SOON, Some(0.0), async || {
        daemon.metric("antispoofd_amqp_consuming").await
    })
    .await;
    let (ready, body) = daemon.get("/readyz").await.expect("an answer");
    assert_eq!(ready, StatusCode::OK, "paused on purpose is ready: {body}");

    // One probe at a time, ever more rarely, and nothing is consumed.
    world.simulator.reset().await;
    let mut second = Batch::stored(&world, WAITING).await;
    second.submit(&world).await;
    holds("only one probe at a time", WATCHED, async || {
        let stats = world.simulator.stats().await;
        let requests = stats["rejected"].as_u64().unwrap_or(0) + stats["calls"].as_u64().unwrap_or(0);
        let most = stats["max_in_flight"].as_u64().unwrap_or(0);
        if requests <= MOST_REQUESTS && most <= 1 { Ok(()) } else { Err(stats.to_string()) }
    })
    .await;
    let waiting = world.broker.depth(JOBS).await.expect("the job queue");
    assert!(usize::try_from(waiting).expect("a few") >= WAITING, "{waiting} wait: nothing is consumed");
    assert_eq!(world.broker.depth(PARKED).await, Some(0), "nobody is blamed");
    assert!(world.events().await.is_empty(), "nothing has ended");

    world.simulator.configure(mended).await;
    // The longer it was closed, on a slow machine, the later the next probe is due.
    eventually_equals("the gate to open", EVENTUALLY, Some(1.0), async || daemon.metric("antispoofd_gate_open").await)
        .await;
    first.verdicts(&world).await;
    second.verdicts(&world).await;
    for event in world.events().await {
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "no attempt was spent: {}", event.json);
    }
    assert_eq!(world.simulator.count("billed").await, 14, "each job is paid for once");
    world.assert_drained().await;
}
