//! Starting: without a broker, and how soon with one.

use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::Signal;
use tokio::time::Instant;

use super::reconnected;
use crate::batch::Batch;
use crate::harness::link::Direction;
use crate::harness::wait::{STARTED, soon};
use crate::harness::world::World;

#[tokio::test]
async fn it_starts_without_a_broker_and_is_ready_when_there_is_one() {
    let world = World::new("late_broker").await;
    world.amqp_link.cut().await;
    let daemon = world.daemon().start();
    daemon.wait_status("/livez", StatusCode::OK, STARTED).await;
    reconnected(&daemon, 3.0).await;
    daemon.wait_logged("cannot reach the broker").await;
    assert!(!daemon.logs_contain("lost the broker"));
    assert_eq!(daemon.get("/livez").await.expect("an answer").0, StatusCode::OK);
    assert_eq!(daemon.get("/startupz").await.expect("an answer").0, StatusCode::SERVICE_UNAVAILABLE);
    world.amqp_link.restore().await;
    daemon.wait_ready().await;
    let batch = Batch::submitted(&world, 3).await;
    batch.verdicts(&world).await;
    world.assert_drained().await;
}

#[tokio::test]
async fn it_consumes_soon_after_its_start() {
    const STARTS: usize = 7;
    /// The aim is 300 ms, for a release build on a machine with nothing else to do; this is a debug build among other tests.
    const GENEROUS: Duration = Duration::from_secs(8);

    let world = World::new("quick_start").await;
    // The first one declares the queues.
    drop(world.daemon().start_ready().await);
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let since = Instant::now();
        let daemon = world.daemon().start();
        soon("the consumer to be registered", STARTED, async || match daemon.get("/startupz").await {
            Ok((StatusCode::OK, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        took.push(since.elapsed());
    }
    took.sort();
    let median = took[STARTS / 2];
    eprintln!(
        "figure: consuming {median:?} after the start (median of {STARTS}, {:?} to {:?})",
        took[0],
        took[STARTS - 1]
    );
    assert!(median < GENEROUS, "{took:?}");
}

/// SIGTERM from the moment on from which it is heard, through dialling, greeting and the first declarations, up to the consumer.
#[tokio::test]
async fn sigterm_at_any_moment_of_the_start_ends_in_peace() {
    /// The steps of the exchange with the broker, in bytes of its answers.
    const STEP: usize = 100;
    /// While it dials no byte passes, so that is done so often.
    const DIALLING: usize = 20;

    let world = World::new("term_at_start").await;
    let first = world.daemon().set("amqp.prefix", "whole").start_ready().await;
    let whole = usize::try_from(world.amqp_link.bytes(Direction::ToDaemon)).expect("a few kilobytes");
    drop(first);
    let moments = [0].repeat(DIALLING).into_iter().chain((1..whole).step_by(STEP));
    for (round, bytes) in moments.enumerate() {
        let before = world.amqp_link.bytes(Direction::ToDaemon);
        // Names that no broker has heard of, so that everything has to be declared.
        let daemon = world.daemon().set("amqp.prefix", format!("first-{round}")).start();
        let limit = Instant::now() + STARTED;
        // Every few milliseconds would be too seldom.
        while !daemon.catches(Signal::TERM) || world.amqp_link.bytes(Direction::ToDaemon) - before < bytes as u64 {
            assert!(Instant::now() < limit, "{bytes} of {whole} bytes do not come: {:?}", daemon.logs());
            tokio::task::yield_now().await;
        }
        daemon.term();
        let ended = daemon.wait_output(STARTED).await;
        assert!(ended.success() && !daemon.logs_contain("panicked"), "{bytes} bytes: {ended} {:?}", daemon.logs());
    }
}
