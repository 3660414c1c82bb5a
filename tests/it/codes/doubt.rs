//! Calls that may have been paid for: no answer, or none that is a verdict. Never `live`, and the bill is what the policy says.

use serde_json::json;

use super::{Ending, assert_ended, assert_over, send};
use crate::harness::daemon::DaemonBuilder;
use crate::harness::wait::{SOON, eventually};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

#[tokio::test]
async fn a_call_without_an_answer_is_made_again_where_that_is_the_policy() {
    let world = World::new("in_doubt_retry").await;
    let _daemon = impatient(&world).set("api.in_doubt", "retry").start_ready().await;
    for (fault, says) in [("reset-after", "before the answer"), ("hang", "no answer within 3s")] {
        let bytes = jpeg::tiny(fault.len() as u64);
        let digest = sha256(&bytes);
        let stored = world.upload(fault, bytes).await;
        world.simulator.configure(json!({ "faults": format!("{fault}=x1") })).await;
        let passing = send(&world, &format!("passing-{fault}"), json!({ "key": stored.key })).await;
        let event = world.event_for(&passing.id).await;
        assert!(event.outcome().is_some(), "{}", event.json);
        assert_eq!(event.json["data"]["check"]["attempts"], 2);
        assert_eq!(world.simulator.billed(&digest).await, 2, "{fault}: once in doubt, once for the verdict");

        world.simulator.reset().await;
        world.simulator.configure(json!({ "faults": format!("{fault}=100%") })).await;
        let lasting = send(&world, &format!("lasting-{fault}"), json!({ "key": stored.key })).await;
        assert_ended(&world, &[(lasting, Ending::at_once("api_in_doubt", says).after(2))]).await;
        assert_eq!(world.simulator.billed(&digest).await, 2, "{fault}: one call for each attempt, no quick ones");
    }
    assert_over(&world, 4, 2).await;
}

#[tokio::test]
async fn a_call_without_an_answer_is_set_aside_where_that_is_the_policy() {
    let world = World::new("in_doubt_park").await;
    let daemon = impatient(&world).set("api.in_doubt", "park").start_ready().await;
    for (fault, says) in [("reset-after", "before the answer"), ("hang", "no answer within 3s")] {
        let bytes = jpeg::tiny(fault.len() as u64);
        let stored = world.upload(fault, bytes.clone()).await;
        world.simulator.configure(json!({ "faults": format!("{fault}=x1") })).await;
        let sent = send(&world, fault, json!({ "key": stored.key })).await;
        assert_ended(&world, &[(sent, Ending::at_once("api_in_doubt", says))]).await;
        assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1, "{fault}");
    }
    assert_eq!(daemon.metric("antispoofd_api_billable_calls_total").await, Some(2.0), "our own count agrees");
    assert_over(&world, 2, 2).await;
}

#[tokio::test]
async fn a_success_that_is_no_verdict_is_set_aside_where_that_is_the_policy() {
    let world = World::new("bad_response_park").await;
    let _daemon = impatient(&world).set("api.in_doubt", "park").start_ready().await;
    for (fault, says) in [("garbage", "not JSON"), ("truncated", "broke off")] {
        let bytes = jpeg::tiny(2000 + fault.len() as u64);
        let stored = world.upload(fault, bytes.clone()).await;
        world.simulator.configure(json!({ "faults": format!("{fault}=x1") })).await;
        let sent = send(&world, fault, json!({ "key": stored.key })).await;
        let event = world.event_for(&sent.id).await;
        assert_eq!(event.json["data"]["check"]["in_doubt"], 1, "{fault}: it may have been paid for");
        assert_ended(&world, &[(sent, Ending::at_once("api_bad_response", says).status(200))]).await;
        assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1, "{fault}");
    }
    assert_over(&world, 2, 2).await;
}

#[tokio::test]
async fn what_was_set_aside_is_not_paid_for_by_sending_it_again() {
    let world = World::new("in_doubt_again").await;
    let _daemon = impatient(&world).set("api.in_doubt", "park").start_ready().await;
    let bytes = jpeg::tiny(3000);
    let stored = world.upload("again", bytes.clone()).await;
    world.simulator.configure(json!({ "faults": "reset-after=x1" })).await;
    let job = json!({ "id": "again", "key": stored.key });
    for times in 1..=2 {
        world.submit_job(job.clone()).await;
        eventually("its event", SOON, async || match world.events_for("again").await.len() {
            seen if seen >= times => Ok(()),
            seen => Err(format!("{seen} events")),
        })
        .await;
    }
    for event in world.events_for("again").await {
        assert_eq!(event.failure_code(), Some("api_in_doubt"));
        assert_eq!(event.json["data"]["check"]["in_doubt"], 1);
    }
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
}

#[tokio::test]
async fn what_a_gateway_gave_up_may_have_been_paid_for() {
    let world = World::new("gateway").await;
    world.simulator.configure(json!({ "faults": "504=100%" })).await;
    let bytes = jpeg::tiny(3000);
    let stored = world.upload("gateway", bytes.clone()).await;
    let daemon = impatient(&world).set("api.in_doubt", "retry").start_ready().await;
    let tried = send(&world, "tried", json!({ "key": stored.key })).await;
    let event = world.event_for(&tried.id).await;
    assert_eq!(event.json["data"]["check"]["in_doubt"], 2, "{}", event.json);
    assert_ended(&world, &[(tried, Ending::at_once("api_unavailable", "504").status(504).after(2))]).await;
    assert_eq!(world.simulator.stats().await["calls"], 2, "a call for each attempt: no quick tries");
    assert_eq!(daemon.metric("antispoofd_api_in_doubt_total").await, Some(2.0));
    daemon.term();
    daemon.wait_exit(SOON).await;

    let _daemon = impatient(&world).set("api.in_doubt", "park").start_ready().await;
    let parked = send(&world, "parked", json!({ "key": stored.key })).await;
    assert_ended(&world, &[(parked, Ending::at_once("api_unavailable", "504").status(504))]).await;
    assert_eq!(world.simulator.stats().await["calls"], 3);
    assert_over(&world, 2, 2).await;
}

#[tokio::test]
async fn a_success_that_is_no_verdict_is_never_one() {
    let world = World::new("api_bad_response").await;
    let _daemon = impatient(&world).start_ready().await;
    for (fault, says) in
        [("garbage", "not JSON"), ("garbage-json", "not a verdict"), ("empty", "cut off"), ("truncated", "broke off")]
    {
        let bytes = jpeg::tiny(1000 + fault.len() as u64);
        let digest = sha256(&bytes);
        let stored = world.upload(fault, bytes).await;
        world.simulator.reset().await;
        world.simulator.configure(json!({ "faults": format!("{fault}=x1"), "verdict": "spoof" })).await;
        let passing = send(&world, &format!("passing-{fault}"), json!({ "key": stored.key })).await;
        let event = world.event_for(&passing.id).await;
        assert_eq!(event.outcome(), Some("spoof"), "{fault}: {}", event.json);
        assert_eq!(event.json["data"]["check"]["attempts"], 2, "{fault}");
        assert_eq!(event.json["data"]["check"]["in_doubt"], 1, "{fault}: the first may have been paid for");
        assert_eq!(world.simulator.billed(&digest).await, 2, "{fault}");

        world.simulator.configure(json!({ "faults": format!("{fault}=100%") })).await;
        let lasting = send(&world, &format!("lasting-{fault}"), json!({ "key": stored.key })).await;
        let ending = Ending::at_once("api_bad_response", says).status(200).after(2);
        assert_ended(&world, &[(lasting, ending)]).await;
        assert_eq!(world.simulator.billed(&digest).await, 4, "{fault}: no quick tries");
    }
    assert_over(&world, 8, 4).await;
    assert!(world.events().await.iter().all(|event| event.outcome() != Some("live")));
}

/// One that gives an answer three seconds, which is enough for one that comes on a busy machine, and a job two attempts.
fn impatient(world: &World) -> DaemonBuilder {
    let daemon = world.daemon().set("retry.max_attempts", "2").set("retry.delays", "1s");
    daemon.set("api.timeout", "3s").set("api.connect_timeout", "1s")
}
