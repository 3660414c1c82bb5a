//! `ledger.backend = "s3"`: what a job costs in requests, stores that do not enforce conditions, answers that are lost, and outages.

use super::{events, publish};
use crate::harness::daemon::DaemonBuilder;
use crate::harness::process::Process;
use crate::harness::s3_double::{S3Double, Vice};
use crate::harness::store::{BUCKET, LEDGER_BUCKET};
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sha256};
use hyper::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The daemon with its images and its ledger in a double.
fn over(world: &World, double: &S3Double) -> DaemonBuilder {
    world.daemon_with_bucket().set("s3.endpoint_url", double.endpoint())
}

#[tokio::test]
async fn an_ordinary_job_takes_three_requests_beside_that_of_its_image() {
    let world = World::new("ledger_bucket_requests").await;
    let double = S3Double::start(Vice::None).await;
    double.put(&format!("{BUCKET}/face.jpg"), jpeg::tiny(1));
    let _daemon = over(&world, &double).start_ready().await;
    let job = world.submit("face.jpg").await;
    world.event_for(&job).await;
    world.assert_drained().await;
    assert_eq!(double.asked("/face.jpg"), [Method::GET]);
    assert_eq!(double.asked("/job/"), [Method::PUT, Method::PUT, Method::PUT]);
    assert_eq!(double.asked("/object/"), Vec::<Method>::new());
    let records = double.texts(&format!("{LEDGER_BUCKET}/"));
    let [record] = records.as_slice() else { panic!("{records:?}") };
    let record: Value = serde_json::from_str(record).expect("a record");
    assert_eq!(record["state"], "verdict");

    // Delivered again, it is looked at, and its event comes once more: no call, and nothing is written.
    let again = json!({ "id": job, "key": "face.jpg" });
    publish(&world, &again).await;
    let events = events(&world, &job, 2).await;
    assert!(events.iter().all(|event| event.json["id"] == events[0].json["id"]));
    assert_eq!(double.asked("/job/").len(), 5);
    assert_eq!(world.simulator.count("calls").await, 1);
}

#[tokio::test]
async fn a_store_that_does_not_enforce_conditions_is_refused_by_name() {
    let world = World::new("ledger_bucket_vices").await;
    for (vice, fault) in [
        (Vice::LooksFirst, "of 16 writers make the same object (If-None-Match: *)"),
        (Vice::IgnoresTags, "lets 16 of 16 writers change the same object (If-Match)"),
        (
            Vice::MixesVersions,
            "gives the ETag of one version with the content of an earlier one, where an object changes",
        ),
        (Vice::NoDate, "does not say in its answers what time it is (Date)"),
    ] {
        let double = S3Double::start(vice).await;
        let daemon = over(&world, &double).start();
        let status = daemon.wait_output(STARTED).await;
        assert_eq!(status.code(), Some(78), "{vice:?}: {status}");
        let said = format!("the ledger in the bucket {LEDGER_BUCKET} of Double/1: this store ");
        let told = daemon.logs().iter().any(|line| line.contains(&said) && line.contains(fault));
        assert!(told, "{vice:?}: {:?}", daemon.logs());
        let check: Process = over(&world, &double).command(&["check", "--connect"]);
        assert_eq!(check.wait_output(STARTED).await.code(), Some(78), "{:?}", check.stdout());
        let told = check.stdout().iter().any(|line| line.starts_with("failed") && line.contains(fault));
        assert!(told, "{vice:?}: {:?}", check.stdout());
    }
}

/// That one says so itself, as an error of the moment might be said: it is asked again.
#[tokio::test]
async fn a_store_without_conditional_writes_holds_up_all_jobs() {
    let world = World::new("ledger_bucket_501").await;
    let double = S3Double::start(Vice::KnowsNoConditions).await;
    double.put(&format!("{BUCKET}/face.jpg"), jpeg::tiny(1));
    let daemon = over(&world, &double).start_ready().await;
    world.submit("face.jpg").await;
    eventually_equals("the gate to close", EVENTUALLY, Some(0.0), async || daemon.metric("antispoofd_gate_open").await)
        .await;
    daemon.wait_logged("does not know conditional writes (501 NotImplemented)").await;
    assert_eq!(world.simulator.count("calls").await, 0);
}

#[tokio::test]
async fn a_lost_answer_costs_no_call_and_no_doubt() {
    let probes = ["made by", "changed by", "7"];
    for state in [r#""state":"claimed""#, r#""state":"intent""#, r#""state":"verdict""#].into_iter().chain(probes) {
        let world = World::new("ledger_bucket_lost").await;
        let double = S3Double::start(Vice::LosesOneAnswer(state)).await;
        double.put(&format!("{BUCKET}/face.jpg"), jpeg::tiny(1));
        let _daemon = over(&world, &double).start_ready().await;
        let job = world.submit("face.jpg").await;
        let event = world.event_for(&job).await;
        assert!(event.outcome().is_some(), "{state}: {}", event.json);
        assert_eq!(event.json["data"]["check"]["in_doubt"], Value::Null, "{state}: {}", event.json);
        assert_eq!(world.simulator.count("calls").await, 1, "{state}");
        world.assert_drained().await;
    }
}

#[tokio::test]
async fn an_outage_does_not_use_up_the_day() {
    let world = World::new("ledger_bucket_day").await;
    let double = S3Double::start(Vice::IsBusyWith(r#""state":"intent""#)).await;
    double.put(&format!("{BUCKET}/face.jpg"), jpeg::tiny(1));
    let builder = over(&world, &double).set("api.daily_call_limit", "3").set("api.probe_interval", "100ms");
    let _daemon = builder.start_ready().await;
    let jobs = world.submit_all(["face.jpg"; 3]).await;
    let intents = || double.asked("/job/").len();
    eventually(
        "many steps that fail",
        EVENTUALLY,
        async || if intents() > 20 { Ok(()) } else { Err(format!("{}", intents())) },
    )
    .await;
    double.set(Vice::None);
    let events = world.events_for_all(&jobs).await;
    assert!(events.iter().all(|event| event.outcome().is_some()));
    assert_eq!(world.simulator.count("calls").await, 3);
    world.assert_drained().await;
}

#[tokio::test]
async fn the_tasks_of_a_worker_count_their_calls_together() {
    let world = World::new("ledger_bucket_count").await;
    let double = S3Double::start(Vice::None).await;
    double.put(&format!("{BUCKET}/face.jpg"), jpeg::tiny(1));
    // A thousandth of it is one call at a time.
    let _daemon = over(&world, &double).set("api.daily_call_limit", "1500").start_ready().await;
    let jobs = world.submit_all(["face.jpg"; 40]).await;
    world.events_for_all(&jobs).await;
    let counted = double.texts(&format!("{LEDGER_BUCKET}/{}/calls", world.broker.vhost()));
    assert!(counted[0].ends_with(" 40"), "{counted:?}");
    let writes = double.asked("/calls").iter().filter(|method| **method == Method::PUT).count();
    assert!(writes <= 40, "{writes} writes");
}

#[tokio::test]
async fn a_store_that_hangs_holds_up_neither_a_stop_nor_jobs_that_may_proceed() {
    let world = World::new("ledger_bucket_hangs").await;
    let double = S3Double::start(Vice::Hangs(LEDGER_BUCKET)).await;
    double.put(&format!("{BUCKET}/face.jpg"), jpeg::tiny(1));
    let patient = over(&world, &double).set("ledger.timeout", "1m").start_ready().await;
    patient.term();
    patient.wait_exit(STARTED).await;
    let hasty = over(&world, &double).set("ledger.timeout", "500ms").set("ledger.on_error", "proceed");
    let daemon = hasty.start_ready().await;
    let jobs = world.submit_all(["face.jpg"; 16]).await;
    let events = world.events_for_all(&jobs).await;
    assert!(events.iter().all(|event| event.outcome().is_some()));
    daemon.term();
    daemon.wait_exit(STARTED).await;
}

#[tokio::test]
async fn nothing_is_paid_for_while_the_store_is_away() {
    let world = World::new("ledger_bucket_away").await;
    let builder = world.daemon_with_bucket().set("ledger.timeout", "500ms").set("api.probe_interval", "200ms");
    world.s3_link.cut().await;
    // Also a store that is away at the start is waited for.
    let daemon = builder.start_ready().await;
    let bytes = jpeg::tiny(2);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let jobs = world.submit_all([stored.key.as_str(); 3]).await;
    eventually_equals("the gate to close", EVENTUALLY, Some(0.0), async || daemon.metric("antispoofd_gate_open").await)
        .await;
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 0);
    world.s3_link.restore().await;
    let events = world.events_for_all(&jobs).await;
    assert!(events.iter().all(|event| event.outcome().is_some()));
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 3, "three jobs, a call each");
    world.assert_drained().await;
}

/// The claim of the dead has to run out first: half a minute and the longest step.
#[tokio::test]
async fn a_call_that_a_crash_cut_off_is_in_doubt_for_the_other_workers() {
    let world = World::new("ledger_bucket_crash").await;
    let impatient = || {
        let daemon = world.daemon_with_bucket().set("api.timeout", "8s").set("api.connect_timeout", "1s");
        let daemon = daemon.set("s3.timeout", "1s").set("s3.connect_timeout", "1s").set("s3.read_timeout", "1s");
        daemon.set("api.in_doubt", "park")
    };
    let first = impatient().start_ready().await;
    // Time enough, on a busy machine, to kill it under its call.
    world.simulator.configure(json!({ "latency": "7s" })).await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let job = world.submit(&stored.key).await;
    // Whole, and not only begun: killed before, it would be none.
    eventually_equals("the call", SOON, 1, async || world.simulator.count("calls").await).await;
    first.kill();
    first.wait_exit(STARTED).await;
    let second = impatient().start_ready().await;
    let returned = "antispoofd_settlements_total{kind=\"returned\"}";
    eventually("the job to be another worker's", EVENTUALLY, async || match second.metric(returned).await {
        Some(count) if count >= 1.0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut event = None;
    eventually("the claim to run out", Duration::from_mins(2), async || {
        event = events(&world, &job, 1).await.pop();
        event.as_ref().map(drop).ok_or_else(|| "no event".to_owned())
    })
    .await;
    let event = event.expect("an event");
    assert_eq!(event.failure_code(), Some("api_in_doubt"));
    assert_eq!(world.simulator.count("calls").await, 1, "no worker called again");
    world.assert_drained().await;
}

#[tokio::test]
async fn two_workers_pay_once_for_a_job_that_both_are_given() {
    let world = World::new("ledger_bucket_two").await;
    let _workers = [world.daemon_with_bucket().start_ready().await, world.daemon_with_bucket().start_ready().await];
    let bytes = jpeg::tiny(3);
    let stored = world.upload("face.jpg", bytes.clone()).await;
    let jobs: Vec<String> = (0..20).map(|n| format!("twice-{n}")).collect();
    for job in &jobs {
        let message = json!({ "id": job, "key": stored.key });
        publish(&world, &message).await;
        publish(&world, &message).await;
    }
    for job in &jobs {
        let told = events(&world, job, 2).await;
        assert_eq!(told[0].json["id"], told[1].json["id"]);
    }
    assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 20);
    world.assert_drained().await;
}

#[tokio::test]
async fn the_rule_that_removes_old_records_is_printed() {
    let world = World::new("ledger_bucket_rule").await;
    let printed: Process = world.daemon_with_bucket().command(&["topology", "print", "--ledger"]);
    assert!(printed.wait_output(STARTED).await.success());
    let rule: Value = serde_json::from_str(&printed.stdout().join("\n")).expect("JSON");
    assert_eq!(rule["Rules"][0]["Expiration"]["Days"], 8, "the default ledger.ttl is 7 days");
    let prefix = rule["Rules"][0]["Filter"]["Prefix"].as_str().expect("a prefix");
    assert!(prefix.ends_with('/') && prefix.len() > 1, "{prefix}");
    let none: Process = world.daemon().command(&["topology", "print", "--ledger"]);
    assert_eq!(none.wait_output(STARTED).await.code(), Some(78));
}
