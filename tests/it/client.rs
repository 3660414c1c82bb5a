//! `submit` and `watch` against a real broker, a real store and a real worker.

use std::fmt::Write as _;

use serde_json::Value;

use crate::harness::broker::JOBS;
use crate::harness::store::BUCKET;
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sample};

#[tokio::test]
async fn uploads_become_jobs_and_their_ends_a_table() {
    let world = World::new("submit_wait").await;
    let daemon = world.daemon().start_ready().await;
    let files = tempfile::tempdir().unwrap();
    let (face, notes) = (files.path().join("face.jpg"), files.path().join("notes.jpg"));
    std::fs::write(&face, jpeg::tiny(7)).unwrap();
    std::fs::write(&notes, sample("notes.jpg").bytes()).unwrap();
    let to = format!("s3://{BUCKET}/{}", world.store.key("up"));
    let arguments = ["submit", "--wait", "--metadata", r#"{"n":1.50}"#, "--to", &to, "--create-bucket", "--upload"];
    let paths = [face.to_str().unwrap(), notes.to_str().unwrap()];
    let submit = world.daemon().command(&[&arguments[..], &paths].concat());
    assert_eq!(submit.wait_output(EVENTUALLY).await.code(), Some(1), "one of them is no image");
    assert!(submit.said("1 of 2 jobs ended without a verdict"), "{:?}", submit.stderr());

    let lines = submit.stdout();
    assert_eq!(lines[0], format!("objects below {to}/"), "{lines:#?}");
    assert!(lines[1].starts_with("JOB "), "{lines:#?}");
    assert!(lines[2].contains(" face.jpg ") && lines[2].contains("  1 "), "{lines:#?}");
    assert!(lines[3].contains(" notes.jpg ") && lines[3].contains(" not_an_image "), "{lines:#?}");
    assert!(lines[5].starts_with("2 jobs ended: 1 "), "{lines:#?}");
    // Into the queue of the command they were put first.
    eventually_equals("the events", SOON, 2, async || world.events().await.len()).await;
    for event in &world.events().await {
        assert!(event.json["data"]["image"]["etag"].is_string(), "an upload is pinned: {}", event.json);
        assert!(String::from_utf8_lossy(&event.body).contains(r#"{"n":1.50}"#), "metadata is untouched");
    }
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
    world.assert_drained().await;
}

#[tokio::test]
async fn with_json_every_event_is_a_line_and_the_counts_are_talk() {
    let world = World::new("submit_json").await;
    let _daemon = world.daemon().start_ready().await;
    world.upload("a/1.jpg", jpeg::tiny(1)).await;
    world.upload("a/2.jpg", jpeg::tiny(2)).await;
    let prefix = format!("s3://{BUCKET}/{}", world.store.key("a/"));
    let submit = world.daemon().command(&["submit", "--prefix", &prefix, "--wait", "--json", "--id-prefix", "it-"]);
    assert!(submit.wait_output(EVENTUALLY).await.success());
    let events: Vec<Value> =
        submit.stdout().iter().map(|line| serde_json::from_str(line).expect("a line is an event")).collect();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event["data"]["job_id"].as_str().is_some_and(|id| id.starts_with("it-"))));
    assert!(submit.stderr().iter().any(|line| line.starts_with("2 jobs ended: ")), "{:?}", submit.stderr());
}

#[tokio::test]
async fn a_list_is_published_but_for_the_lines_that_are_no_jobs() {
    const GOOD: usize = 700;

    let world = World::new("submit_list").await;
    world.declare().await;
    let mut list = String::new();
    for number in 0..GOOD {
        if number % 2 == 0 {
            writeln!(list, "s3://{BUCKET}/k-{number}").unwrap();
        } else {
            writeln!(list, r#"{{"id":"own-{number}","key":"k-{number}"}}"#).unwrap();
        }
    }
    let long = "k".repeat(1025);
    write!(
        list,
        "\n{{\"key\":\"k\",\"colour\":\"red\"}}\ns3://{BUCKET}/a/../b\ns3://{BUCKET}/{long}\ns3://{BUCKET}/last\n"
    )
    .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), list).unwrap();
    let from = file.path().to_str().unwrap();
    let submit = world.daemon().command(&["submit", "--from", from]);
    assert_eq!(submit.wait_output(EVENTUALLY).await.code(), Some(1));
    let said = submit.stderr().join("\n");
    assert!(said.contains("3 cannot be jobs and were left out:"), "{said}");
    for (number, why) in [(2, "colour"), (3, "rename the object"), (4, "1 to 1024 bytes")] {
        let line = format!("line {} of {from}", GOOD + number);
        assert!(said.lines().any(|said| said.contains(&line) && said.contains(why)), "{line}: {said}");
    }
    assert!(said.contains(&format!("{} jobs published", GOOD + 1)), "{said}");
    let lines = submit.stdout();
    assert_eq!(lines.len(), GOOD + 1);
    assert!(lines[0].ends_with(&format!("\ts3://{BUCKET}/k-0")), "{}", lines[0]);
    assert_eq!(lines[1], format!("own-1\ts3://{BUCKET}/k-1"), "in the order of the list");
    assert_eq!(world.broker.depth(JOBS).await, Some(u32::try_from(GOOD + 1).unwrap()));
}

#[tokio::test]
async fn a_prefix_is_published_but_for_the_keys_that_cannot_be_jobs() {
    let world = World::new("submit_odd").await;
    let daemon = world.daemon().start_ready().await;
    let odd = world.upload("1\u{7f}.jpg", jpeg::tiny(1)).await;
    for name in ["0.jpg", "2.jpg"] {
        world.upload(name, jpeg::tiny(2)).await;
    }
    let prefix = format!("s3://{BUCKET}/{}", world.store.key(""));
    let submit = world.daemon().command(&["submit", "--prefix", &prefix, "--wait"]);
    assert_eq!(submit.wait_output(EVENTUALLY).await.code(), Some(1));
    let said = submit.stderr().join("\n");
    assert!(said.contains("1 cannot be a job and was left out:"), "{said}");
    let shown = odd.key.replace('\u{7f}', "\u{fffd}");
    assert!(said.contains(&format!("s3://{BUCKET}/{shown}: key: control characters are refused")), "{said}");
    assert!(submit.stdout().iter().any(|line| line.starts_with("2 jobs ended: ")), "{:?}", submit.stdout());
    daemon.term();
    world.assert_drained().await;
}

#[tokio::test]
async fn without_a_topology_nothing_is_uploaded_and_the_message_says_what_is_missing() {
    let world = World::new("submit_bare").await;
    let files = tempfile::tempdir().unwrap();
    let face = files.path().join("face.jpg");
    std::fs::write(&face, jpeg::tiny(7)).unwrap();
    let to = format!("s3://{BUCKET}/{}", world.store.key("up/"));
    let arguments = ["submit", "--topology-timeout", "1s", "--to", &to, "--upload", face.to_str().unwrap()];
    let submit = world.daemon().set("amqp.topology", "check").command(&arguments);
    assert_eq!(submit.wait_output(STARTED).await.code(), Some(69));
    let said = submit.stderr().join("\n");
    assert!(
        said.contains("exchange antispoof.jobs is not there: waiting for a worker to declare it, for up to 1s"),
        "{said}"
    );
    assert!(said.contains("find exchange antispoof.jobs") && said.contains("amqp.topology = \"declare\""), "{said}");
    assert_eq!(world.store.list().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_submit_that_is_first_declares_and_says_where_the_events_go() {
    let world = World::new("submit_first").await;
    let face = world.upload("face.jpg", jpeg::tiny(7)).await;
    let uri = format!("s3://{BUCKET}/{}", face.key);
    let submit = world.daemon().command(&["submit", &uri, "--id-prefix", "first"]);
    assert!(submit.wait_output(STARTED).await.success(), "{:?}", submit.stderr());
    let said = submit.stderr().join("\n");
    assert!(said.contains("declared antispoof.jobs and its kin, because no worker had"), "{said}");
    assert!(said.contains("no queue is bound to antispoof.results yet") && said.contains("antispoofd watch"), "{said}");
    let again = world.daemon().command(&["submit", &uri, "--id-prefix", "second"]);
    assert!(again.wait_output(STARTED).await.success(), "{:?}", again.stderr());
    let said = again.stderr().join("\n");
    assert!(said.contains("their events go to exchange antispoof.results: bind a queue"), "{said}");
    let _daemon = world.daemon().start_ready().await;
    for job in submit.stdout().iter().chain(&again.stdout()) {
        let id = job.split_once('\t').expect("id and object").0;
        assert_eq!(world.event_for(id).await.failure_code(), None);
    }
}

#[tokio::test]
async fn a_submit_that_may_not_declare_waits_for_the_worker() {
    let world = World::new("submit_waits").await;
    let face = world.upload("face.jpg", jpeg::tiny(7)).await;
    let uri = format!("s3://{BUCKET}/{}", face.key);
    let producer = world.broker.create_user("producer", "hunter2", ["^amq\\.gen", ".*", ".*"]).await;
    let url = world.services.amqp_url(&world.amqp_link.addr().to_string(), world.broker.vhost());
    let url = url.replace("guest:guest", &format!("{producer}:hunter2"));
    let checks = world.daemon().set("amqp.topology", "check").command(&["submit", &uri, "--wait"]);
    let may_not = world.daemon().set("amqp.url", url).command(&["submit", &uri, "--wait"]);
    for submit in [&checks, &may_not] {
        said(submit, "antispoof.jobs is not there: waiting for a worker to declare it").await;
    }
    assert!(may_not.said("cannot declare what is missing") && !checks.said("cannot declare"));
    let _daemon = world.daemon().start_ready().await;
    for submit in [&checks, &may_not] {
        assert!(submit.wait_output(EVENTUALLY).await.success(), "{:?}", submit.stderr());
        assert!(submit.stdout().iter().any(|line| line.starts_with("1 job ended: ")), "{:?}", submit.stdout());
    }
}

#[tokio::test]
async fn without_a_topology_there_is_nothing_to_watch_and_nothing_is_made() {
    let world = World::new("watch_bare").await;
    let watch = || world.daemon().set("amqp.prefix", "nobody").command(&["watch"]);
    let first = watch();
    assert_eq!(first.wait_output(STARTED).await.code(), Some(69));
    let said = first.stderr().join("\n");
    assert!(said.contains("find exchange nobody.results") && said.contains("amqp.topology = \"declare\""), "{said}");
    assert_eq!(watch().wait_exit(STARTED).await.code(), Some(69), "the first one has not made it either");
}

#[tokio::test]
async fn a_verdict_that_was_known_is_shown_as_reused() {
    let world = World::new("client_known").await;
    let daemon = world.daemon().start_ready().await;
    let watch = world.daemon().command(&["watch"]);
    said(&watch, "watching antispoof.results").await;
    let stored = world.upload("face.jpg", jpeg::tiny(7)).await;
    let uri = format!("s3://{BUCKET}/{}", stored.key);
    for expected in [false, true] {
        let submit = world.daemon().command(&["submit", &uri, "--wait", "--id-prefix", "same-"]);
        assert!(submit.wait_output(EVENTUALLY).await.success());
        assert_eq!(submit.stdout().join("\n").contains("reused"), expected, "{:?}", submit.stdout());
    }
    said(&watch, "reused").await;
    eventually("the log to say it", SOON, async || {
        let line = daemon.logs().into_iter().find(|line| line.contains(", reused)"));
        line.ok_or_else(|| format!("{:?}", daemon.logs()))
    })
    .await;
}

#[tokio::test]
async fn jobs_without_an_event_in_time_are_named() {
    let world = World::new("submit_late").await;
    world.declare().await;
    let uri = format!("s3://{BUCKET}/nobody-looks");
    let arguments = ["submit", &uri, "--wait", "--timeout", "1s", "--id-prefix", "late-"];
    let submit = world.daemon().command(&arguments);
    assert_eq!(submit.wait_output(STARTED).await.code(), Some(1));
    let said = submit.stderr().join("\n");
    assert!(said.contains("no event within 1s for 1 of 1 jobs: late-"), "{said}");
    assert_eq!(submit.stdout(), ["0 of 1 job ended"]);
}

#[tokio::test]
async fn an_interrupted_wait_prints_what_came() {
    let world = World::new("submit_interrupted").await;
    world.declare().await;
    let submit = world.daemon().command(&["submit", &format!("s3://{BUCKET}/k"), "--wait"]);
    eventually("the job to be published", SOON, async || match world.broker.depth(JOBS).await {
        Some(1) => Ok(()),
        seen => Err(format!("{seen:?}")),
    })
    .await;
    submit.signal(rustix::process::Signal::INT);
    assert_eq!(submit.wait_output(STARTED).await.code(), Some(1));
    assert!(submit.said("0 of 1 job ended") && submit.said("interrupted"), "{:?}", submit.stderr());
}

#[tokio::test]
async fn a_wait_that_lost_its_queue_says_so() {
    let world = World::new("submit_lost").await;
    world.declare().await;
    let submit = world.daemon().command(&["submit", &format!("s3://{BUCKET}/k"), "--wait"]);
    eventually("the job to be published", SOON, async || match world.broker.depth(JOBS).await {
        Some(1) => Ok(()),
        seen => Err(format!("{seen:?}")),
    })
    .await;
    // In another round trip the confirm passes the link: without it, the cut is of a job that may not be published.
    assert_eq!(world.broker.depth(JOBS).await, Some(1));
    world.amqp_link.cut().await;
    assert_eq!(submit.wait_output(STARTED).await.code(), Some(69));
    assert!(submit.said("lost the connection to the broker") && submit.said("hint: "), "{:?}", submit.stderr());
}

#[tokio::test]
async fn watch_comes_back_and_leaves_nothing_behind() {
    let world = World::new("watch").await;
    let _daemon = world.daemon().start_ready().await;
    let queues = world.broker.queues().await;
    let watch = world.daemon().command(&["watch"]);
    let failed = world.daemon().command(&["watch", "--json", "--outcome", "failed"]);
    for process in [&watch, &failed] {
        said(process, "watching antispoof.results").await;
    }
    let face = world.upload("face.jpg", jpeg::tiny(3)).await;
    let empty = world.upload("empty.jpg", []).await;
    let (good, bad) = (world.submit(&face.key).await, world.submit(&empty.key).await);
    said(&watch, &good).await;
    said(&watch, &bad).await;
    said(&failed, &bad).await;
    assert!(!failed.said(&good), "{:?}", failed.stdout());

    world.amqp_link.cut().await;
    said(&watch, "events may be missed meanwhile").await;
    world.amqp_link.restore().await;
    said(&watch, "connected again").await;
    let again = world.submit(&empty.key).await;
    said(&watch, &again).await;
    for process in [&watch, &failed] {
        process.signal(rustix::process::Signal::INT);
        assert!(process.wait_exit(STARTED).await.success());
    }
    eventually("the private queues to be gone", EVENTUALLY, async || {
        let now = world.broker.queues().await;
        if now.len() == queues.len() { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

async fn said(process: &crate::harness::process::Process, text: &str) {
    eventually(&format!("{text:?} to be said"), EVENTUALLY, async || {
        if process.said(text) { Ok(()) } else { Err(format!("{:?} {:?}", process.stdout(), process.last_words())) }
    })
    .await;
}
