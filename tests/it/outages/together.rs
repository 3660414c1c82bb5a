//! What everybody would meet is found out by one: the others wait without spending an attempt, and go on soon after it is over.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{closed_by, closures};
use crate::batch::Batch;
use crate::harness::broker::{JOBS, PARKED};
use crate::harness::daemon::Daemon;
use crate::harness::link::Link;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals, holds};
use crate::harness::world::World;

const JOBS_UNDER_LOAD: u16 = 200;

#[tokio::test]
async fn a_vendor_that_is_away_costs_no_attempt() {
    let world = World::new("api_outage").await;
    is_away(&world, &world.api_link, "api_outage", "connection").await;
    // The calls that the cut broke may have been paid for.
    let in_doubt = 16;
    let billed = world.simulator.count("billed").await;
    assert!((200..=200 + in_doubt).contains(&billed), "{billed} were billed");
}

#[tokio::test]
async fn a_store_that_is_away_costs_no_attempt() {
    let world = World::new("store_outage").await;
    is_away(&world, &world.s3_link, "store_outage", "connect").await;
}

async fn is_away(world: &World, link: &Link, reason: &str, says: &str) {
    const AWAY: Duration = Duration::from_secs(15);

    // Most of them wait when the link is cut.
    world.simulator.configure(json!({ "latency": "200ms" })).await;
    let daemon = world.daemon().set("retry.delays", "10s,1m").start_ready().await;
    let mut batch = Batch::stored(world, JOBS_UNDER_LOAD.into()).await;
    batch.submit(world).await;
    eventually("some verdicts", SOON, async || match world.simulator.count("billed").await {
        0..10 => Err("not yet".to_owned()),
        _ => Ok(()),
    })
    .await;
    link.cut().await;
    closed_by(&daemon, reason).await;
    let (ready, body) = daemon.get("/readyz").await.expect("an answer");
    assert!(ready.is_success(), "paused on purpose is ready: {body}");
    holds("the outage", AWAY, async || match world.broker.depth(PARKED).await {
        Some(0) => Ok(()),
        other => Err(format!("parked: {other:?}")),
    })
    .await;
    let waiting = world.broker.depth(JOBS).await.expect("the job queue");
    assert!(waiting > 50, "{waiting}: the jobs wait in their queue");
    let said = closures(&daemon);
    assert_eq!(said.len(), 1, "said once: {said:#?}");
    assert!(said[0].contains(reason) && said[0].contains(says), "{}", said[0]);

    let judged = judged(&daemon).await;
    link.restore().await;
    // That a probe comes within two seconds, and how fast the rest goes, is measured on a paused clock: tests/model/outages.rs.
    eventually("the next verdict", SOON, async || match self::judged(&daemon).await {
        now if now > judged => Ok(()),
        now => Err(format!("{now} verdicts")),
    })
    .await;
    eventually_equals("every verdict", EVENTUALLY, Some(JOBS_UNDER_LOAD.into()), async || {
        Some(self::judged(&daemon).await)
    })
    .await;
    batch.verdicts(world).await;
    let events = world.events().await;
    let attempts = events.iter().map(|event| event.json["data"]["check"]["attempts"].as_u64());
    let beyond = attempts.filter(|attempts| *attempts > Some(2)).count();
    assert_eq!(beyond, 0, "no attempt but the first was spent");
    world.assert_drained().await;
}

async fn judged(daemon: &Daemon) -> f64 {
    daemon.metric("antispoofd_settlements_total{kind=\"announced\"}").await.expect("a counter")
}

#[tokio::test]
async fn a_vendor_that_asks_everybody_to_wait_is_left_alone_until_then() {
    const ASKED: Duration = Duration::from_secs(30);
    const MANY: usize = 500;

    let world = World::new("api_hold").await;
    let asked = json!({ "faults": "429=100%", "retry_after": format!("{}s", ASKED.as_secs()), "latency": "50ms" });
    world.simulator.configure(asked).await;
    let daemon = world.daemon().set("retry.delays", "10s,1m").start_ready().await;
    let mut batch = Batch::stored(&world, MANY).await;
    batch.submit(&world).await;
    closed_by(&daemon, "api_hold").await;
    let began = Instant::now();
    let paused = daemon.metric("antispoofd_api_paused_seconds").await.expect("a gauge");
    assert!((20.0..=30.0).contains(&paused), "{paused} s");
    holds("the pause", ASKED.saturating_sub(began.elapsed() + Duration::from_secs(2)), async || {
        let calls = world.simulator.count("calls").await;
        if calls <= 20 { Ok(()) } else { Err(format!("{calls} calls")) }
    })
    .await;
    eventually_equals("nothing in hand", SOON, Some(0.0), async || daemon.metric("antispoofd_jobs_in_flight").await)
        .await;
    let said = closures(&daemon);
    assert_eq!(said.len(), 1, "said once: {said:#?}");
    assert!(said[0].contains("api_hold") && said[0].contains("429"), "{}", said[0]);

    world.simulator.configure(json!({ "faults": "" })).await;
    batch.ended(&world, Duration::from_mins(3)).await;
    batch.verdicts(&world).await;
    assert_eq!(daemon.metric("antispoofd_api_paused_seconds").await, Some(0.0));
    let events = world.events().await;
    let attempts: Vec<_> = events.iter().map(|event| event.json["data"]["check"]["attempts"].as_u64()).collect();
    assert!(attempts.iter().all(|attempts| *attempts <= Some(2)), "no attempt but the first was spent");
    let spent = attempts.iter().filter(|attempts| **attempts == Some(2)).count();
    assert!(spent <= 1, "{spent} jobs spent an attempt: one found out");
    world.assert_drained().await;
}

#[tokio::test]
async fn a_short_pause_is_waited_for_in_hand() {
    let world = World::new("api_short_hold").await;
    let builder = world.daemon().set("retry.delays", "10s,1m").set("retry.quick_max", "5s");
    let daemon = builder.start_ready().await;
    world.simulator.configure(json!({ "faults": "429=x1", "retry_after": "1s" })).await;
    let batch = Batch::submitted(&world, 4).await;
    batch.verdicts(&world).await;
    let deferred = daemon.metric("antispoofd_settlements_total{kind=\"deferred\"}").await;
    assert_eq!(deferred, Some(0.0), "no job went through a delay queue");
    let returned = daemon.metric("antispoofd_settlements_total{kind=\"returned\"}").await;
    assert_eq!(returned, Some(0.0));
    assert_eq!(world.simulator.count("calls").await, 5);
    world.assert_drained().await;
}
