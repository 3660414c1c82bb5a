//! A job that ends the process each time it is tried takes no other job with it.

use serde_json::json;

use crate::harness::daemon::Daemon;
use crate::harness::wait::{EVENTUALLY, STARTED, eventually, soon};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};

/// Jobs beside the one that kills.
const INNOCENTS: u64 = 12;

/// More than the broker's delivery limit: a worker that is killed more often has not stopped trying.
const MOST_DEATHS: u64 = 25;

/// From the fourth delivery on it is run alone.
const TOGETHER: u64 = 3;

#[tokio::test]
async fn a_job_that_ends_the_process_ends_alone() {
    let world = World::new("suspects").await;
    world.simulator.configure(json!({ "latency": "2s" })).await;
    let builder = world.daemon().set("worker.concurrency", "8").set("retry.delays", "1s,2s");
    let mut daemon = builder.clone().start_ready().await;

    let bytes = jpeg::tiny(999);
    let digest = sha256(&bytes);
    let killer = world.upload("killer.jpg", bytes).await;
    let mut keys = vec![killer.key];
    for number in 0..INNOCENTS {
        let stored = world.upload(&format!("{number}.jpg"), jpeg::tiny(number)).await;
        keys.push(stored.key);
    }
    let jobs = world.submit_all(keys.iter().map(String::as_str)).await;

    let mut deaths = 0;
    while is_called_for(&world, &daemon, &digest, deaths).await {
        let in_flight = world.simulator.count("in_flight").await;
        assert!(deaths < TOGETHER || in_flight <= 1, "{in_flight} calls at once at death {deaths}");
        deaths += 1;
        assert!(deaths < MOST_DEATHS, "it is tried for ever");
        daemon.kill();
        daemon.wait_exit(STARTED).await;
        no_call_left(&world).await;
        daemon = builder.clone().start_ready().await;
    }

    assert!(deaths > TOGETHER, "it was tried alone: {deaths} deaths");
    let end = world.event_for(&jobs[0]).await;
    assert_eq!(end.failure_code(), Some("delivery_limit"));
    for event in world.events_for_all(&jobs).await {
        if event.job_id() == Some(&jobs[0]) {
            continue;
        }
        assert_eq!(event.failure_code(), None, "{:?} did nothing", event.job_id());
    }
    assert_alone_is_counted(&daemon).await;
    world.assert_drained().await;
}

/// Waits until the killer is called for once more (`true`), or has its end. Looks often: the answer comes two seconds after the call.
async fn is_called_for(world: &World, daemon: &Daemon, digest: &str, deaths: u64) -> bool {
    soon("a call or an end", EVENTUALLY, async || {
        if world.simulator.billed(digest).await > deaths {
            return Ok(true);
        }
        if daemon.logs_contain("parked, delivery_limit") {
            Ok(false)
        } else {
            Err(format!("neither after {deaths} deaths"))
        }
    })
    .await
}

/// The simulator has seen that the caller of before is gone.
async fn no_call_left(world: &World) {
    eventually("no call in flight", EVENTUALLY, async || match world.simulator.count("in_flight").await {
        0 => Ok(()),
        now => Err(format!("{now}")),
    })
    .await;
}

async fn assert_alone_is_counted(daemon: &Daemon) {
    let alone = daemon.metric("antispoofd_jobs_run_alone_total").await;
    assert!(alone.is_some_and(|alone| alone >= 1.0), "{alone:?} of the last worker's jobs were run alone");
}
