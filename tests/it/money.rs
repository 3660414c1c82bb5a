//! What calls cost, what was saved, and the limit of a day.

use std::time::Duration;

use serde_json::json;

use crate::batch::Batch;
use crate::harness::broker::{Message, PARKED};
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::own_redis::OwnRedis;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals, holds};
use crate::harness::world::World;
use crate::images::jpeg;

const LIMIT: u64 = 10;

async fn is(daemon: &Daemon, series: &str, expected: f64) {
    eventually(&format!("{series} to be {expected}"), SOON, async || match daemon.metric(series).await {
        Some(value) if (value - expected).abs() < 1e-9 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn limit_is_reached(daemon: &Daemon) {
    is(daemon, r#"antispoofd_gate_closed{reason="daily_limit"}"#, 1.0).await;
    daemon.wait_ready().await;
}

/// Lines of the log with this in them.
fn said(daemon: &Daemon, text: &str) -> Vec<String> {
    daemon.logs().into_iter().filter(|line| line.contains(text)).collect()
}

fn spent_one_attempt_each(events: &[Message]) {
    for event in events {
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "{}", event.json);
        assert!(event.failure_code().is_none(), "{}", event.json);
    }
}

#[tokio::test]
async fn workers_share_the_calls_of_a_day_and_the_rest_of_the_jobs_waits_for_the_next() {
    const MANY: usize = 24;

    let own = OwnRedis::start("daily").await;
    let world = World::new("daily_limit").await;
    // Neither worker has done all before the other is there.
    world.simulator.configure(json!({ "latency": "100ms" })).await;
    let worker = |limit: u64| -> DaemonBuilder {
        let builder = world.daemon().set("ledger.backend", "redis").set("ledger.url", &own.url);
        let builder = builder.set("api.daily_call_limit", limit.to_string()).set("api.call_price", "0.02");
        builder.set("worker.concurrency", "4")
    };
    let workers = [worker(LIMIT).start_ready().await, worker(LIMIT).start_ready().await];
    let batch = Batch::submitted(&world, MANY).await;
    for daemon in &workers {
        limit_is_reached(daemon).await;
        is(daemon, "antispoofd_api_daily_call_limit", 10.0).await;
    }
    // The gate closes when the tenth call is counted, which is before it is made.
    eventually_equals("ten calls", SOON, LIMIT, async || world.simulator.count("calls").await).await;
    holds("no more is called for", Duration::from_secs(3), async || match world.simulator.count("calls").await {
        LIMIT => Ok(()),
        calls => Err(format!("{calls} calls")),
    })
    .await;
    for daemon in &workers {
        // The one that made fewer of them knows of all, too.
        is(daemon, "antispoofd_api_daily_calls", 10.0).await;
        daemon.wait_ready().await;
        daemon.wait_logged("nothing is consumed until the day").await;
        let closed = said(daemon, "nothing is consumed until the day");
        assert_eq!(closed.len(), 1, "said once: {closed:#?}");
        for part in ["api.daily_call_limit is 10", "T00:00:00Z", "raise api.daily_call_limit and restart"] {
            assert!(closed[0].contains(part), "{part}: {}", closed[0]);
        }
    }
    let near: usize = workers.iter().map(|daemon| said(daemon, "of the 10 calls of this day").len()).sum();
    assert!((1..=2).contains(&near), "each worker says at most once that the limit is near: {near}");
    // Killed before its ack is written, a job would come, and be told of, once more.
    eventually_equals("ten ends", SOON, Some(10.0), async || {
        let ends = r#"antispoofd_settlements_total{kind="announced"}"#;
        Some(workers[0].metric(ends).await? + workers[1].metric(ends).await?)
    })
    .await;
    let cost: Vec<_> =
        [workers[0].metric("antispoofd_api_cost_total").await, workers[1].metric("antispoofd_api_cost_total").await]
            .into_iter()
            .collect::<Option<_>>()
            .expect("a counter");
    assert!((cost.iter().sum::<f64>() - 0.2).abs() < 1e-9, "ten calls at 0.02: {cost:?}");

    // What an operator does who wants the rest today.
    drop(workers);
    let _raised = worker(MANY as u64).start_ready().await;
    let events = batch.ended(&world, EVENTUALLY).await;
    assert_eq!(events.len(), MANY);
    spent_one_attempt_each(&events);
    assert_eq!(world.simulator.count("calls").await, MANY as u64);
    assert_eq!(world.broker.depth(PARKED).await, Some(0));
    world.assert_drained().await;
}

#[tokio::test]
async fn the_calls_of_a_day_outlive_a_worker_with_a_ledger_in_a_file() {
    let world = World::new("daily_limit_file").await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb").display().to_string();
    let worker = |limit: u64| {
        let builder = world.daemon().set("ledger.backend", "file").set("ledger.path", &path);
        builder.set("api.daily_call_limit", limit.to_string()).set("worker.concurrency", "2")
    };
    let first = worker(3).start_ready().await;
    let batch = Batch::submitted(&world, 8).await;
    limit_is_reached(&first).await;
    // The gate closes when the third call begins; a worker that was killed before its end would have one in doubt.
    eventually_equals("the ends of three jobs", SOON, 3, async || world.events().await.len()).await;
    assert_eq!(world.simulator.count("calls").await, 3);
    first.kill();
    first.wait_exit(SOON).await;
    let second = worker(3).start_ready().await;
    limit_is_reached(&second).await;
    is(&second, "antispoofd_api_daily_calls", 3.0).await;
    assert_eq!(world.simulator.count("calls").await, 3, "it goes on counting where the other was killed");
    drop(second);
    let _raised = worker(8).start_ready().await;
    spent_one_attempt_each(&batch.ended(&world, EVENTUALLY).await);
    assert_eq!(world.simulator.count("calls").await, 8);
    world.assert_drained().await;
}

#[tokio::test]
async fn what_was_paid_and_what_was_saved_is_counted() {
    let world = World::new("money").await;
    let daemon = world.daemon().set("api.call_price", "0.5").start_ready().await;
    let face = world.upload("face.jpg", jpeg::tiny(1)).await;
    let first = world.submit(&face.key).await;
    world.event_for(&first).await;
    // The same job once more, an image that is none, an empty object, and a job that is too late.
    world.submit_job(json!({ "id": first, "key": face.key })).await;
    let text = world.upload("notes.txt", "no image".as_bytes()).await;
    let empty = world.upload("empty.jpg", Vec::new()).await;
    let others = [
        world.submit(&text.key).await,
        world.submit(&empty.key).await,
        world.submit_job(json!({ "key": face.key, "expires_at": "2020-01-01T00:00:00Z" })).await,
    ];
    world.events_for_all(&others).await;
    for (series, value) in [
        (r#"antispoofd_api_calls_saved_total{by="ledger"}"#, 1.0),
        (r#"antispoofd_api_calls_saved_total{by="inspection"}"#, 2.0),
        (r#"antispoofd_api_calls_saved_total{by="expired"}"#, 1.0),
        ("antispoofd_api_billable_calls_total", 1.0),
        ("antispoofd_api_cost_total", 0.5),
        ("antispoofd_api_daily_calls", 0.0),
    ] {
        is(&daemon, series, value).await;
    }
    assert_eq!(world.simulator.count("calls").await, 1);
}
