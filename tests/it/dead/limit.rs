//! The reader of the dead queue: what it makes of messages, and what it does while it cannot do its work.

use lapin::BasicProperties;
use serde_json::json;

use super::ends;
use crate::harness::broker::{DEAD, JOBS, PARKED};
use crate::harness::wait::{EVENTUALLY, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

/// A message that its producer gave a time to live, and that no worker was there for.
#[tokio::test]
async fn a_time_to_live_of_the_producer_ends_in_an_event() {
    let world = World::new("expiration").await;
    drop(world.daemon().start_ready().await);
    let (job, body) = world.job(json!({ "key": "never-looked-at.jpg", "metadata": { "applicant": "42" } }));
    let properties = BasicProperties::default().with_expiration("200".into()).with_correlation_id("c-1".into());
    world.broker.publish_job(&body, properties).await;
    eventually_equals("the broker to take it off", EVENTUALLY, Some(1), async || world.broker.depth(DEAD).await).await;

    let daemon = world.daemon().start_ready().await;
    let event = world.event_for(&job).await;
    assert_eq!(event.failure_code(), Some("job_expired"));
    assert_eq!(event.properties.correlation_id().as_ref().map(lapin::types::ShortString::as_str), Some("c-1"));
    let data = &event.json["data"];
    assert_eq!((&data["metadata"]["applicant"], &data["check"]["attempts"]), (&json!("42"), &json!(0)));
    let parked = eventually("it to be parked", EVENTUALLY, async || {
        world.broker.parked().await.pop().ok_or_else(|| "nothing is there".to_owned())
    })
    .await;
    assert_eq!(parked.body, body);
    assert_eq!((&parked.headers["as-code"], &parked.headers["as-stage"]), (&json!("job_expired"), &json!("admit")));
    assert!(parked.headers["x-death"].is_null() && parked.headers["as-drop-reason"].is_null());
    assert_eq!(daemon.metric("antispoofd_amqp_reading_dead").await, Some(1.0));
    world.assert_drained().await;
}

/// A verdict that was told, and whose message the broker drops afterwards: it is told again and not contradicted.
#[tokio::test]
async fn what_has_its_end_already_is_told_again() {
    let world = World::new("dead_known").await;
    let daemon = world.daemon().start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let (job, body) = world.job(json!({ "key": stored.key }));
    assert!(world.broker.try_publish(JOBS, &body).await);
    let verdict = world.event_for(&job).await;
    assert_eq!(verdict.failure_code(), None);
    // As if its ack had not arrived.
    let properties = BasicProperties::default().with_content_type("application/json".into());
    world.broker.publish("antispoof.internal", DEAD, [(body, properties)]).await;
    eventually("the second event", EVENTUALLY, async || match world.events_for(&job).await.as_slice() {
        [first, second] => {
            assert_eq!((first.message_id(), first.outcome()), (second.message_id(), second.outcome()));
            Ok(())
        }
        events => Err(format!("{} events", events.len())),
    })
    .await;
    world.assert_drained().await;
    assert_eq!(world.broker.depth(PARKED).await, Some(0));
    assert_eq!(world.simulator.count("billed").await, 1);
    drop(daemon);
}

/// A message that asks for several jobs: each of them gets its event.
#[tokio::test]
async fn each_job_of_a_dropped_notification_gets_its_event() {
    let world = World::new("dead_several").await;
    let _daemon = world.daemon().start_ready().await;
    let record = |key: &str| {
        json!({ "eventName": "ObjectCreated:Put", "eventSource": "aws:s3", "eventVersion": "2.1",
                "s3": { "bucket": { "name": crate::harness::store::BUCKET }, "object": { "key": key } } })
    };
    let body = json!({ "Records": [record("a.jpg"), record("b.jpg"), record("c.jpg")] }).to_string();
    world.broker.publish("antispoof.internal", DEAD, [(body.into_bytes(), BasicProperties::default())]).await;
    eventually_equals("an event for each", EVENTUALLY, 3, async || world.events().await.len()).await;
    for event in world.events().await {
        assert_eq!(event.failure_code(), Some("dropped_by_broker"), "the broker did not say why");
    }
    eventually_equals("each to be parked", EVENTUALLY, Some(3), async || world.broker.depth(PARKED).await).await;
    world.assert_drained().await;
}

/// While results cannot be told, a dropped job waits in hand, and restarts do not use up its few deliveries.
#[tokio::test]
async fn restarts_do_not_bring_a_dropped_job_to_the_limit_of_the_dead_queue() {
    const RESTARTS: usize = 6;

    let world = World::new("dead_restarts").await;
    let builder = world.daemon();
    let mut daemon = builder.clone().start_ready().await;
    world.broker.unbind_results().await;
    let (job, body) = world.job(json!({ "key": "gone.jpg" }));
    let properties = BasicProperties::default().with_content_type("application/json".into());
    world.broker.publish("antispoof.internal", DEAD, [(body, properties)]).await;
    for _ in 0..RESTARTS {
        eventually("it to be held", EVENTUALLY, async || {
            if daemon.logs_contain("the result is held") { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
        daemon.term();
        daemon.wait_exit(STARTED).await;
        daemon = builder.clone().start_ready().await;
    }
    assert_eq!(world.broker.depth(PARKED).await, Some(0), "it has no event yet");
    world.broker.bind_results().await;
    let ends = ends(&world, &[job]).await;
    assert!(ends.values().all(|end| end.as_deref() == Some("dropped_by_broker")), "{ends:?}");
    world.assert_drained().await;
}

/// What the broker drops while a worker drains is left to the next one, and loses none of its few deliveries.
#[tokio::test]
async fn what_is_dropped_during_a_drain_gets_its_event_from_the_next_worker() {
    const DROPPED: usize = 10;

    let world = World::new("dead_drain").await;
    // Time enough, on a busy machine, for all that happens during the drain.
    world.simulator.configure(json!({ "latency": "8s" })).await;
    let builder = world.daemon().set("worker.drain_timeout", "20s").set("api.timeout", "15s");
    let daemon = builder.clone().start_ready().await;
    let slow = world.submit(&world.upload("slow.jpg", jpeg::tiny(1)).await.key).await;
    eventually_equals("a call in flight", EVENTUALLY, 1, async || world.simulator.count("in_flight").await).await;
    daemon.term();
    daemon.wait_draining().await;
    let mut jobs = Vec::new();
    for number in 0..DROPPED {
        let (job, body) = world.job(json!({ "key": format!("{number}.jpg") }));
        world.broker.publish_job(&body, BasicProperties::default().with_expiration("1".into())).await;
        jobs.push(job);
    }
    assert!(daemon.wait_exit(EVENTUALLY).await.success());
    assert_eq!(world.event_for(&slow).await.failure_code(), None);
    // The broker moves them one after the other, and none is taken up any more.
    eventually_equals("all of them to be dropped", EVENTUALLY, Some(DROPPED), async || {
        world.broker.depth(DEAD).await.map(|dead| dead as usize)
    })
    .await;
    let _next = builder.start_ready().await;
    let mut ends = ends(&world, &jobs).await;
    ends.remove(&slow);
    assert!(ends.values().all(|end| end.as_deref() == Some("job_expired")), "{ends:?}");
    world.assert_drained().await;
}

/// A job whose end was told and whose copy no queue took: told again after a crash, under the same id.
#[tokio::test]
async fn an_end_that_is_told_again_after_a_crash_has_the_same_id() {
    const CRASHES: usize = 4;

    let world = World::new("dead_one_id").await;
    let builder = world.daemon_with_redis().set("retry.delays", "1s").set("api.timeout", "6s");
    let mut daemon = builder.clone().start_ready().await;
    world.broker.put_policy_in_effect("^antispoof\\.parked$", json!({ "max-length": 1 })).await;
    let mut jobs = Vec::new();
    for number in 0..6 {
        let job = json!({ "key": format!("{number}.jpg"), "expires_at": "2020-01-01T00:00:00Z" });
        jobs.push(world.submit_job(job).await);
    }
    for _ in 0..CRASHES {
        world.events_for_all(&jobs).await;
        daemon.kill();
        daemon.wait_exit(STARTED).await;
        daemon = builder.clone().start_ready().await;
    }
    world.broker.clear_policy().await;
    let ends = ends(&world, &jobs).await;
    assert!(ends.values().all(|end| end.as_deref() == Some("job_expired")), "{ends:?}");
    for job in &jobs {
        let events = world.events_for(job).await;
        assert!(events.iter().all(|event| event.message_id() == events[0].message_id()), "{job} has several ids");
    }
    world.assert_drained().await;
}

#[tokio::test]
async fn a_dead_queue_that_was_deleted_is_declared_again() {
    let world = World::new("dead_deleted").await;
    let daemon = world.daemon().start_ready().await;
    eventually_equals("it to be read", EVENTUALLY, Some(1.0), async || {
        daemon.metric("antispoofd_amqp_reading_dead").await
    })
    .await;
    world.broker.delete_queue(DEAD).await;
    eventually_equals("it to be there again", EVENTUALLY, Some(0), async || world.broker.depth(DEAD).await).await;
    // It is bound after it is declared, and read after that.
    eventually_equals("it to be read again", EVENTUALLY, Some(1.0), async || {
        daemon.metric("antispoofd_amqp_reading_dead").await
    })
    .await;
    let (job, body) = world.job(json!({ "key": "late.jpg" }));
    let properties = BasicProperties::default().with_content_type("application/json".into());
    world.broker.publish("antispoof.internal", DEAD, [(body, properties)]).await;
    assert_eq!(world.event_for(&job).await.failure_code(), Some("dropped_by_broker"));
    world.assert_drained().await;
}
