//! What the log says of a job.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::codes::send;
use crate::harness::wait::{SOON, STARTED, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

/// As `send` writes it into every message.
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn every_line_of_a_job_carries_its_ids_and_its_attempt() {
    let world = World::new("log").await;
    // A library's lines, which know of no job, are logged while the first object is opened.
    let daemon = world.daemon().set("log.level", "info,aws_smithy_runtime=debug").set("retry.delays", "1s");
    let daemon = daemon.set("retry.max_attempts", "2").start_ready().await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(7)).await;
    let mut jobs = BTreeMap::new();
    for number in 0..6 {
        let name = format!("sound-{number}");
        jobs.insert(send(&world, &name, json!({ "key": stored.key, "metadata": { "n": number } })).await.id, 1);
    }
    for number in 0..2 {
        let missing = world.store.key(&format!("missing-{number}"));
        jobs.insert(send(&world, &format!("missing-{number}"), json!({ "key": missing })).await.id, 2);
    }
    world.events_for_all(&jobs.keys().cloned().collect::<Vec<_>>()).await;
    daemon.term();
    assert!(daemon.wait_output(STARTED).await.success());

    let lines: Vec<Value> =
        daemon.logs().iter().map(|line| serde_json::from_str(line).expect("a line is an object")).collect();
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let mut libraries = BTreeSet::new();
    let mut settled: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in &lines {
        let id = text(line, "job.id");
        let named: Vec<_> = jobs.keys().filter(|job| text(line, "message").contains(&format!("job {job}:"))).collect();
        assert!(named.iter().all(|job| **job == id), "of another job: {line}");
        if id.is_empty() {
            continue;
        }
        assert!(jobs.contains_key(&id), "{line}");
        assert_eq!((text(line, "message.id"), text(line, "trace_id")), (id.clone(), TRACE_ID.to_owned()), "{line}");
        let attempt = line["job.attempt"].as_u64().expect("an attempt");
        if text(line, "target").starts_with("aws_") {
            libraries.insert(id);
        } else if line["outcome"].is_string() {
            settled.entry(id).or_default().push(attempt);
        }
    }
    assert!(!libraries.is_empty(), "lines of the libraries carry the ids, too");
    let expected: BTreeMap<String, Vec<u64>> =
        jobs.into_iter().map(|(job, attempts)| (job, (1..=attempts).collect())).collect();
    assert_eq!(settled, expected, "a last line for every delivery");
}

#[tokio::test]
async fn a_running_worker_logs_more_when_it_is_told_and_then_less() {
    let world = World::new("log_level").await;
    let daemon = world.daemon().start_ready().await;
    let told = async |level: &str| {
        let pid = daemon.pid().to_string();
        let command = world.daemon().command(&["log-level", level, "--pid", &pid]);
        assert_eq!(command.wait_output(STARTED).await.code(), Some(0), "{:?}", command.stderr());
    };
    let details = || daemon.logs().iter().filter(|line| line.contains("\"level\":\"DEBUG\"")).count();
    assert_eq!(details(), 0);
    told("debug").await;
    eventually_equals("the log to say so", SOON, true, async || daemon.logs_contain("SIGUSR1: from now on")).await;
    // A consumer that is exchanged for another is a detail.
    let image = world.upload("a.jpg", jpeg::tiny(1)).await;
    world.simulator.configure(json!({ "faults": "429=x1" })).await;
    let job = world.submit(&image.key).await;
    world.event_for(&job).await;
    eventually_equals("a detail", SOON, true, async || details() > 0).await;
    told("configured").await;
    eventually_equals("the log to say so", SOON, true, async || daemon.logs_contain("SIGUSR2: from now on")).await;
    let before = details();
    world.simulator.configure(json!({ "faults": "429=x1" })).await;
    let job = world.submit(&image.key).await;
    world.event_for(&job).await;
    assert_eq!(details(), before);

    let refused = world.daemon().command(&["log-level", "debug", "--pid", &std::process::id().to_string()]);
    assert_eq!(refused.wait_output(STARTED).await.code(), Some(1), "this process would end");
}
