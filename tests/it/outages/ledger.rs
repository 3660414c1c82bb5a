//! The ledger goes away while verdicts are on their way to it.

use serde_json::json;

use super::closed_by;
use crate::batch::Batch;
use crate::harness::wait::{EVENTUALLY, SOON, eventually_equals};
use crate::harness::world::World;

#[tokio::test]
async fn the_gate_is_closed_while_ends_wait_for_the_ledger() {
    const IN_FLIGHT: u64 = 3;

    let world = World::new("ledger_conclude").await;
    // None of them may end before the ledger is away.
    world.simulator.configure(json!({ "latency": "8s" })).await;
    let builder = world.daemon_with_redis().set("ledger.timeout", "500ms").set("api.probe_interval", "200ms");
    let daemon = builder.set("worker.concurrency", IN_FLIGHT.to_string()).start_ready().await;
    let batch = Batch::submitted(&world, 8).await;
    eventually_equals("calls in flight", SOON, IN_FLIGHT, async || world.simulator.count("in_flight").await).await;
    world.redis_link.cut().await;
    eventually_equals("the answers", EVENTUALLY, 0, async || world.simulator.count("in_flight").await).await;
    closed_by(&daemon, "ledger").await;
    eventually_equals("nothing to be consumed", SOON, Some(0.0), async || {
        daemon.metric("antispoofd_amqp_consuming").await
    })
    .await;
    assert_eq!(world.simulator.count("calls").await, IN_FLIGHT, "nothing more is paid for");
    assert!(world.events().await.is_empty(), "nothing is told before it is on record");

    world.redis_link.restore().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    eventually_equals("the gate to open", EVENTUALLY, Some(1.0), async || daemon.metric("antispoofd_gate_open").await)
        .await;
    world.assert_drained().await;
}
