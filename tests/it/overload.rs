//! An API that takes less than the workers could send: `worker.concurrency` as a table. What is judged are the calls that the simulator counted.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::wait::{EVENTUALLY, eventually, holds};
use crate::harness::world::World;
use crate::images::jpeg;

/// The promise: after so long the API's limit is known.
const LEARNING: Duration = Duration::from_secs(30);

/// And a minute after the API is well again, so are the limits. A machine that had no time for the worker gets two more, as in [`kept_to`].
const WELL_AGAIN: Duration = Duration::from_mins(3);

/// Calls a second that the simulator takes.
const QUOTA: f64 = 30.0;

#[tokio::test]
async fn a_quota_is_found_out_used_and_rarely_exceeded() {
    let world = World::new("overload_quota").await;
    world.simulator.configure(json!({ "latency": "100ms", "rate_limit": QUOTA })).await;
    let daemon = adaptive(&world).start_ready().await;
    submit(&world, 6000).await;
    passes(&world, LEARNING).await;
    kept_to(&world, LEARNING, 0.95, 0.02).await;
    let pace = daemon.metric("antispoofd_api_pace").await.expect("the pace");
    assert!((0.8 * QUOTA..1.5 * QUOTA).contains(&pace), "{pace}");
    // 30 calls of 100 ms each take three hands, and some for what is before and behind a call.
    let in_hand = daemon.metric("antispoofd_jobs_in_flight").await.expect("the jobs in hand");
    assert!(in_hand <= 32.0, "{in_hand} jobs are in hand of {QUOTA} a second");
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0));

    world.simulator.configure(json!({ "rate_limit": 0 })).await;
    eventually("the pace to grow", WELL_AGAIN, async || {
        let pace = daemon.metric("antispoofd_api_pace").await.unwrap_or_default();
        if pace >= 3.0 * QUOTA { Ok(()) } else { Err(format!("{pace} calls a second")) }
    })
    .await;
}

#[tokio::test]
async fn two_workers_share_a_quota() {
    let world = World::new("overload_shared").await;
    world.simulator.configure(json!({ "latency": "100ms", "rate_limit": QUOTA })).await;
    let first = adaptive(&world).start_ready().await;
    let second = adaptive(&world).start_ready().await;
    submit(&world, 8000).await;
    passes(&world, LEARNING).await;
    let before = [served_by(&first).await, served_by(&second).await];
    kept_to(&world, LEARNING * 2, 0.9, 0.04).await;
    let shares = [served_by(&first).await - before[0], served_by(&second).await - before[1]];
    let fair = f64::midpoint(shares[0], shares[1]);
    assert!(shares.iter().all(|share| *share >= fair / 4.0), "none starves: {shares:?}");
}

#[tokio::test]
async fn errors_of_overload_lower_the_limit_and_it_comes_back() {
    let world = World::new("overload_errors").await;
    world.simulator.configure(json!({ "latency": "300ms" })).await;
    let daemon = adaptive(&world).set("worker.concurrency.max", "16").start_ready().await;
    submit(&world, 4000).await;
    limit(&daemon, "to be at its most", EVENTUALLY, |limit| limit >= 16.0).await;
    world.simulator.configure(json!({ "faults": "503=25%" })).await;
    limit(&daemon, "to fall", EVENTUALLY, |limit| limit <= 6.0).await;
    world.simulator.configure(json!({ "faults": "" })).await;
    limit(&daemon, "to come back", WELL_AGAIN, |limit| limit >= 16.0).await;
}

#[tokio::test]
async fn a_fixed_number_is_the_limit() {
    let world = World::new("overload_fixed").await;
    let daemon = world.daemon().set("worker.concurrency", "7").set("api.rate_limit", "2.5").start_ready().await;
    assert_eq!(daemon.metric("antispoofd_concurrency_limit").await, Some(7.0));
    assert_eq!(daemon.metric("antispoofd_api_pace").await, Some(2.5));
}

fn adaptive(world: &World) -> DaemonBuilder {
    world.daemon().set("worker.concurrency.min", "2").set("worker.concurrency.max", "64")
}

/// Publishes so many jobs for one image. Each is called for: a verdict is given again to the same job only.
async fn submit(world: &World, jobs: usize) {
    let image = world.upload("face.jpg", jpeg::tiny(7)).await;
    world.submit_all(std::iter::repeat_n(image.key.as_str(), jobs)).await;
}

async fn passes(world: &World, time: Duration) {
    holds("the time while there are jobs", time, async || {
        match world.broker.depth(crate::harness::broker::JOBS).await {
            Some(0) => Err("the queue is empty".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
}

/// At least this share of the quota is used, and at most that part of the calls is refused. A machine that had no time for the worker, as one that builds beside
/// its tests, gets two more windows.
async fn kept_to(world: &World, time: Duration, used: f64, most_refused: f64) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (served, refused) = measured(world, time).await;
        if served >= used * QUOTA && refused < most_refused {
            return;
        }
        seen.push(format!("{served:.1} calls a second of {QUOTA}, {:.1} % refused", refused * 100.0));
    }
    panic!("{seen:?}");
}

/// Verdicts a second, and the part of the calls that was refused.
async fn measured(world: &World, time: Duration) -> (f64, f64) {
    world.simulator.reset().await;
    let began = Instant::now();
    passes(world, time).await;
    let stats = world.simulator.stats_without_images().await;
    let took = began.elapsed().as_secs_f64();
    let of = |status: &str| stats["by_status"][status].as_f64().unwrap_or_default();
    let (served, refused) = (of("200"), of("429"));
    (served / took, refused / (served + refused))
}

async fn served_by(daemon: &Daemon) -> f64 {
    daemon.metric("antispoofd_api_requests_total{code=\"ok\"}").await.unwrap_or_default()
}

async fn limit(daemon: &Daemon, what: &str, within: Duration, reached: fn(f64) -> bool) {
    eventually(&format!("the limit {what}"), within, async || {
        let limit = daemon.metric("antispoofd_concurrency_limit").await.unwrap_or_default();
        if reached(limit) { Ok(()) } else { Err(format!("{limit} calls at a time")) }
    })
    .await;
}
