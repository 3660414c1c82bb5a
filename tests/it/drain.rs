//! Stopping is not failing: what is in hand ends or goes back, and the process says how it went.

use reqwest::StatusCode;
use serde_json::json;

use crate::batch::Batch;
use crate::harness::broker::{JOBS, PARKED};
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

/// Longer than any test waits: a process that ends during a wait of this length has given that wait up.
const LONG: &str = "3m";

const FAILED: Option<i32> = Some(1);

#[tokio::test]
async fn sigterm_lets_sent_calls_finish_and_gives_the_rest_back() {
    drains_whole("sigterm_drains", Daemon::term).await;
}

#[tokio::test]
async fn sigint_does_the_same() {
    drains_whole("sigint_drains", Daemon::int).await;
}

#[tokio::test]
async fn sigquit_does_the_same() {
    drains_whole("sigquit_drains", Daemon::quit).await;
}

#[tokio::test]
async fn sighup_changes_nothing() {
    let world = World::new("sighup").await;
    world.simulator.configure(json!({ "latency": "4s" })).await;
    let daemon = world.daemon().start_ready().await;
    let batch = Batch::submitted(&world, 2).await;
    calls_in_flight(&world, 2).await;
    daemon.hang_up();
    eventually_equals("the log to say so", SOON, true, async || daemon.logs_contain("SIGHUP: goes on")).await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    daemon.hang_up();
    ends_at_once(&daemon).await;
}

async fn drains_whole(test: &str, signal: fn(&Daemon)) {
    let world = World::new(test).await;
    // None of them may end before the signal is heard.
    world.simulator.configure(json!({ "latency": "6s" })).await;
    let daemon = world.daemon().set("worker.concurrency", "4").start_ready().await;
    let batch = Batch::submitted(&world, 10).await;
    calls_in_flight(&world, 4).await;

    signal(&daemon);
    daemon.wait_status("/readyz", StatusCode::SERVICE_UNAVAILABLE, SOON).await;
    assert!(daemon.is_running(), "not ready comes before the end, so that nobody relies on it meanwhile");
    assert!(daemon.wait_exit(STARTED).await.success());
    assert_eq!(world.events().await.len(), 4, "what was sent is announced");
    eventually_equals("the rest to be back", SOON, Some(6), async || world.broker.depth(JOBS).await).await;
    assert_eq!(world.simulator.count("calls").await, 4, "nothing is begun after the signal");

    world.simulator.configure(json!({ "latency": "0s" })).await;
    let _second = world.daemon().start_ready().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    assert_eq!(world.events().await.len(), 10, "nothing is told twice");
    world.assert_drained().await;
}

#[tokio::test]
async fn an_unanswered_call_is_in_doubt_before_the_drain_ends() {
    let world = World::new("drain_hanging").await;
    world.simulator.configure(json!({ "faults": "hang=100%" })).await;
    let daemon = world
        .daemon()
        .set("api.connect_timeout", "1s")
        .set("api.timeout", "6s")
        .set("worker.drain_timeout", "10s")
        .set("retry.delays", "1s")
        .start_ready()
        .await;
    let batch = Batch::submitted(&world, 2).await;
    calls_in_flight(&world, 2).await;
    daemon.term();
    // Cut off by the end of the drain it would end with 1.
    assert!(daemon.wait_output(STARTED).await.success(), "a call cannot outlast the drain");
    assert!(daemon.logs_contain("api_in_doubt"));

    world.simulator.configure(json!({ "faults": "" })).await;
    let _second = world.daemon().set("retry.delays", "1s").start_ready().await;
    batch.verdicts(&world).await;
    // The hanging calls were billed by a vendor that never said so: that is what in doubt means.
    assert_eq!(batch.billed(&world).await, [2, 2]);
    for event in world.events().await {
        assert_eq!(event.json["data"]["check"]["attempts"], 2);
    }
    world.assert_drained().await;
}

#[tokio::test]
async fn a_verdict_that_nobody_takes_is_held_until_the_drain_is_over() {
    let world = World::new("drain_exceeded").await;
    let daemon = world
        .daemon()
        .set("worker.concurrency", "2")
        .set("api.connect_timeout", "1s")
        .set("api.timeout", "4s")
        .set("worker.drain_timeout", "6s")
        .start_ready()
        .await;
    world.broker.unbind_results().await;
    let batch = Batch::submitted(&world, 3).await;
    unroutable(&daemon).await;

    daemon.term();
    assert_eq!(daemon.wait_output(STARTED).await.code(), FAILED);
    assert!(!daemon.logs_contain("again: stopping now"), "there was no second signal");
    assert!(daemon.logs_contain("jobs are cut off"), "so it was held to the end of the drain: {:?}", daemon.logs());
    eventually_equals("all jobs to be back", SOON, 3, async || in_queues(&world).await).await;

    world.broker.bind_results().await;
    let _second = world.daemon().start_ready().await;
    batch.verdicts(&world).await;
    let billed = batch.billed(&world).await;
    assert!(billed.iter().all(|calls| (1..=2).contains(calls)), "what was known died with the process: {billed:?}");
    world.assert_drained().await;
}

#[tokio::test]
async fn an_echo_of_the_signal_is_no_second_one() {
    let world = World::new("echo").await;
    world.simulator.configure(json!({ "latency": "4s" })).await;
    let daemon = world.daemon().start_ready().await;
    let batch = Batch::submitted(&world, 2).await;
    calls_in_flight(&world, 2).await;
    // As from a supervisor that signals the process and its group. Two of a kind would be one to the kernel. Stopped meanwhile, it hears them together,
    // however long this process has to wait between them.
    daemon.stop();
    daemon.term();
    daemon.int();
    daemon.cont();
    assert_eq!(daemon.wait_exit(STARTED).await.code(), Some(0), "what was sent was finished");
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let world = World::new("second_signal").await;
    world.simulator.configure(json!({ "latency": LONG })).await;
    let daemon = patient(&world).set("worker.concurrency", "2").set("api.timeout", LONG).start_ready().await;
    let batch = Batch::submitted(&world, 3).await;
    calls_in_flight(&world, 2).await;

    daemon.term();
    daemon.wait_draining().await;
    daemon.term();
    assert_eq!(daemon.wait_exit(STARTED).await.code(), FAILED);
    ended_in_order(&daemon);
    eventually_equals("the calls to be left unanswered", SOON, 2, async || world.simulator.count("abandoned").await)
        .await;
    eventually_equals("all jobs to be back", SOON, Some(3), async || world.broker.depth(JOBS).await).await;

    world.simulator.configure(json!({ "latency": "0s" })).await;
    let _second = world.daemon().start_ready().await;
    batch.verdicts(&world).await;
    assert_eq!(batch.billed(&world).await.iter().sum::<u64>(), 5, "the two that were cut off are paid for again");
    world.assert_drained().await;
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_a_broker_that_hangs() {
    let world = World::new("second_signal_frozen").await;
    world.simulator.configure(json!({ "latency": LONG })).await;
    let daemon = patient(&world).set("api.timeout", LONG).start_ready().await;
    let batch = Batch::submitted(&world, 1).await;
    calls_in_flight(&world, 1).await;
    world.amqp_link.freeze();

    daemon.term();
    daemon.wait_draining().await;
    daemon.term();
    assert_eq!(daemon.wait_exit(STARTED).await.code(), FAILED);
    // Saying goodbye to the broker is given up within what the tasks are waited for.
    ended_in_order(&daemon);

    world.amqp_link.thaw();
    world.simulator.configure(json!({ "latency": "0s" })).await;
    let _second = world.daemon().start_ready().await;
    batch.verdicts(&world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn an_idle_daemon_ends_at_once() {
    let world = World::new("drain_idle").await;
    let daemon = patient(&world).start_ready().await;
    ends_at_once(&daemon).await;
}

#[tokio::test]
async fn without_a_broker_it_ends_too() {
    let world = World::new("drain_no_broker").await;
    let daemon = patient(&world).start_ready().await;
    world.amqp_link.cut().await;
    daemon.wait_status("/readyz", StatusCode::SERVICE_UNAVAILABLE, SOON).await;
    ends_at_once(&daemon).await;

    // With a verdict in hand it waits for the broker to come back as long as a publish may take.
    world.amqp_link.restore().await;
    world.simulator.configure(json!({ "latency": "4s" })).await;
    let builder = world.daemon().set("amqp.publish_timeout", "2s").set("worker.drain_timeout", LONG);
    let daemon = builder.start_ready().await;
    let batch = Batch::submitted(&world, 2).await;
    calls_in_flight(&world, 2).await;
    world.amqp_link.cut().await;
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
    ended_in_order(&daemon);

    world.amqp_link.restore().await;
    let _second = world.daemon().start_ready().await;
    batch.verdicts(&world).await;
    let billed = batch.billed(&world).await;
    assert!(billed.iter().all(|calls| (1..=2).contains(calls)), "the jobs in flight at most: {billed:?}");
    world.assert_drained().await;
}

#[tokio::test]
async fn it_ends_before_it_was_ever_connected() {
    let world = World::new("drain_unconnected").await;
    world.amqp_link.cut().await;
    let daemon = patient(&world).start();
    daemon.wait_status("/livez", StatusCode::OK, STARTED).await;
    ends_at_once(&daemon).await;

    // A broker that accepts and says nothing is worse: the connection is being made when the signal comes.
    world.amqp_link.restore().await;
    world.amqp_link.freeze();
    let daemon = patient(&world).start();
    daemon.wait_status("/livez", StatusCode::OK, STARTED).await;
    eventually("a connection to be under way", SOON, async || match world.amqp_link.open() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await;
    ends_at_once(&daemon).await;
}

#[tokio::test]
async fn fetching_is_given_up_and_costs_nothing() {
    let world = World::new("drain_fetching").await;
    let daemon = patient(&world).set("s3.timeout", LONG).start_ready().await;
    let mut batch = Batch::stored(&world, 3).await;
    world.s3_link.freeze();
    batch.submit(&world).await;
    eventually_equals("three jobs in hand", SOON, Some(3.0), async || daemon.metric("antispoofd_jobs_in_flight").await)
        .await;
    ends_at_once(&daemon).await;
    eventually_equals("the jobs to be back", SOON, Some(3), async || world.broker.depth(JOBS).await).await;
    assert_eq!(world.simulator.count("calls").await, 0);

    world.s3_link.thaw();
    let _second = world.daemon().start_ready().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    for event in world.events().await {
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "to be stopped is no attempt");
    }
    world.assert_drained().await;
}

#[tokio::test]
async fn a_closed_gate_holds_nothing_up() {
    let world = World::new("drain_gate").await;
    world.simulator.configure(json!({ "faults": "403=100%" })).await;
    let daemon = patient(&world).set("api.probe_interval", "1m").start_ready().await;
    let batch = Batch::submitted(&world, 5).await;
    eventually_equals("the gate to close", SOON, true, async || daemon.logs_contain("nothing is consumed until")).await;
    ends_at_once(&daemon).await;
    eventually_equals("all jobs to be back", SOON, 5, async || in_queues(&world).await).await;
    assert_eq!(world.broker.depth(PARKED).await, Some(0));

    world.simulator.configure(json!({ "faults": "" })).await;
    let _second = world.daemon().start_ready().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    world.assert_drained().await;
}

/// A worker whose every limit is longer than the tests wait for its end: a limit that it waits for fails them.
fn patient(world: &World) -> DaemonBuilder {
    let builder = world.daemon().set("worker.drain_timeout", LONG).set("amqp.connect_timeout", LONG);
    builder.set("amqp.publish_timeout", "1m").set("amqp.ack_timeout", "1m")
}

async fn ends_at_once(daemon: &Daemon) {
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
    ended_in_order(daemon);
}

/// Neither the jobs nor the long-lived tasks were given up.
fn ended_in_order(daemon: &Daemon) {
    for late in ["tasks do not end", "have not ended within"] {
        assert!(!daemon.logs_contain(late), "{late}: {:?}", daemon.logs());
    }
}

async fn calls_in_flight(world: &World, count: u64) {
    let what = format!("{count} calls to be in flight");
    eventually_equals(&what, SOON, count, async || {
        let stats = world.simulator.stats().await;
        // A call that arrives is in flight before it is whole; only then it is one that was sent.
        stats["in_flight"].as_u64().unwrap_or(0).min(stats["calls"].as_u64().unwrap_or(0))
    })
    .await;
}

async fn unroutable(daemon: &Daemon) {
    eventually("a result to be held", SOON, async || {
        match daemon.metric("antispoofd_results_published_total{status=\"unroutable\"}").await {
            Some(count) if count > 0.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Messages in the job queue and the delay queues.
async fn in_queues(world: &World) -> u32 {
    eventually("the queues to be counted", EVENTUALLY, async || {
        let mut sum = 0;
        for queue in world.broker.queues().await {
            if queue != PARKED {
                sum += world.broker.depth(&queue).await.ok_or_else(|| format!("{queue} is gone"))?;
            }
        }
        Ok(sum)
    })
    .await
}

/// Restarts are nobody's fault: a job that is handed back each time is neither suspected nor given up.
#[tokio::test]
async fn a_job_in_hand_at_many_orderly_restarts_is_none_the_worse() {
    const RESTARTS: usize = 6;

    let world = World::new("restarts").await;
    world.simulator.configure(json!({ "faults": "401=100%" })).await;
    let builder = world.daemon().set("retry.delays", "1s");
    let mut daemon = builder.clone().start_ready().await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(1)).await;
    let job = world.submit(&stored.key).await;
    for _ in 0..RESTARTS {
        eventually_equals(
            "the job to be in hand and the gate closed",
            EVENTUALLY,
            (Some(1.0), Some(0.0)),
            async || (daemon.metric("antispoofd_jobs_in_flight").await, daemon.metric("antispoofd_gate_open").await),
        )
        .await;
        daemon.term();
        assert!(daemon.wait_exit(STARTED).await.success());
        daemon = builder.clone().start_ready().await;
    }
    world.simulator.configure(json!({ "faults": "" })).await;
    let event = world.event_for(&job).await;
    assert!(event.outcome().is_some(), "{}", event.json);
    assert_eq!(daemon.metric("antispoofd_jobs_run_alone_total").await, Some(0.0), "it is no suspect");
    world.assert_drained().await;
}

/// The broker is told to deliver no more and has answered before the connections close: what is on its way when they do counts as a delivery, and some of
/// those make a suspect.
#[tokio::test]
async fn the_broker_has_stopped_delivering_before_the_connections_close() {
    const CALLS_IN_A_LIFE: u64 = 60;
    const LIVES: u64 = 6;

    let world = World::new("drain_quiet").await;
    // The vendor answers at once, so no call gives the broker time to hear of it.
    let builder = world.daemon().set("worker.concurrency", "32").set("log.level", "info,antispoofd::amqp=debug");
    let mut daemon = builder.clone().start_ready().await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(1)).await;
    let jobs: Vec<_> = world.submit_all(vec![stored.key.as_str(); 600]).await;
    for life in 1..=LIVES {
        eventually("the next calls", SOON, async || match world.simulator.count("calls").await {
            calls if calls >= life * CALLS_IN_A_LIFE => Ok(()),
            calls => Err(format!("{calls} calls")),
        })
        .await;
        daemon.term();
        assert!(daemon.wait_exit(STARTED).await.success());
        eventually("the log to say that nothing more is wanted", SOON, async || {
            let lines = daemon.logs();
            let at = |text: &str| lines.iter().position(|line| line.contains(text)).ok_or_else(|| text.to_owned());
            let (asked, told, ended) =
                (at("SIGTERM: draining")?, at("at most 0 in hand from")?, at("nothing left in hand")?);
            if asked < told && told < ended { Ok(()) } else { Err(format!("lines {asked}, {told}, {ended}")) }
        })
        .await;
        daemon = builder.clone().start_ready().await;
    }
    world.events_for_all(&jobs).await;
    world.assert_drained().await;
}
