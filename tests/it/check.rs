//! `check` against real services: what is fine, and six mistakes, each named with its remedy, here and in `docs/check.md`.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use crate::harness::broker::{JOBS, PARKED};
use crate::harness::daemon::DaemonBuilder;
use crate::harness::own_broker::OwnBroker;
use crate::harness::process::Process;
use crate::harness::services::amqp_url;
use crate::harness::store::BUCKET;
use crate::harness::wait::{EVENTUALLY, STARTED, eventually};
use crate::harness::world::World;

const OK: i32 = 0;
const UNREACHABLE: i32 = 69;
const SETTINGS: i32 = 78;

/// A queue that was declared without a type: from 4.0 on the broker writes down which it has become.
pub(crate) const OTHER_TYPE: [&str; 2] =
    ["x-queue-type = none (should be quorum)", "x-queue-type = classic (should be quorum)"];

/// Exit code and output of a command.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Those of a daemon, with the one bucket that every world has.
fn settings(world: &World) -> DaemonBuilder {
    world.daemon().set("s3.buckets", BUCKET)
}

fn settings_with_redis(world: &World) -> DaemonBuilder {
    world.daemon_with_redis().set("s3.buckets", BUCKET)
}

async fn run(settings: DaemonBuilder, arguments: &[&str]) -> Ended {
    let process = settings.command(arguments);
    let code = process.wait_output(STARTED).await.code();
    Ended { code, stdout: process.stdout().join("\n"), stderr: process.stderr().join("\n") }
}

/// The lines of what failed, each with its remedy.
fn failed(stdout: &str) -> String {
    let mut lines = stdout.lines().peekable();
    let mut failed = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with("failed ") {
            failed.push(line);
            failed.extend(lines.next_if(|next| next.contains("= help: ")));
        }
    }
    failed.join("\n")
}

/// Addresses and names as the documentation has them.
fn documented(world: &World, text: &str) -> String {
    text.replace(&world.amqp_link.addr().to_string(), "rabbitmq:5672")
        .replace(&world.s3_link.addr().to_string(), "minio:9000")
        .replace(world.broker.vhost(), "kyc")
}

#[track_caller]
fn assert_documented(said: &str) {
    let manual = include_str!("../../docs/check.md");
    assert!(manual.contains(said), "docs/check.md does not show this:\n{said}");
}

#[tokio::test]
async fn what_is_fine_is_said_and_nothing_is_changed_or_paid() {
    let world = World::new("check_fine").await;
    let before = run(settings_with_redis(&world), &["check", "--connect"]).await;
    assert_eq!(before.code, Some(OK), "{}\n{}", before.stdout, before.stderr);
    assert!(before.stdout.contains("note    topology  not there: exchange antispoof.jobs, "), "{}", before.stdout);
    assert_eq!(world.broker.queues().await, Vec::<String>::new(), "it declares nothing");

    let daemon = world.daemon().start_ready().await;
    let beside = run(settings_with_redis(&world), &["check", "--connect"]).await;
    assert_eq!(beside.code, Some(OK), "{}\n{}", beside.stdout, beside.stderr);
    for line in [
        "ok      broker    logged in at amqp://***@",
        "ok      topology  8 objects are as they should be",
        "ok      publish   antispoof.internal takes messages",
        "ok      ledger    redis://",
        "ok      token     can be made from api.api_key and api.secret",
        "ok      api       http://",
    ] {
        assert!(beside.stdout.contains(line), "{line}: {}", beside.stdout);
    }
    assert_eq!(beside.stdout.matches("ok      bucket    ").count(), 1, "{}", beside.stdout);
    assert_eq!((world.simulator.count("calls").await, world.simulator.count("billed").await), (0, 0));
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
}

#[tokio::test]
async fn an_alarm_of_the_broker_is_told_and_watched() {
    let broker = OwnBroker::start("check").await;
    let world = World::with("check_alarm", broker.services()).await;
    let daemon = world.daemon().start_ready().await;
    let document = ["check", "--connect", "--watch", "1s", "--json"];
    let (lines, documents) =
        (settings(&world).command(&["check", "--connect", "--watch", "1s"]), settings(&world).command(&document));
    said(&lines, "ok      publish   antispoof.internal takes messages").await;
    broker.raise_alarm().await;
    said(&lines, "failed  publish   the broker blocks what publishes: ").await;
    said(&documents, "the broker blocks what publishes: ").await;
    for watching in [&lines, &documents] {
        watching.signal(rustix::process::Signal::INT);
        assert_eq!(watching.wait_output(STARTED).await.code(), Some(UNREACHABLE));
    }
    broker.clear_alarm().await;
    // A line is said when it changes, and then not again.
    let stdout = lines.stdout();
    for line in ["  ok      topology  8 objects", "  ok      publish  "] {
        assert_eq!(stdout.iter().filter(|said| said.contains(line)).count(), 1, "{line}: {stdout:#?}");
    }
    for line in documents.stdout() {
        let document: serde_json::Value = serde_json::from_str(&line).expect("a document a line");
        assert!(document["probes"].as_array().is_some_and(|probes| probes.len() > 5), "{line}");
    }
    let once = run(settings(&world), &["check", "--connect"]).await;
    assert_eq!(once.code, Some(OK), "{}", once.stdout);
    drop(daemon);
    // What it published reached no queue.
    assert_eq!((world.broker.depth(JOBS).await, world.broker.depth(PARKED).await), (Some(0), Some(0)));
    assert!(world.events().await.is_empty());
}

async fn said(process: &Process, line: &str) {
    eventually(&format!("the command to say {line:?}"), EVENTUALLY, async || {
        if process.said(line) || process.stdout().iter().any(|said| said.contains(line)) {
            return Ok(());
        }
        Err(format!("{:?}", process.stdout().last()))
    })
    .await;
}

#[tokio::test]
async fn a_missing_right_to_write_is_told() {
    let world = World::new("check_write").await;
    let _daemon = world.daemon().start_ready().await;
    let user = world.broker.create_user("check-write", "secret", [".*", "antispoof\\.results", ".*"]).await;
    let url = amqp_url(&user, "secret", &world.amqp_link.addr().to_string(), world.broker.vhost());
    let ended = run(settings(&world).set("amqp.url", url), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(SETTINGS), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("failed  publish   the user may not write to antispoof.internal"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_wrong_password_is_named() {
    let world = World::new("check_password").await;
    let url = world.services.amqp_url(&world.amqp_link.addr().to_string(), world.broker.vhost());
    let wrong = url.replacen(":guest@", ":hunter2@", 1);
    assert_ne!(wrong, url, "the broker of the tests has a password");
    let ended = run(settings(&world).set("amqp.url", wrong), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(SETTINGS), "{}", ended.stdout);
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
    assert_documented(&documented(&world, &failed(&ended.stdout)));
}

#[tokio::test]
async fn a_vhost_that_is_not_there_is_named() {
    let world = World::new("check_vhost").await;
    let url = world.services.amqp_url(&world.amqp_link.addr().to_string(), "no-such-vhost");
    let ended = run(settings(&world).set("amqp.url", url), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(SETTINGS), "{}", ended.stdout);
    let failed = failed(&ended.stdout);
    assert!(failed.contains("(check that the vhost in amqp.url exists and that the user may use it)"), "{failed}");
    assert!(failed.contains("= help: correct amqp.url"), "{failed}");
}

#[tokio::test]
async fn a_wrong_password_for_redis_is_named() {
    let world = World::new("check_redis").await;
    let url = format!("redis://:hunter2@{}/0", world.redis_link.addr());
    let ended = run(settings_with_redis(&world).set("ledger.url", url), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(SETTINGS), "{}", ended.stdout);
    let failed = failed(&ended.stdout);
    assert!(failed.starts_with("failed  ledger ") && failed.contains("user and password in ledger.url"), "{failed}");
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let world = World::new("check_bucket").await;
    let settings = settings(&world).set("s3.buckets", "kyc-uploads").set("s3.default_bucket", "");
    let ended = run(settings, &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(SETTINGS), "{}", ended.stdout);
    assert_documented(&documented(&world, &failed(&ended.stdout)));
}

#[tokio::test]
async fn an_expired_token_is_named() {
    let world = World::new("check_token").await;
    // {"exp":1767225600}: the first moment of 2026.
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3NjcyMjU2MDB9.AAAA";
    let settings = || settings(&world).unset("api.api_key").unset("api.secret");
    let ended = run(settings().set("api.token", token), &["check", "--connect"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(SETTINGS), ""), "{}", ended.stderr);
    assert!(!ended.stderr.contains(token), "{}", ended.stderr);
    // How long ago is another matter every second.
    let (before, rest) = ended.stderr.split_once(" (").expect("the moment");
    assert_documented(before);
    assert_documented(rest.split_once("ago)").expect("the moment").1.split("\n\n").next().expect("one problem"));

    // One in a file may be replaced, so that the others are worth asking.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token).unwrap();
    let ended = run(settings().set("api.token_file", file.to_str().unwrap()), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(SETTINGS), "{}", ended.stdout);
    assert!(
        failed(&ended.stdout).starts_with("failed  token ") && ended.stdout.contains("ok      api "),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn every_argument_that_differs_is_named() {
    let world = World::new("check_arguments").await;
    let mut arguments = FieldTable::default();
    let text = |value: &str| AMQPValue::LongString(value.into());
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(5));
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(PARKED));
    let declared = world.broker.channel().await;
    let declared = declared.queue_declare(JOBS.into(), QueueDeclareOptions::durable(), arguments).await;
    declared.expect("a queue of somebody who had other plans");
    world.broker.declare_otherwise(PARKED).await;

    let ended = run(settings(&world), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(SETTINGS), "{}", ended.stdout);
    let said = documented(&world, &failed(&ended.stdout));
    for part in [
        "queue antispoof.jobs is there with ",
        "x-delivery-limit = 5 (should be 20)",
        "x-dead-letter-exchange = \"\" (should be antispoof.internal)",
        "x-overflow = none (should be reject-publish)",
        "queue antispoof.parked is there with ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(OTHER_TYPE.iter().any(|part| said.contains(part)), "{said}");
    assert_documented(said.lines().take(2).collect::<Vec<_>>().join("\n").as_str());
    assert_eq!(world.broker.queues().await.len(), 2, "nothing was declared");
}

#[tokio::test]
async fn mistakes_in_the_settings_are_named_all_at_once() {
    let world = World::new("check_settings").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("antispoofd.toml");
    std::fs::write(&file, "[worker]\nconcurency = 32\ndrain_timeout = \"45s\"\ntermination_grace = \"30s\"\n").unwrap();
    let ended = run(settings(&world), &["check", "--connect", "--config", file.to_str().unwrap()]).await;
    assert_eq!(ended.code, Some(SETTINGS), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "nothing is asked with settings that are not sound");
    assert_documented(&ended.stderr.replace(&format!("{}/", folder.path().display()), ""));
}

#[tokio::test]
async fn who_cannot_be_reached_is_named_and_the_others_are_asked_all_the_same() {
    let world = World::new("check_away").await;
    world.amqp_link.cut().await;
    world.redis_link.cut().await;
    world.api_link.cut().await;
    world.s3_link.cut().await;
    let ended = run(settings_with_redis(&world), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(UNREACHABLE), "{}", ended.stdout);
    let failed = failed(&ended.stdout);
    for subject in ["broker", "bucket", "ledger", "api"] {
        assert!(failed.contains(&format!("failed  {subject} ")), "{subject}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("ok      token "), "{}", ended.stdout);
}

#[tokio::test]
async fn a_user_who_may_not_configure_can_still_look() {
    let world = World::new("check_rights").await;
    let daemon = world.daemon().start_ready().await;
    world.broker.set_permissions("^$", ".*", ".*").await;
    let ended = run(settings(&world).set("amqp.topology", "check"), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(OK), "{}", ended.stdout);
    let note = "note    topology  there, but not compared: exchange antispoof.jobs, ";
    assert!(ended.stdout.contains(note), "{}", ended.stdout);
    // From 4.0 on "configure access to".
    assert!(ended.stdout.contains("(ACCESS_REFUSED - "), "{}", ended.stdout);
    assert!(ended.stdout.contains("access to exchange 'antispoof.jobs'"), "{}", ended.stdout);
    let ended = run(settings(&world), &["check", "--connect"]).await;
    assert_eq!(ended.code, Some(SETTINGS), "with amqp.topology = \"declare\": {}", ended.stdout);
    let failed = "failed  topology  there, but `run` may not declare: exchange antispoof.jobs, ";
    assert!(ended.stdout.contains(failed), "{}", ended.stdout);
    world.broker.set_permissions(".*", ".*", ".*").await;
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
}
