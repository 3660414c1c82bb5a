//! HTTP/2, as it is negotiated with the vendor.

use std::time::Duration;

use serde_json::json;

use super::over_tls;
use crate::batch::Batch;
use crate::harness::tls::TlsFront;
use crate::harness::wait::{EVENTUALLY, eventually_equals};
use crate::harness::world::World;

/// nginx ends an HTTP/2 connection after 1,000 requests by a GOAWAY; what it has not taken on may be sent again at once.
#[tokio::test]
async fn streams_behind_a_goaway_are_neither_in_doubt_nor_delayed() {
    let world = World::new("h2_goaway").await;
    let front = TlsFront::to(world.simulator.address()).await;
    world.simulator.configure(json!({ "max_requests": 10 })).await;
    let daemon = over_tls(&world, &front).set("api.in_doubt", "park").start_ready().await;
    let batch = Batch::submitted(&world, 200).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    assert_eq!(daemon.metric("antispoofd_api_in_doubt_total").await, Some(0.0));
    assert!(front.http2_connections() >= 20, "10 requests on each of {}", front.http2_connections());
    world.assert_drained().await;
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_at_once() {
    let world = World::new("h2_refused").await;
    let front = TlsFront::to(world.simulator.address()).await;
    world.simulator.configure(json!({ "faults": "refused-stream=x8" })).await;
    let daemon =
        over_tls(&world, &front).set("api.in_doubt", "park").set("retry.quick_attempts", "1").start_ready().await;
    let batch = Batch::submitted(&world, 40).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    assert_eq!(daemon.metric("antispoofd_api_in_doubt_total").await, Some(0.0));
    world.assert_drained().await;
}

/// One of two servers behind a balancer is stopped (SIGSTOP): its connection stays open and says nothing.
#[tokio::test]
async fn a_connection_that_hangs_is_left() {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let world = World::new("h2_hangs").await;
    let front = TlsFront::to(world.simulator.address()).await;
    world.simulator.configure(json!({ "faults": "hang-connection=x1", "hang_time": "10m" })).await;
    let daemon = over_tls(&world, &front)
        .set("api.timeout", format!("{}ms", TIMEOUT.as_millis()))
        .set("api.connect_timeout", "1s")
        .start_ready()
        .await;
    let batch = Batch::submitted(&world, 8).await;
    eventually_equals("a second connection", EVENTUALLY, true, async || front.http2_connections() >= 2).await;
    batch.verdicts(&world).await;
    assert!(daemon.metric("antispoofd_api_in_doubt_total").await <= Some(8.0));
    world.assert_drained().await;
}
