//! While the ledger cannot be asked.

use crate::harness::wait::{EVENTUALLY, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};
use std::path::Path;

#[tokio::test]
async fn nothing_is_paid_for_and_everything_goes_on_when_it_is_back() {
    let world = World::new("ledger_hold").await;
    let daemon =
        world.daemon_with_redis().set("ledger.timeout", "500ms").set("api.probe_interval", "200ms").start_ready().await;
    let before = world.upload("before.jpg", jpeg::tiny(1)).await;
    let job = world.submit(&before.key).await;
    world.event_for(&job).await;

    world.redis_link.cut().await;
    let bytes = jpeg::tiny(2);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let jobs = world.submit_all([stored.key.as_str(); 3]).await;
    eventually_equals("the gate to close", EVENTUALLY, Some(0.0), async || daemon.metric("antispoofd_gate_open").await)
        .await;
    eventually_equals("nothing to be consumed", EVENTUALLY, Some(0.0), async || {
        daemon.metric("antispoofd_amqp_consuming").await
    })
    .await;
    let errors = daemon.metric("antispoofd_ledger_errors_total{op=\"begin\"}").await;
    assert!(errors >= Some(1.0), "{errors:?}");
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 0);
    daemon.wait_logged("nothing is paid for until it is back").await;
    assert_eq!(daemon.logs().iter().filter(|line| line.contains("nothing is paid for until it is back")).count(), 1);

    world.redis_link.restore().await;
    let events = world.events_for_all(&jobs).await;
    let attempts = events.iter().filter(|event| jobs.iter().any(|job| event.job_id() == Some(job)));
    assert!(attempts.clone().count() >= 3);
    assert!(
        attempts.into_iter().all(|event| event.json["data"]["check"]["attempts"] == 1),
        "it was not the jobs' fault"
    );
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 3, "three jobs, a call each");
    eventually_equals("the gate to open", EVENTUALLY, Some(1.0), async || daemon.metric("antispoofd_gate_open").await)
        .await;
    daemon.wait_logged("the ledger answers again").await;
    world.assert_drained().await;
}

#[tokio::test]
async fn a_limit_on_files_is_a_full_disk_and_not_the_end() {
    let world = World::new("ledger_limited").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let settings = world.daemon().set("ledger.backend", "file").set("ledger.path", path.display().to_string());
    let daemon = settings.set("api.probe_interval", "200ms").start_ready().await;
    daemon.fill_disk();
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let job = world.submit(&stored.key).await;
    eventually_equals("the gate to close", EVENTUALLY, Some(0.0), async || daemon.metric("antispoofd_gate_open").await)
        .await;
    assert_eq!(world.simulator.count("calls").await, 0);
    daemon.free_disk();
    assert_eq!(world.event_for(&job).await.failure_code(), None);
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
}

#[tokio::test]
async fn jobs_are_judged_without_it_where_that_is_wanted() {
    let world = World::new("ledger_proceed").await;
    let daemon =
        world.daemon_with_redis().set("ledger.timeout", "500ms").set("ledger.on_error", "proceed").start_ready().await;
    world.redis_link.cut().await;
    let bytes = jpeg::tiny(1);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let jobs = world.submit_all([stored.key.as_str(); 2]).await;
    world.events_for_all(&jobs).await;
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 2);
    for op in ["begin", "intent", "conclude"] {
        let errors = daemon.metric(&format!("antispoofd_ledger_errors_total{{op=\"{op}\"}}")).await;
        assert!(errors >= Some(1.0), "{op}: {errors:?}");
    }
    daemon.wait_logged("judged without it").await;
    assert_eq!(daemon.logs().iter().filter(|line| line.contains("judged without it")).count(), 1, "said once");
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0));
    world.redis_link.restore().await;
    eventually("the ledger to be used again", EVENTUALLY, async || {
        let job = world.submit(&stored.key).await;
        world.event_for(&job).await;
        if daemon.logs_contain("the ledger answers again") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    world.assert_drained().await;
}

#[tokio::test]
async fn a_second_worker_on_a_file_ends_with_what_to_do() {
    let world = World::new("ledger_two_on_a_file").await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    let builder =
        |path: &Path| world.daemon().set("ledger.backend", "file").set("ledger.path", path.display().to_string());
    let first = builder(&path).start_ready().await;
    let second = builder(&path).start();
    let status = second.wait_output(STARTED).await;
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(second.logs_contain("another process has it open") && second.logs_contain(path.to_str().expect("text")));
    assert!(first.is_running());
    first.term();
    assert!(first.wait_exit(STARTED).await.success());
    builder(&path).start_ready().await;
}
