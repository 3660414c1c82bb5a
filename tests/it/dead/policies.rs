//! Policies of whoever runs the broker, on the job queue: they drop messages, and no job goes without its event.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ends;
use crate::batch::Batch;
use crate::harness::broker::JOBS;
use crate::harness::daemon::DaemonBuilder;
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals};
use crate::harness::world::World;

const JOBS_OF_A_POLICY: usize = 200;

/// A world whose daemon has declared the queues, and is gone again; a policy for the job queue; and a vendor that takes its time.
async fn under(test: &str, policy: Value, slots: &str) -> (World, DaemonBuilder, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new(test).await;
    world.simulator.configure(json!({ "latency": "300ms" })).await;
    let builder = world.daemon().set("worker.concurrency", slots).set("ledger.backend", "file");
    let builder = builder.set("ledger.path", folder.path().join("ledger.redb").display().to_string());
    drop(builder.clone().start_ready().await);
    world.broker.put_policy_in_effect("^antispoof\\.jobs$", policy).await;
    (world, builder, folder)
}

#[tokio::test]
async fn what_expires_in_the_job_queue_ends_as_expired() {
    let (world, builder, _folder) = under("policy_ttl", json!({ "message-ttl": 3000 }), "8").await;
    let daemon = builder.start_ready().await;
    let batch = Batch::submitted(&world, JOBS_OF_A_POLICY).await;
    let ends = ends(&world, &batch.jobs).await;
    let expired = ends.values().filter(|end| end.as_deref() == Some("job_expired")).count();
    let judged = ends.values().filter(|end| end.is_none()).count();
    assert_eq!(expired + judged, JOBS_OF_A_POLICY);
    assert!(expired > 0 && judged > 0, "{expired} expired, {judged} judged");
    assert_eq!(world.simulator.count("billed").await, judged as u64, "one call each for those that were judged");
    let counted = daemon.metric("antispoofd_dropped_by_broker_total{reason=\"expired\"}").await;
    assert_eq!(counted, Some(f64::from(u32::try_from(expired).expect("a few"))));
    daemon.wait_logged("its time there was over").await;
    // Not at once: a look at the queue is given back a moment after it.
    eventually_equals("each to be parked once", SOON, expired, async || world.broker.parked().await.len()).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn what_does_not_fit_into_the_job_queue_ends_as_dropped() {
    let policy = json!({ "max-length": 5, "overflow": "drop-head" });
    let (world, builder, _folder) = under("policy_length", policy, "8").await;
    let daemon = builder.start_ready().await;
    let batch = Batch::submitted(&world, JOBS_OF_A_POLICY).await;
    let ends = ends(&world, &batch.jobs).await;
    let dropped = ends.values().filter(|end| end.as_deref() == Some("dropped_by_broker")).count();
    let judged = ends.values().filter(|end| end.is_none()).count();
    assert_eq!(dropped + judged, JOBS_OF_A_POLICY);
    assert!(dropped > 0 && judged > 0, "{dropped} dropped, {judged} judged");
    eventually_equals("each to be parked once", SOON, dropped, async || world.broker.parked().await.len()).await;
    let of_one = world.events_for(ends.iter().find(|(_, end)| end.is_some()).expect("one was dropped").0).await;
    let said = of_one[0].json["data"]["failure"].clone();
    assert_eq!((said["stage"].as_str(), said["class"].as_str()), (Some("crash"), Some("permanent")));
    assert!(said["message"].as_str().is_some_and(|message| message.contains("maxlen")), "{said}");
    let counted = daemon.metric("antispoofd_dropped_by_broker_total{reason=\"maxlen\"}").await;
    assert_eq!(counted, Some(f64::from(u32::try_from(dropped).expect("a few"))));
    world.assert_drained().await;
}

#[tokio::test]
async fn what_is_delivered_too_often_ends_at_the_limit_of_a_policy() {
    const DEATHS: usize = 8;

    let (world, builder, _folder) = under("policy_limit", json!({ "delivery-limit": 2 }), "8").await;
    let mut daemon = builder.clone().start_ready().await;
    let batch = Batch::submitted(&world, JOBS_OF_A_POLICY).await;
    for _ in 0..DEATHS {
        let events = world.events().await.len();
        eventually("some more ends, and calls in flight", EVENTUALLY, async || {
            let (now, in_flight) = (world.events().await.len(), world.simulator.count("in_flight").await);
            if now > events && in_flight > 3 { Ok(()) } else { Err(format!("{now} events, {in_flight} in flight")) }
        })
        .await;
        daemon.kill();
        daemon.wait_exit(STARTED).await;
        daemon = builder.clone().start_ready().await;
    }
    let ends = ends(&world, &batch.jobs).await;
    let dropped = ends.values().filter(|end| end.as_deref() == Some("delivery_limit")).count();
    assert!(ends.values().all(|end| end.as_deref().is_none_or(|code| code == "delivery_limit")), "{ends:?}");
    assert!(dropped < JOBS_OF_A_POLICY / 4, "{dropped} of {JOBS_OF_A_POLICY} were given up");
    world.assert_drained().await;
}

/// A policy that makes the queue refuse concerns producers, to whom the broker says so; nothing of the daemon's goes lost by it.
#[tokio::test]
async fn a_job_queue_that_refuses_drops_nothing() {
    let (world, builder, _folder) = under("policy_refusal", json!({ "max-length": 5 }), "8").await;
    let _daemon = builder.start_ready().await;
    let batch = Batch::stored(&world, JOBS_OF_A_POLICY).await;
    let mut jobs = Vec::new();
    let mut refused = 0;
    for key in batch.keys() {
        let (job, body) = world.job(json!({ "key": key }));
        refused += eventually("the queue to take a job", EVENTUALLY, async || {
            if world.broker.try_publish(JOBS, &body).await { Ok(1) } else { Err("it refuses".to_owned()) }
        })
        .await;
        jobs.push(job);
    }
    assert_eq!(refused, JOBS_OF_A_POLICY, "each was taken once");
    let ends = ends(&world, &jobs).await;
    assert!(ends.values().all(Option::is_none), "{ends:?}");
    assert_eq!(world.simulator.count("billed").await, JOBS_OF_A_POLICY as u64);
    world.assert_drained().await;
}
