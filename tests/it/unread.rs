//! A log that nobody reads: a pipe that is full, as behind a log shipper that hangs.

use serde_json::json;

use crate::batch::Batch;
use crate::harness::wait::{SOON, eventually_equals};
use crate::harness::world::World;

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_no_job() {
    /// The pipe and the space before it hold a megabyte, and a job says half a kilobyte at the least.
    const BATCHES: usize = 160;
    let world = World::new("unread_log").await;
    let builder = world.daemon().set("log.level", "trace").set("worker.concurrency", "4");
    let daemon = builder.log_unread().start_ready().await;
    let dropped = async || daemon.metric("antispoofd_log_lines_dropped_total").await;
    let mut batches = 0;
    while dropped().await == Some(0.0) && batches < BATCHES {
        ends_well(&world, 50).await;
        batches += 1;
    }
    let full = dropped().await;
    assert!(full.is_some_and(|lines| lines > 0.0), "{full:?} after {batches} batches");
    ends_well(&world, 20).await;
    assert!(dropped().await > full, "every line of these was dropped");

    // The process has something to say at its end, too, and does not wait for anybody to listen.
    world.simulator.configure(json!({ "latency": "25s" })).await;
    let _cut_off = Batch::submitted(&world, 1).await;
    // Sent, so that it is waited for: a job that is only in hand goes back, and the process ends at once.
    let in_flight = async || world.simulator.count("in_flight").await;
    eventually_equals("a call in flight", SOON, 1, in_flight).await;
    daemon.term();
    daemon.wait_draining().await;
    daemon.term();
    // The last lines are given a second, and the broker two; a busy machine takes longer, and the call longer still.
    assert_eq!(daemon.wait_exit(SOON).await.code(), Some(1));
}

async fn ends_well(world: &World, jobs: usize) {
    world.simulator.reset().await;
    let batch = Batch::submitted(world, jobs).await;
    batch.verdicts(world).await;
    batch.assert_paid_once(world).await;
}
