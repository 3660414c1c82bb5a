//! The vendor's endpoint, when it cannot be reached.

use serde_json::json;

use super::counted;
use crate::batch::Batch;
use crate::harness::world::World;

#[tokio::test]
async fn an_api_that_is_down_is_waited_for() {
    let world = World::new("api_cut").await;
    let daemon = world.daemon().start_ready().await;
    let warm = Batch::submitted(&world, 2).await;
    warm.verdicts(&world).await;
    // With connections in the pool that are dead now, and then with none.
    world.api_link.cut().await;
    world.simulator.reset().await;
    let batch = Batch::submitted(&world, 4).await;
    counted(&daemon, "antispoofd_failures_total{code=\"api_unavailable\"}", 4.0).await;
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0), "so few failures close no gate");
    world.api_link.restore().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn an_api_that_hangs_costs_no_more_than_what_is_in_doubt() {
    let world = World::new("api_frozen").await;
    let builder = world.daemon().set("api.connect_timeout", "500ms").set("api.timeout", "1s");
    let daemon = builder.start_ready().await;
    world.api_link.freeze();
    let batch = Batch::submitted(&world, 4).await;
    counted(&daemon, "antispoofd_api_in_doubt_total", 4.0).await;
    let doubts = daemon.metric("antispoofd_api_in_doubt_total").await;
    world.api_link.thaw();
    batch.verdicts(&world).await;
    let billed: u64 = batch.billed(&world).await.iter().sum();
    let billable = daemon.metric("antispoofd_api_billable_calls_total").await.expect("a counter");
    #[expect(clippy::cast_precision_loss, reason = "a handful of calls")]
    let paid = billed as f64;
    assert!(
        (4.0..=billable).contains(&paid),
        "billed {billed}, billable by our own count {billable}, doubts {doubts:?}"
    );
    world.assert_drained().await;
}

#[tokio::test]
async fn one_refused_token_is_replaced_and_nobody_notices() {
    let world = World::new("api_one_401").await;
    let daemon = world.daemon().set("api.token_ttl", "2m").start_ready().await;
    world.simulator.configure(json!({ "faults": "401=x1" })).await;
    let batch = Batch::submitted(&world, 1).await;
    batch.verdicts(&world).await;
    let event = &world.events().await[0];
    assert_eq!(event.json["data"]["check"]["attempts"], 1);
    assert_eq!(world.simulator.count("calls").await, 2, "refused, then taken");
    batch.assert_paid_once(&world).await;
    assert!(!daemon.logs_contain("nothing is consumed until"), "the gate stayed open");
    world.assert_drained().await;
}
