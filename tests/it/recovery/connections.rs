//! Connections that are closed, cut and frozen, and a broker that restarts.

use serde_json::json;

use super::{reconnected, said};
use crate::batch::Batch;
use crate::harness::daemon::Daemon;
use crate::harness::own_broker::OwnBroker;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals};
use crate::harness::world::World;

const CONCURRENCY: u64 = 4;

/// What a reconnect may leave behind for a moment: the goodbye of a connection that is dead is given up after two seconds.
const MORE_FILES: usize = 2;

#[tokio::test]
async fn a_broker_that_restarts_costs_nothing() {
    let broker = OwnBroker::start("restart").await;
    let world = World::with("restart", broker.services()).await;
    let (daemon, batch) = busy(&world, 60).await;
    broker.restart().await;
    reconnected(&daemon, 1.0).await;
    done(&world, &daemon, &batch).await;
}

#[tokio::test]
async fn connections_that_an_operator_closes_are_opened_again() {
    let world = World::new("closed_connections").await;
    let (daemon, batch) = busy(&world, 60).await;
    for times in [1.0, 2.0, 3.0] {
        world.broker.close_connections().await;
        reconnected(&daemon, times).await;
        daemon.wait_ready().await;
    }
    done(&world, &daemon, &batch).await;
}

#[tokio::test]
async fn a_cut_link_is_one_reconnect_after_another_and_leaks_nothing() {
    let world = World::new("cut_amqp").await;
    let (daemon, batch) = busy(&world, 60).await;
    let files = daemon.open_files();
    for times in [1.0, 2.0, 3.0, 4.0, 5.0] {
        world.amqp_link.cut().await;
        reconnected(&daemon, times).await;
        world.amqp_link.restore().await;
        daemon.wait_ready().await;
    }
    done(&world, &daemon, &batch).await;
    // All connections ended: that is no message that ended its consumer's, and alarms about such messages stay silent.
    for queue in ["jobs", "dead"] {
        let cuts = format!("antispoofd_amqp_consumer_cuts_total{{queue=\"{queue}\"}}");
        assert_eq!(daemon.metric(&cuts).await, Some(0.0), "{queue}");
    }
    assert!(!daemon.logs_contain("may not be deliverable"));
    eventually_equals("one that consumes, one that publishes, one for dead letters", SOON, 3, async || {
        world.amqp_link.open()
    })
    .await;
    eventually("the descriptors of lost connections to be closed", SOON, async || match daemon.open_files() {
        now if now <= files + MORE_FILES => Ok(()),
        now => Err(format!("{now} descriptors, {files} before")),
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_is_silent_is_left() {
    let world = World::new("frozen_amqp").await;
    world.simulator.configure(json!({ "latency": "100ms" })).await;
    let builder = world.daemon().set("worker.concurrency", CONCURRENCY.to_string());
    let builder = builder.set("amqp.heartbeat", "1s").set("amqp.connect_timeout", "1s");
    let daemon = builder.start_ready().await;
    // Before a job is in hand no publish is waited for: only heartbeats can tell.
    let threads = daemon.threads();
    world.amqp_link.freeze();
    reconnected(&daemon, 1.0).await;
    daemon.wait_logged("heartbeat").await;
    world.amqp_link.thaw();
    daemon.wait_ready().await;

    // And with jobs in hand, from both sides: the broker gives up its half as well.
    let batch = Batch::submitted(&world, 40).await;
    calls(&world, 4).await;
    world.amqp_link.freeze();
    let before = daemon.metric("antispoofd_amqp_reconnects_total").await.expect("a counter");
    reconnected(&daemon, before + 2.0).await;
    world.amqp_link.thaw();
    done(&world, &daemon, &batch).await;
    eventually("the threads of lost connections to end", EVENTUALLY, async || match daemon.threads() {
        now if now <= threads + 1 => Ok(()),
        now => Err(format!("{now} threads, {threads} before")),
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_accepts_and_says_nothing_costs_no_threads() {
    let world = World::new("mute_amqp").await;
    let builder = world.daemon().set("amqp.heartbeat", "1s").set("amqp.connect_timeout", "1s");
    let daemon = builder.start_ready().await;
    let (files, threads) = (daemon.open_files(), daemon.threads());
    world.amqp_link.freeze();
    reconnected(&daemon, 7.0).await;
    eventually("what was given up to be gone", SOON, async || match (daemon.open_files(), daemon.threads()) {
        // The next try, of two connections, may be under way.
        (open, running) if open <= files + MORE_FILES + 4 && running <= threads + 2 => Ok(()),
        now => Err(format!("{now:?} descriptors and threads, {files} and {threads} before")),
    })
    .await;
    assert_eq!(said(&daemon, "\"level\":\"ERROR\""), 0, "weather is no error: {:?}", daemon.logs());
    world.amqp_link.thaw();
    daemon.wait_ready().await;
    let batch = Batch::submitted(&world, 3).await;
    batch.verdicts(&world).await;
    world.assert_drained().await;
}

async fn busy(world: &World, jobs: usize) -> (Daemon, Batch) {
    world.simulator.configure(json!({ "latency": "100ms" })).await;
    let daemon = world.daemon().set("worker.concurrency", CONCURRENCY.to_string()).start_ready().await;
    let batch = Batch::submitted(world, jobs).await;
    calls(world, 4).await;
    (daemon, batch)
}

async fn calls(world: &World, least: u64) {
    eventually("some calls", SOON, async || match world.simulator.count("calls").await {
        now if now >= least => Ok(()),
        now => Err(format!("{now}")),
    })
    .await;
}

/// The process lives, so its ledger knows what was paid for: no job is paid for twice.
async fn done(world: &World, daemon: &Daemon, batch: &Batch) {
    batch.verdicts(world).await;
    batch.assert_paid_once(world).await;
    let most = world.simulator.count("max_in_flight").await;
    assert!(most <= CONCURRENCY, "{most} calls at once");
    world.assert_drained().await;
    eventually_equals("nothing to be in hand", SOON, Some(0.0), async || {
        daemon.metric("antispoofd_jobs_in_flight").await
    })
    .await;
    daemon.wait_ready().await;
}
