//! A vendor that rejects one image after the other.

use std::time::Duration;

use serde_json::json;

use super::{closed_by, closures};
use crate::batch::Batch;
use crate::harness::broker::{Message, PARKED};
use crate::harness::wait::{EVENTUALLY, eventually, eventually_equals, holds};
use crate::harness::world::World;

#[tokio::test]
async fn a_vendor_that_changed_its_mind_does_not_park_the_queue() {
    const STREAK: usize = 5;
    const MANY: usize = 30;

    let world = World::new("api_rejections").await;
    world.simulator.configure(json!({ "faults": "422=100%" })).await;
    let builder = world.daemon().set("api.rejection_streak", STREAK.to_string()).set("api.probe_interval", "500ms");
    let daemon = builder.set("worker.concurrency", "4").start_ready().await;
    let batch = Batch::submitted(&world, MANY).await;
    closed_by(&daemon, "api_rejections").await;
    let told = u32::try_from(STREAK - 1).expect("a few");
    eventually_equals("those before it to be parked", EVENTUALLY, Some(told), async || {
        world.broker.depth(PARKED).await
    })
    .await;
    let calls = world.simulator.count("calls").await;
    holds("no more is told", Duration::from_secs(4), async || match world.broker.depth(PARKED).await {
        Some(parked) if parked == told => Ok(()),
        other => Err(format!("parked: {other:?}")),
    })
    .await;
    let probes = async || world.simulator.count("calls").await - calls;
    let in_time = probes().await;
    assert!(in_time <= 20, "{in_time} jobs found out in four seconds");
    // The longer it is closed, on a slow machine, the later the next one finds out.
    eventually("some to find out", EVENTUALLY, async || match probes().await {
        0..2 => Err("not yet".to_owned()),
        _ => Ok(()),
    })
    .await;
    let said = closures(&daemon);
    assert_eq!(said.len(), 1, "said once: {said:#?}");
    assert!(said[0].contains("api_rejections") && said[0].contains("api.rejection_streak"), "{}", said[0]);

    world.simulator.configure(json!({ "faults": "" })).await;
    let events = batch.ended(&world, EVENTUALLY).await;
    let rejected = events.iter().filter_map(Message::failure_code).collect::<Vec<_>>();
    assert_eq!(rejected, ["api_rejected"; STREAK - 1], "those that were told stay told, nobody else is");
    let attempts = events.iter().map(|event| event.json["data"]["check"]["attempts"].as_u64());
    assert!(attempts.into_iter().all(|attempts| attempts == Some(1)), "no attempt was spent on it");
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0));
    world.assert_drained().await;
}

#[tokio::test]
async fn a_streak_can_be_told_to_its_end() {
    let world = World::new("api_no_streak").await;
    world.simulator.configure(json!({ "faults": "413=100%" })).await;
    let daemon = world.daemon().set("api.rejection_streak", "0").start_ready().await;
    let batch = Batch::submitted(&world, 30).await;
    let events = batch.ended(&world, EVENTUALLY).await;
    assert!(events.iter().all(|event| event.failure_code() == Some("api_rejected")));
    assert_eq!(closures(&daemon).len(), 0);
    assert_eq!(world.simulator.count("calls").await, 30);
    world.assert_drained().await;
}
