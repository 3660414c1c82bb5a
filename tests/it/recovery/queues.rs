//! Queues that are deleted, or are not what they should be.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{reconnected, said};
use crate::batch::Batch;
use crate::harness::broker::JOBS;
use crate::harness::wait::{SOON, STARTED, eventually, eventually_equals, holds};
use crate::harness::world::World;
use crate::images::jpeg;

#[tokio::test]
async fn a_deleted_job_queue_is_declared_again() {
    let world = World::new("deleted_jobs").await;
    let daemon = world.daemon().start_ready().await;
    world.broker.delete_queue(JOBS).await;
    reconnected(&daemon, 1.0).await;
    daemon.wait_logged("cancelled the consumer").await;
    daemon.wait_ready().await;
    let batch = Batch::submitted(&world, 3).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn a_deleted_delay_queue_is_declared_again() {
    let world = World::new("deleted_delay").await;
    let daemon = world.daemon().start_ready().await;
    world.broker.delete_queue("antispoof.retry.1s").await;
    // Its object is not there yet, so the job has to wait where no queue is.
    let key = world.store.key("late.jpg");
    let job = world.submit(&key).await;
    reconnected(&daemon, 1.0).await;
    daemon.wait_logged("antispoof.retry.1s is not bound").await;
    world.upload("late.jpg", jpeg::tiny(1)).await;
    let event = world.event_for(&job).await;
    assert_eq!(event.failure_code(), None, "{}", event.json);
    assert_eq!(world.simulator.count("billed").await, 1);
    world.assert_drained().await;
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_named_and_waited_for() {
    const WATCHED: Duration = Duration::from_secs(3);
    /// The pauses start at 100 ms and double.
    const MOST_TRIES: usize = 8;

    let world = World::new("other_arguments").await;
    world.broker.declare_otherwise(JOBS).await;
    let daemon = world.daemon().start();
    daemon.wait_status("/readyz", StatusCode::SERVICE_UNAVAILABLE, STARTED).await;
    eventually("the queue to be named", SOON, async || match said(&daemon, "queue antispoof.jobs") {
        0 => Err(format!("{:?}", daemon.logs())),
        _ => Ok(()),
    })
    .await;
    // With the broker's reason.
    daemon.wait_logged("PRECONDITION").await;
    let before = said(&daemon, "connecting again");
    holds("no hot loop", WATCHED, async || match said(&daemon, "connecting again") - before {
        tries if tries <= MOST_TRIES && daemon.is_running() => Ok(()),
        tries => Err(format!("{tries} tries")),
    })
    .await;
    assert_eq!(daemon.get("/readyz").await.expect("an answer").0, StatusCode::SERVICE_UNAVAILABLE);
    // Each failed try has given its connections back.
    eventually("no connection to be left over", SOON, async || match world.amqp_link.open() {
        now if now <= 2 => Ok(()),
        now => Err(format!("{now} open")),
    })
    .await;

    world.broker.delete_queue(JOBS).await;
    daemon.wait_ready().await;
    let batch = Batch::submitted(&world, 3).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    eventually_equals("three connections", SOON, 3, async || world.amqp_link.open()).await;
    world.assert_drained().await;
}

/// A broker that reaches no leader of a quorum queue says that it has neither messages nor consumers: findings/rabbitmq-quorum-declare-says-empty.sh.
#[tokio::test]
async fn a_job_queue_that_is_said_to_have_no_consumer_ends_no_session() {
    const WATCHED: Duration = Duration::from_secs(3);

    let world = World::new("hollow").await;
    let builder = world.daemon().set("worker.concurrency", "1").set("amqp.watchdog_interval", "1s");
    let daemon = builder.start_ready().await;
    let known = async || {
        let (_, body) = daemon.get("/status?history=0").await.ok()?;
        let status: Value = serde_json::from_str(&body).ok()?;
        let queues = status["queues"].as_array()?;
        queues.iter().find(|queue| queue["queue"] == JOBS).map(|queue| queue["ready"].clone())
    };
    eventually_equals("the depth to be known", SOON, Some(json!(0)), known).await;
    world.amqp_link.hollow(Some(JOBS));
    eventually_equals("the depth to be unknown", SOON, Some(Value::Null), known).await;
    holds("one session", WATCHED, async || match daemon.metric("antispoofd_amqp_reconnects_total").await {
        Some(0.0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Batch::submitted(&world, 3).await.verdicts(&world).await;
    world.amqp_link.hollow(None);
    eventually_equals("the depth to be known again", SOON, Some(json!(0)), known).await;
    world.assert_drained().await;
}
