//! Verdicts that cannot be delivered: they are kept, and nothing more is paid for meanwhile.

use std::time::Duration;

use crate::batch::Batch;
use crate::harness::own_broker::OwnBroker;
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals, holds};
use crate::harness::world::World;
use crate::images::jpeg;
use lapin::types::AMQPValue;
use reqwest::StatusCode;
use serde_json::json;

use super::counted;

const WATCHED: Duration = Duration::from_secs(3);

#[tokio::test]
async fn results_without_a_queue_are_kept_and_no_more_are_made() {
    let world = World::new("unroutable").await;
    let daemon = world.daemon().set("worker.concurrency", "3").start_ready().await;
    world.broker.unbind_results().await;
    let batch = Batch::submitted(&world, 8).await;
    counted(&daemon, "antispoofd_results_published_total{status=\"unroutable\"}", 1.0).await;
    eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric("antispoofd_gate_open").await).await;
    let calls = world.simulator.count("calls").await;
    assert!(calls <= 3, "{calls} calls: no more than were under way");
    holds("no further call", WATCHED, async || match world.simulator.count("calls").await {
        now if now <= 3 => Ok(()),
        now => Err(format!("{now} calls, {calls} before")),
    })
    .await;

    // Also after a reconnect the verdicts are known.
    world.amqp_link.cut().await;
    world.amqp_link.restore().await;
    counted(&daemon, "antispoofd_verdicts_reused_total", 1.0).await;
    let calls = world.simulator.count("calls").await;
    assert!(calls <= 4, "{calls} calls: whoever takes over the probe may be new, nobody else");

    world.broker.bind_results().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    assert_eq!(world.simulator.count("calls").await, 8, "exactly one for each job");
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0));
    world.assert_drained().await;
}

/// The broker says that it blocks to those who publish, and a worker that has just started has not: it asks.
#[tokio::test]
async fn an_alarm_that_is_there_before_the_worker_stops_the_paying() {
    let broker = OwnBroker::start("alarm-first").await;
    let world = World::with("alarm_first", broker.services()).await;
    let daemon = world.daemon().start_ready().await;
    daemon.term();
    daemon.wait_exit(STARTED).await;
    let batch = Batch::submitted(&world, 12).await;
    broker.raise_alarm().await;

    let daemon = world.daemon().start();
    daemon.wait_status("/livez", StatusCode::OK, STARTED).await;
    eventually_equals("to be blocked", STARTED, Some(1.0), async || daemon.metric("antispoofd_amqp_blocked").await)
        .await;
    holds("no call", WATCHED, async || match world.simulator.count("calls").await {
        0 => Ok(()),
        now => Err(format!("{now} calls")),
    })
    .await;
    broker.clear_alarm().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn an_alarm_of_the_broker_stops_the_paying() {
    const IN_FLIGHT: u64 = 3;

    let broker = OwnBroker::start("alarm").await;
    let world = World::with("alarm", broker.services()).await;
    // None of them may end before the link is frozen.
    world.simulator.configure(json!({ "latency": "8s" })).await;
    let builder = world.daemon().set("worker.concurrency", IN_FLIGHT.to_string());
    let builder = builder.set("api.timeout", "60s").set("worker.drain_timeout", "70s");
    let daemon = builder.set("amqp.publish_timeout", "2s").start_ready().await;
    let batch = Batch::submitted(&world, 12).await;
    let calls = async || world.simulator.count("calls").await;
    eventually_equals("calls in flight", SOON, IN_FLIGHT, calls).await;
    // However long it takes to raise the alarm, the answers come when nothing can be published any more.
    world.api_link.freeze();
    world.simulator.configure(json!({ "latency": "0s" })).await;
    broker.raise_alarm().await;
    world.api_link.thaw();
    eventually_equals("to be blocked", STARTED, Some(1.0), async || daemon.metric("antispoofd_amqp_blocked").await)
        .await;
    eventually_equals("no call in flight", STARTED, 0, async || world.simulator.count("in_flight").await).await;
    holds("no new call", WATCHED, async || match calls().await {
        IN_FLIGHT => Ok(()),
        now => Err(format!("{now} calls")),
    })
    .await;

    broker.clear_alarm().await;
    eventually_equals("to be unblocked", EVENTUALLY, Some(0.0), async || {
        daemon.metric("antispoofd_amqp_blocked").await
    })
    .await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    assert_eq!(calls().await, 12);
    world.assert_drained().await;
}

#[tokio::test]
async fn a_confirm_that_is_late_stops_the_paying() {
    let world = World::new("late_confirm").await;
    // The first is still called for when the broker swallows everything.
    world.simulator.configure(json!({ "latency": "6s" })).await;
    let builder = world.daemon().set("worker.concurrency", "2").set("s3.timeout", "60s").set("s3.read_timeout", "60s");
    let daemon = builder.set("amqp.publish_timeout", "60s").set("amqp.heartbeat", "60s").start_ready().await;
    let mut batch = Batch::stored(&world, 2).await;
    let calls = async || world.simulator.count("calls").await;
    // One job on its way to its verdict, one on its way to its call; then the broker swallows everything.
    batch.submit_next(&world, 1).await;
    eventually_equals("the first call", SOON, 1, calls).await;
    world.s3_link.freeze();
    batch.submit_next(&world, 1).await;
    counted(&daemon, "antispoofd_jobs_in_flight", 2.0).await;
    world.amqp_link.freeze();
    let late = async || daemon.metric("antispoofd_amqp_confirms_late").await;
    eventually_equals("a late confirm", EVENTUALLY, Some(1.0), late).await;
    world.s3_link.thaw();
    holds("no new call", WATCHED, async || match calls().await {
        1 => Ok(()),
        now => Err(format!("{now} calls")),
    })
    .await;

    world.amqp_link.thaw();
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    eventually_equals("no late confirm", SOON, Some(0.0), late).await;
    assert_eq!(daemon.metric("antispoofd_amqp_reconnects_total").await, Some(0.0), "the session was kept");
    world.assert_drained().await;
}

#[tokio::test]
async fn a_delay_queue_that_confirms_nothing_holds_up_nobody() {
    const SILENT: &str = "antispoof.retry.1s";

    let broker = OwnBroker::start("silent").await;
    let world = World::with("silent", broker.services()).await;
    world.simulator.configure(json!({ "latency": "500ms" })).await;
    let builder = world.daemon().set("worker.concurrency", "4").set("retry.quick_attempts", "1");
    let daemon = builder.set("amqp.publish_timeout", "4s").set("amqp.heartbeat", "60s").start_ready().await;
    let mut others = Batch::stored(&world, 40).await;
    broker.silence(world.broker.vhost(), SILENT, true).await;

    // Has to wait in the silent queue, since what it names is not there yet. The others are judged and confirmed all the time.
    let waiting = world.submit(&world.store.key("later.jpg")).await;
    others.submit(&world).await;
    counted(&daemon, "antispoofd_amqp_confirms_late", 1.0).await;
    world.upload("later.jpg", jpeg::tiny(77)).await;
    others.verdicts(&world).await;
    others.assert_paid_once(&world).await;

    let event = world.event_for(&waiting).await;
    assert!(event.outcome().is_some(), "it went into the other delay queue: {}", event.json);
    assert_eq!(daemon.metric("antispoofd_amqp_reconnects_total").await, Some(0.0), "nobody's job was taken away");
    broker.silence(world.broker.vhost(), SILENT, false).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn results_that_are_not_confirmed_cost_no_further_call_and_no_delivery() {
    const DEAF: &str = "it.deaf";

    let broker = OwnBroker::start("deaf").await;
    let world = World::with("deaf", broker.services()).await;
    world.broker.bind_another(DEAF, &[]).await;
    let builder = world.daemon().set("worker.concurrency", "3").set("amqp.publish_timeout", "2s");
    let daemon = builder.set("amqp.heartbeat", "60s").start_ready().await;
    broker.silence(world.broker.vhost(), DEAF, true).await;
    let batch = Batch::submitted(&world, 12).await;
    eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric("antispoofd_gate_open").await).await;
    counted(&daemon, "antispoofd_results_published_total{status=\"unconfirmed\"}", 4.0).await;
    holds("no further call", WATCHED, async || match world.simulator.count("calls").await {
        now if now <= 3 => Ok(()),
        now => Err(format!("{now} calls: more than were under way")),
    })
    .await;
    assert_eq!(daemon.metric("antispoofd_amqp_reconnects_total").await, Some(0.0), "no delivery was spent on it");

    broker.silence(world.broker.vhost(), DEAF, false).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0));
    assert_eq!(daemon.metric("antispoofd_jobs_run_alone_total").await, Some(0.0), "nobody is suspected");
    world.assert_drained().await;
}

#[tokio::test]
async fn results_that_a_full_queue_refuses_cost_no_further_call() {
    const FULL: &str = "it.full";

    let world = World::new("full").await;
    let limits =
        [("x-max-length", AMQPValue::LongInt(0)), ("x-overflow", AMQPValue::LongString("reject-publish".into()))];
    world.broker.bind_another(FULL, &limits).await;
    let daemon = world.daemon().set("worker.concurrency", "3").start_ready().await;
    let batch = Batch::submitted(&world, 12).await;
    counted(&daemon, "antispoofd_results_published_total{status=\"refused\"}", 3.0).await;
    eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric("antispoofd_gate_open").await).await;
    // A quorum queue takes one or two beyond its limit before it refuses, so how many were under way is known when all that is in hand is held: a call for
    // each, and no confirm. In hand first, so that what is confirmed meanwhile is not missed.
    let calls = eventually("the calls under way to have ended", EVENTUALLY, async || {
        let calls = world.simulator.count("calls").await;
        let in_hand = daemon.metric("antispoofd_jobs_in_flight").await.unwrap_or_default();
        let told = daemon.metric("antispoofd_results_published_total{status=\"confirmed\"}").await.unwrap_or_default();
        let called = f64::from(u32::try_from(calls).expect("a few"));
        let seen = format!("{calls} calls, {in_hand} in hand, {told} confirmed");
        if (called - told - in_hand).abs() < 0.5 { Ok(calls) } else { Err(seen) }
    })
    .await;
    holds("no further call", WATCHED, async || match world.simulator.count("calls").await {
        now if now <= calls => Ok(()),
        now => Err(format!("{now} calls, {calls} when the gate closed")),
    })
    .await;

    world.broker.delete_queue(FULL).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    assert_eq!(world.simulator.count("calls").await, 12, "exactly one for each job");
    world.assert_drained().await;
}
