//! What may pass: tried again after a delay, parked when the attempts are used up, and a verdict when it has passed.

use serde_json::json;

use super::{Ending, assert_ended, assert_over, send};
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::iam::User;
use crate::harness::wait::{EVENTUALLY, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

/// Time enough, on a machine that has better things to do, to end a fault before the second attempt.
const UNHURRIED: &str = "8s";

#[tokio::test]
async fn an_object_that_is_not_there_is_waited_for_and_then_parked() {
    let world = World::new("object_not_found").await;
    let daemon = two_attempts(&world).set("retry.delays", UNHURRIED).start_ready().await;
    let never = send(&world, "never", json!({ "key": world.store.key("never.jpg") })).await;
    let late = send(&world, "late", json!({ "key": world.store.key("late.jpg") })).await;
    deferred(&daemon, 2.0).await;
    let bytes = jpeg::tiny(1);
    world.upload("late.jpg", bytes.clone()).await;

    assert_verdict_after_two(&world, &late.id).await;
    let ending = Ending::at_once("object_not_found", "no such object (404 NoSuchKey)").status(404).after(2);
    assert_ended(&world, &[(never, ending)]).await;
    assert_eq!(world.simulator.count("calls").await, 1, "for the one that came");
    assert_over(&world, 2, 1).await;
}

#[tokio::test]
async fn a_store_that_refuses_the_read() {
    let world = World::new("object_forbidden").await;
    let writer = User::new(&world.services, "writer", "writeonly").await;
    let builder = two_attempts(&world).env("AWS_ACCESS_KEY_ID", &writer.access_key);
    let _daemon = builder.env("AWS_SECRET_ACCESS_KEY", &writer.secret_key).start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let sent = send(&world, "forbidden", json!({ "key": stored.key })).await;
    let ending = Ending::at_once("object_forbidden", "allow s3:GetObject").status(403).after(2);
    assert_ended(&world, &[(sent, ending)]).await;
    assert_eq!(world.simulator.count("calls").await, 0);
    assert_over(&world, 1, 1).await;
    writer.remove().await;
}

#[tokio::test]
async fn a_store_that_is_cut_off() {
    let world = World::new("store_unavailable").await;
    let daemon = two_attempts(&world).set("retry.delays", UNHURRIED).start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;

    world.s3_link.cut().await;
    let passing = send(&world, "passing", json!({ "key": stored.key })).await;
    deferred(&daemon, 1.0).await;
    world.s3_link.restore().await;
    assert_verdict_after_two(&world, &passing.id).await;

    world.s3_link.cut().await;
    let lasting = send(&world, "lasting", json!({ "key": stored.key })).await;
    let ending = Ending::at_once("store_unavailable", "connection").after(2);
    assert_ended(&world, &[(lasting, ending)]).await;
    assert_eq!(world.simulator.count("calls").await, 1);
    assert_over(&world, 2, 1).await;
}

#[tokio::test]
async fn a_store_that_does_not_answer() {
    let world = World::new("store_timeout").await;
    let quick = two_attempts(&world).set("s3.connect_timeout", "1s").set("s3.timeout", "2s");
    let quick = quick.set("s3.read_timeout", "2s").set("retry.delays", UNHURRIED);
    let daemon = quick.start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;

    world.s3_link.freeze();
    let passing = send(&world, "passing", json!({ "key": stored.key })).await;
    deferred(&daemon, 1.0).await;
    world.s3_link.thaw();
    assert_verdict_after_two(&world, &passing.id).await;

    world.s3_link.freeze();
    let lasting = send(&world, "lasting", json!({ "key": stored.key })).await;
    assert_ended(&world, &[(lasting, Ending::at_once("store_timeout", "did not answer within 2s").after(2))]).await;
    assert_eq!(world.simulator.count("calls").await, 1);
    assert_over(&world, 2, 1).await;
}

#[tokio::test]
async fn an_api_that_asks_to_slow_down_in_either_form() {
    let world = World::new("api_rate_limited").await;
    let _daemon = two_attempts(&world).start_ready().await;
    for form in ["seconds", "date"] {
        let bytes = jpeg::tiny(form.len() as u64);
        let stored = world.upload(form, bytes.clone()).await;
        let faults = |faults: &str| json!({ "faults": faults, "retry_after": "2s", "retry_after_form": form });
        world.simulator.configure(faults("429=x1")).await;
        let passing = send(&world, &format!("passing-{form}"), json!({ "key": stored.key })).await;
        assert_verdict_after_two(&world, &passing.id).await;
        assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);

        world.simulator.reset().await;
        world.simulator.configure(faults("429=100%")).await;
        let lasting = send(&world, &format!("lasting-{form}"), json!({ "key": stored.key })).await;
        let ending = Ending::at_once("api_rate_limited", "the API answered 429").status(429).after(2);
        assert_ended(&world, &[(lasting, ending)]).await;
        // Two seconds of Retry-After are more than retry.quick_max, so there are no tries in memory.
        assert_eq!(world.simulator.count("calls").await, 2);
        assert_eq!(world.simulator.count("billed").await, 0);
    }
    assert_over(&world, 4, 2).await;
}

#[tokio::test]
async fn an_api_that_cannot_work() {
    let world = World::new("api_unavailable").await;
    let daemon = two_attempts(&world).start_ready().await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    world.simulator.configure(json!({ "faults": "503=x3" })).await;
    let passing = send(&world, "passing", json!({ "key": stored.key })).await;
    assert_verdict_after_two(&world, &passing.id).await;
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);

    // So large that it cannot have left this machine when the reset comes: of a small one nobody could say.
    let large = world.upload("large.jpg", [jpeg::tiny(1), vec![0; 9 << 20]].concat()).await;
    for (fault, says, status, stored) in [
        ("503", "answered 503", Some(503), &stored),
        ("408", "answered 408", Some(408), &stored),
        ("reset-before", "broke", None, &large),
    ] {
        world.simulator.reset().await;
        world.simulator.configure(json!({ "faults": format!("{fault}=100%") })).await;
        let lasting = send(&world, &format!("lasting-{fault}"), json!({ "key": stored.key })).await;
        let ending = Ending { http_status: status, ..Ending::at_once("api_unavailable", says).after(2) };
        assert_ended(&world, &[(lasting, ending)]).await;
        assert_eq!(world.simulator.count("billed").await, 0, "{fault}");
        if status.is_some() {
            assert_eq!(world.simulator.count("calls").await, 6, "two attempts of three tries each");
        }
    }

    world.api_link.cut().await;
    let refused = send(&world, "refused", json!({ "key": stored.key })).await;
    assert_ended(&world, &[(refused, Ending::at_once("api_unavailable", "refused").after(2))]).await;
    // Two deliveries of each lasting job, and the first of the passing one.
    let failures = daemon.metric("antispoofd_failures_total{code=\"api_unavailable\"}").await;
    assert_eq!(failures, Some(9.0), "every attempt that failed counts once");
    assert_over(&world, 5, 4).await;
}

fn two_attempts(world: &World) -> DaemonBuilder {
    world.daemon().set("retry.max_attempts", "2").set("retry.delays", "1s")
}

/// Waits until so many attempts have ended in a delay queue.
async fn deferred(daemon: &Daemon, attempts: f64) {
    let series = "antispoofd_settlements_total{kind=\"deferred\"}";
    eventually_equals("attempts that ended in the delay queue", EVENTUALLY, Some(attempts), async || {
        daemon.metric(series).await
    })
    .await;
}

/// The fault was there for the first attempt only.
async fn assert_verdict_after_two(world: &World, job: &str) {
    let event = world.event_for(job).await;
    crate::contract::assert_valid_event(&event);
    assert!(event.outcome().is_some(), "{}", event.json);
    assert_eq!(event.json["data"]["check"]["attempts"], 2);
    assert_eq!(event.json["data"]["check"]["reused"], false);
}
