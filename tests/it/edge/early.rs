//! Answers that come before the image has been read.

use std::time::Duration;

use serde_json::json;

use crate::batch::Batch;
use crate::codes::{Ending, assert_ended, send};
use crate::harness::broker::PARKED;
use crate::harness::daemon::DaemonBuilder;
use crate::harness::simulator::Simulator;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

const JOBS: u64 = 100;
const LARGE: usize = 5_000_000;
const CONCURRENCY: u64 = 16;

/// Without the link, which would lose an answer that is followed by a reset as any relay may.
fn direct(world: &World) -> DaemonBuilder {
    world.daemon().set("api.url", Simulator::endpoint_at(world.simulator.address()))
}

/// A JPEG of 5 MB, most of it scan: of what decoders make of that, neither worker nor simulator know anything.
fn large() -> Vec<u8> {
    let mut bytes = jpeg::tiny(1);
    let end = bytes.split_off(bytes.len() - 2);
    assert_eq!(end, [0xFF, 0xD9], "the end marker");
    bytes.resize(LARGE, 0x55);
    [bytes, end].concat()
}

/// Fastify, gunicorn, axum and `HAProxy` answer by the head and close; of 5 MB most is still to be written then.
#[tokio::test]
async fn a_wrong_token_that_is_refused_early_closes_the_gate() {
    let world = World::new("early_401").await;
    let wrong =
        json!({ "type": "keys", "api_key": "it-api-key", "secret": "another-0123456789abcdef0123456789abcdef" });
    let right =
        json!({ "type": "keys", "api_key": "it-api-key", "secret": "it-secret-0123456789abcdef0123456789abcdef" });
    world.simulator.configure(json!({ "auth": wrong, "refusal": "close" })).await;
    let daemon = direct(&world).set("image.digest", "off").set("api.probe_interval", "1s").start_ready().await;
    let image = world.upload("large.jpg", large()).await;
    let jobs = world.submit_all((0..JOBS).map(|_| image.key.as_str())).await;
    eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric("antispoofd_gate_open").await).await;
    let stats = world.simulator.stats().await;
    let refused = stats["rejected"].as_u64().expect("a count");
    // Each of those in flight asks once more, with a fresh token; and the probe goes on.
    assert!(refused <= 2 * CONCURRENCY + 8, "{stats}");
    eventually_equals("one job in hand", SOON, Some(1.0), async || daemon.metric("antispoofd_jobs_in_flight").await)
        .await;
    assert_eq!(daemon.metric("antispoofd_failures_total{code=\"api_unavailable\"}").await, Some(0.0), "none was lost");
    world.simulator.configure(json!({ "auth": right })).await;
    eventually("all to be judged", EVENTUALLY, async || {
        let ended = world.events().await.iter().filter(|event| event.failure_code().is_none()).count();
        if ended == jobs.len() { Ok(()) } else { Err(format!("{ended} of {JOBS}")) }
    })
    .await;
    assert_eq!(world.broker.depth(PARKED).await, Some(0), "nobody is blamed");
    world.assert_drained().await;
}

#[tokio::test]
async fn an_image_that_is_too_large_for_the_vendor_is_sent_once() {
    const EACH: u64 = 20;
    let world = World::new("early_413").await;
    world.simulator.configure(json!({ "faults": "early-413=100%" })).await;
    let daemon = direct(&world).set("api.rejection_streak", "0").start_ready().await;
    let image = world.upload("large.jpg", large()).await;
    let mut ended = Vec::new();
    for number in 0..EACH {
        let sent = send(&world, &format!("large-{number}"), json!({ "key": image.key })).await;
        ended.push((sent, Ending::at_once("api_rejected", "the API answered 413").status(413)));
    }
    assert_ended(&world, &ended).await;
    let requests = daemon.metric("antispoofd_api_requests_total{code=\"api_rejected\"}").await;
    assert_eq!(requests, Some(20.0), "one upload each");
    for code in ["api_unavailable", "api_in_doubt"] {
        let lost = daemon.metric(&format!("antispoofd_api_requests_total{{code=\"{code}\"}}")).await;
        assert_eq!(lost, Some(0.0), "{code}");
    }
}

/// What servers do to answers that are right: compressed unasked, marked, under many headers.
#[tokio::test]
async fn a_verdict_that_comes_in_an_unusual_form_is_read_at_once() {
    let world = World::new("unusual_answers").await;
    let faults = "gzip=x3,deflate=x3,bom=x3,gzip-bom=x3,many-headers=x3";
    world.simulator.configure(json!({ "faults": faults })).await;
    let _daemon = world.daemon().start_ready().await;
    let batch = Batch::submitted(&world, 15).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    for event in world.events().await {
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "{}", event.json);
    }
    world.assert_drained().await;
}

/// The server's limit is below ours: what it closes is not written to, but for the first time.
#[tokio::test]
async fn an_idle_connection_is_left_before_its_server_closes_it() {
    const ROUNDS: usize = 6;
    let world = World::new("idle_close").await;
    world.simulator.configure(json!({ "idle_timeout": "1s" })).await;
    let daemon = world.daemon().set("worker.concurrency", "4").start_ready().await;
    let mut batch = Batch::stored(&world, (ROUNDS + 1) * 4).await;
    // Until it has seen one close, the worker cannot know: a call that is written in that very moment is in doubt.
    batch.submit_next(&world, 4).await;
    batch.verdicts(&world).await;
    eventually_equals("the idle connections to be closed", SOON, 0, async || world.api_link.open()).await;
    for _ in 0..ROUNDS {
        batch.submit_next(&world, 4).await;
        batch.verdicts(&world).await;
        // The age at which the server closes is what the test is about.
        tokio::time::sleep(Duration::from_millis(985)).await;
    }
    assert_eq!(daemon.metric("antispoofd_api_in_doubt_total").await, Some(0.0));
    batch.assert_paid_once(&world).await;
}
