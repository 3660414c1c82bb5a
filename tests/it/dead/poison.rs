//! A message that ends each session at its delivery, before anything of it arrives. A harmless stand-in: the link resets whatever connection brings it.

use serde_json::json;

use super::ends;
use crate::harness::broker::{DEAD, JOBS};
use crate::harness::wait::{EVENTUALLY, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

const NEIGHBOURS: u64 = 10;

/// The limit of the job queue and one: so often a message is delivered there.
const IN_THE_JOB_QUEUE: u64 = 21;

/// The same of the dead queue, at most: from RabbitMQ 4.3 on a message brings its count along, and the limit is used up at once.
const IN_THE_DEAD_QUEUE: std::ops::RangeInclusive<u64> = 1..=4;

#[tokio::test]
async fn a_message_that_ends_each_session_takes_no_neighbour_along() {
    const POISON: &str = "it-must-not-pass";

    let world = World::new("poison").await;
    world.simulator.configure(json!({ "latency": "100ms" })).await;
    let daemon = world.daemon().set("worker.concurrency", "16").start_ready().await;
    let mut keys = Vec::new();
    let mut digests = Vec::new();
    for number in 0..NEIGHBOURS {
        let bytes = jpeg::tiny(number);
        digests.push(sha256(&bytes));
        keys.push(world.upload(&format!("{number}.jpg"), bytes).await.key);
    }
    world.amqp_link.poison(Some(POISON.as_bytes()));
    // Among its neighbours, which are delivered with it.
    let (before, after) = keys.split_at(keys.len() / 2);
    let mut jobs = world.submit_all(before.iter().map(String::as_str)).await;
    let (_, body) = world.job(json!({ "key": POISON }));
    assert!(world.broker.try_publish(JOBS, &body).await);
    jobs.extend(world.submit_all(after.iter().map(String::as_str)).await);

    for event in world.events_for_all(&jobs).await {
        assert_eq!(event.failure_code(), None, "{:?} did nothing", event.job_id());
    }
    for digest in &digests {
        assert_eq!(world.simulator.billed(digest).await, 1, "one call each");
    }
    // It goes alone to where the broker moves what it delivers too often, and on from there.
    eventually("the message to be parked by the broker", EVENTUALLY, async || match world.broker.parked().await {
        parked if parked.is_empty() => Err("nothing is parked".to_owned()),
        parked => {
            assert_eq!(parked.len(), 1, "one victim");
            assert_eq!((&parked[0].body, &parked[0].headers["as-code"]), (&body, &json!(null)));
            Ok(())
        }
    })
    .await;
    let in_the_dead_queue = world.amqp_link.poisoned() - IN_THE_JOB_QUEUE;
    assert!(IN_THE_DEAD_QUEUE.contains(&in_the_dead_queue), "{in_the_dead_queue}");
    let cuts =
        async |queue: &str| daemon.metric(&format!("antispoofd_amqp_consumer_cuts_total{{queue=\"{queue}\"}}")).await;
    // On a busy machine the broker may answer too late for a cut to be told from an end of everything.
    for queue in ["jobs", "dead"] {
        eventually(&format!("cuts of {queue} to be counted"), EVENTUALLY, async || match cuts(queue).await {
            Some(counted) if counted >= 1.0 => Ok(()),
            counted => Err(format!("{counted:?}")),
        })
        .await;
    }
    daemon.wait_logged("Jobs are taken one at a time").await;
    daemon.wait_logged("it gets no event").await;
    assert_eq!(world.broker.depth(DEAD).await, Some(0));

    // All is as before.
    let another = world.submit(&world.upload("another.jpg", jpeg::tiny(99)).await.key).await;
    assert_eq!(world.event_for(&another).await.failure_code(), None);
    world.assert_drained().await;
}

/// The sessions of a worker end for its own reasons, too: the jobs that were in hand come once more, and none is given up.
#[tokio::test]
async fn after_a_lost_session_jobs_come_one_at_a_time_and_then_more() {
    let world = World::new("slow_start").await;
    world.simulator.configure(json!({ "latency": "1s" })).await;
    let daemon = world.daemon().set("worker.concurrency", "8").set("log.level", "debug").start_ready().await;
    let mut keys = Vec::new();
    for number in 0..40 {
        keys.push(world.upload(&format!("{number}.jpg"), jpeg::tiny(number)).await.key);
    }
    let jobs = world.submit_all(keys.iter().map(String::as_str)).await;
    eventually_equals("all slots to be taken", EVENTUALLY, 8, async || world.simulator.count("in_flight").await).await;
    world.amqp_link.cut().await;
    world.amqp_link.restore().await;
    let ends = ends(&world, &jobs).await;
    assert!(ends.values().all(Option::is_none), "{ends:?}");
    daemon.wait_logged("at first 1 at a time").await;
    for prefetch in [2, 4, 8] {
        daemon.wait_logged(&format!("at most {prefetch} in hand from {JOBS}")).await;
    }
    world.assert_drained().await;
}

/// A proxy that swallows a message, and everything behind it, is found out by silence; its neighbours are not taken along either.
#[tokio::test]
async fn a_message_that_stalls_its_link_is_alone_from_the_next_session_on() {
    const POISON: &str = "it-must-not-pass";

    let world = World::new("stall").await;
    let builder = world.daemon().set("worker.concurrency", "16").set("amqp.watchdog_interval", "1s");
    let daemon = builder.set("amqp.connect_timeout", "5s").start_ready().await;
    let mut keys = Vec::new();
    for number in 0..NEIGHBOURS {
        keys.push(world.upload(&format!("{number}.jpg"), jpeg::tiny(number)).await.key);
    }
    world.amqp_link.stall_at(Some(POISON.as_bytes()));
    let (poison, body) = world.job(json!({ "key": POISON }));
    assert!(world.broker.try_publish(JOBS, &body).await);
    let jobs = world.submit_all(keys.iter().map(String::as_str)).await;
    eventually("the silence to be taken for what it is", EVENTUALLY, async || {
        let said = daemon.logs_contain("Jobs are taken one at a time") && daemon.logs_contain("at first 1 at a time");
        if said { Ok(()) } else { Err("nothing is said".to_owned()) }
    })
    .await;
    world.amqp_link.stall_at(None);
    for event in world.events_for_all(&jobs).await {
        assert_eq!(event.failure_code(), None, "{:?} did nothing", event.job_id());
    }
    world.event_for(&poison).await;
    assert!(daemon.logs_contain("consuming from antispoof.jobs"));
    world.assert_drained().await;
}
