//! The least rights at the broker, as docs/rights.md lists them: each is enough for what it is meant for, and less is refused with a line that
//! names what is missing.

use crate::harness::broker::{JOBS, PARKED, RESULTS};
use crate::harness::daemon::DaemonBuilder;
use crate::harness::services::amqp_url;
use crate::harness::store::BUCKET;
use crate::harness::wait::{EVENTUALLY, STARTED, eventually};
use crate::harness::world::World;
use crate::images::jpeg;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::json;

/// Rights: configure, write, read.
type Rights = [&'static str; 3];

const PASSWORD: &str = "it-rights";

const ALL: &str = r"^antispoof\.(jobs|internal|results|dead|parked|retry\..+)$";
const DECLARES: Rights = [ALL, ALL, r"^antispoof\.(jobs|dead|internal|retry\..+)$"];
const WORKS: Rights = ["^$", r"^antispoof\.(internal|results)$", r"^antispoof\.(jobs|dead)$"];
/// From RabbitMQ 4.3 on a passive declaration needs some right on what it asks for.
const LOOKS: Rights = ["^$", r"^antispoof\.(internal|results|parked|retry\..+)$", r"^antispoof\.(jobs|dead)$"];
const PRODUCES: Rights = ["^$", r"^antispoof\.jobs$", "^$"];
const PRODUCES_BY_DEFAULT: Rights = ["^$", r"^amq\.default$", "^$"];
const BINDS: Rights = [r"^kyc\.verdicts$", r"^kyc\.verdicts$", r"^(kyc\.verdicts|antispoof\.results)$"];
const CONSUMES: Rights = ["^$", "^$", r"^kyc\.verdicts$"];
const WATCHES: Rights = [r"^amq\.gen", r"^amq\.gen", r"^(amq\.gen.*|antispoof\.results)$"];
const SUBMITS: Rights = [r"^amq\.gen", r"^(amq\.gen.*|antispoof\.jobs)$", r"^(amq\.gen.*|antispoof\.results)$"];
const OPERATES: [&str; 3] = ["^$", r"^antispoof\.jobs$", r"^antispoof\.parked$"];
const IMPORTS: [&str; 3] = ["^$", r"^antispoof\.(jobs|internal)$", r"^antispoof\.parked$"];

async fn url(world: &World, name: &str, rights: Rights) -> String {
    let user = world.broker.create_user(name, PASSWORD, rights).await;
    amqp_url(&user, PASSWORD, &world.amqp_link.addr().to_string(), world.broker.vhost())
}

/// Settings with which a job whose object is not there is deferred once and then parked.
async fn worker(world: &World, name: &str, rights: Rights, topology: &str) -> DaemonBuilder {
    let daemon = world.daemon().set("amqp.url", url(world, name, rights).await);
    daemon.set("amqp.topology", topology).set("retry.max_attempts", "2").set("retry.quick_attempts", "1")
}

/// A worker with these rights judges, defers, divides and parks, and loses no session over it.
async fn works(world: &World, name: &str, rights: Rights, topology: &str) {
    let daemon = worker(world, name, rights, topology).await.start_ready().await;
    let parked_before = world.broker.depth(PARKED).await;
    let face = world.upload(&format!("{name}.jpg"), jpeg::tiny(7)).await;
    let empty = world.upload(&format!("{name}-empty.jpg"), []).await;
    let judged = world.submit(&face.key).await;
    let missing = world.submit(&format!("{name}-nowhere.jpg")).await;
    let refused = world.submit(&empty.key).await;
    let record = |key: &str| {
        let object = json!({ "bucket": { "name": BUCKET }, "object": { "key": key } });
        json!({ "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": object })
    };
    let two = json!({ "Records": [record(&face.key), record(&empty.key)] });
    world.broker.publish_job(two.to_string().as_bytes(), BasicProperties::default()).await;
    assert!(world.event_for(&judged).await.failure_code().is_none());
    assert_eq!(world.event_for(&missing).await.failure_code(), Some("object_not_found"));
    assert_eq!(world.event_for(&refused).await.failure_code(), Some("object_empty"));
    eventually("all to be settled", EVENTUALLY, async || {
        let parked = world.broker.depth(PARKED).await.unwrap_or(0);
        // The two, and the empty one of the notification.
        if parked == parked_before.unwrap_or(0) + 3 { Ok(()) } else { Err(format!("{parked} parked")) }
    })
    .await;
    for (kind, least) in [("announced", 2.0), ("deferred", 1.0), ("parked", 3.0), ("divided", 1.0)] {
        eventually(&format!("{kind} to be counted"), EVENTUALLY, async || {
            let seen = daemon.metric(&format!("antispoofd_settlements_total{{kind=\"{kind}\"}}")).await;
            if seen >= Some(least) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    }
    assert_eq!(daemon.metric("antispoofd_amqp_reconnects_total").await, Some(0.0), "no session was refused or lost");
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
    world.assert_drained().await;
}

/// A worker with these rights is refused something, and its log names it.
async fn is_refused(world: &World, name: &str, rights: Rights, topology: &str, says: [&str; 2]) {
    let daemon = worker(world, name, rights, topology).await.start();
    eventually(&format!("{name} to be refused"), EVENTUALLY, async || {
        let named = |line: &&String| line.contains("ACCESS_REFUSED") && says.iter().all(|part| line.contains(part));
        daemon.logs().iter().find(named).map(drop).ok_or_else(|| format!("{says:?}: {:#?}", daemon.logs()))
    })
    .await;
    daemon.kill();
    daemon.wait_exit(STARTED).await;
}

#[tokio::test]
async fn a_worker_with_the_least_rights_declares_and_works() {
    const NO_DELAYS: &str = r"^antispoof\.(jobs|internal|results|dead|parked)$";

    let world = World::new("rights_declare").await;
    is_refused(&world, "configure", [NO_DELAYS, ALL, DECLARES[2]], "declare", ["declare queue", "retry."]).await;
    let write = r"^antispoof\.(jobs|results|dead|parked|retry\..+)$";
    is_refused(&world, "write", [ALL, write, DECLARES[2]], "declare", ["declare queue", "'antispoof.internal'"]).await;
    let read = r"^antispoof\.(jobs|dead|retry\..+)$";
    is_refused(&world, "read", [ALL, ALL, read], "declare", ["bind queue", "'antispoof.internal'"]).await;
    // Nothing of the refused is left to make it easier.
    for queue in world.broker.queues().await {
        world.broker.delete_queue(&queue).await;
    }
    works(&world, "declare", DECLARES, "declare").await;
}

#[tokio::test]
async fn a_worker_with_the_least_rights_works_on_what_others_declared() {
    let world = World::new("rights_work").await;
    let applied = world.daemon().command(&["topology", "apply"]);
    assert!(applied.wait_exit(STARTED).await.success());
    for (topology, rights) in [("check", LOOKS), ("none", WORKS)] {
        works(&world, topology, rights, topology).await;
        let declares = ["declare exchange", "'antispoof."];
        is_refused(&world, &format!("{topology}-declares"), rights, "declare", declares).await;
    }
    let looks = world.daemon().set("amqp.url", url(&world, "looks", LOOKS).await).set("amqp.topology", "check");
    let look = looks.command(&["check", "--connect"]);
    look.wait_output(STARTED).await;
    assert!(look.said("note    topology  there, but not compared: "), "{:?}", look.stdout());
    let consume = ["consume from antispoof.jobs", "read"];
    is_refused(&world, "read", ["^$", WORKS[1], "^$"], "none", consume).await;
    let dead = ["cannot read antispoof.dead", "read"];
    is_refused(&world, "dead", ["^$", WORKS[1], r"^antispoof\.jobs$"], "none", dead).await;
    let job = world.submit("nowhere.jpg").await;
    let internal = ["publish a first message to antispoof.internal", "'antispoof.internal'"];
    is_refused(&world, "internal", ["^$", r"^antispoof\.results$", WORKS[2]], "none", internal).await;
    let face = world.upload("face.jpg", jpeg::tiny(7)).await;
    let other = world.submit(&face.key).await;
    let results = ["publish failed", "'antispoof.results'"];
    is_refused(&world, "results", ["^$", r"^antispoof\.internal$", WORKS[2]], "none", results).await;
    // Those that were refused have lost no job.
    let daemon = worker(&world, "last", LOOKS, "check").await.start_ready().await;
    assert_eq!(world.event_for(&job).await.failure_code(), Some("object_not_found"));
    assert!(world.event_for(&other).await.failure_code().is_none());
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
}

#[tokio::test]
async fn another_prefix_needs_the_same_rights_under_its_name() {
    const OWN: &str = r"^bank\.kyc\.(jobs|internal|results|dead|parked|retry\..+)$";
    const READ: &str = r"^bank\.kyc\.(jobs|dead|internal|retry\..+)$";

    let world = World::new("rights_prefix").await;
    let settings = worker(&world, "prefix", [OWN, OWN, READ], "declare").await.set("amqp.prefix", "bank.kyc");
    let daemon = settings.start_ready().await;
    assert!(world.broker.queues().await.contains(&"bank.kyc.parked".to_owned()));
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
    let other = worker(&world, "other", DECLARES, "declare").await.set("amqp.prefix", "bank.kyc").start();
    eventually("the other prefix to be refused", EVENTUALLY, async || {
        if other.logs_contain("'bank.kyc.") && other.logs_contain("ACCESS_REFUSED") {
            Ok(())
        } else {
            Err(format!("{:?}", other.logs()))
        }
    })
    .await;
}

#[tokio::test]
async fn producers_consumers_and_tools_need_little() {
    let world = World::new("rights_others").await;
    let daemon = world.daemon().start_ready().await;
    let face = world.upload("face.jpg", jpeg::tiny(3)).await;
    let job = |id: &str| json!({ "id": id, "bucket": BUCKET, "key": face.key }).to_string();

    let producer = channel(&url(&world, "producer", PRODUCES).await).await;
    publish(&producer, JOBS, &job("by-exchange")).await.expect("the exchange takes it");
    world.event_for("by-exchange").await;
    let refused = publish(&producer, "", &job("never")).await.expect_err("the default exchange is another");
    assert!(refused.contains("'amq.default'"), "{refused}");
    let producer = channel(&url(&world, "by-default", PRODUCES_BY_DEFAULT).await).await;
    publish(&producer, "", &job("by-default")).await.expect("the default exchange takes it");
    world.event_for("by-default").await;
    let refused = publish(&producer, JOBS, &job("never")).await.expect_err("the exchange is another");
    assert!(refused.contains("'antispoof.jobs'"), "{refused}");

    let binds = url(&world, "binds", BINDS).await;
    consume_verdicts(&binds, true).await.expect("its own queue");
    let consumes = url(&world, "consumes", CONSUMES).await;
    consume_verdicts(&consumes, false).await.expect("the queue that is there");
    let refused = consume_verdicts(&consumes, true).await.expect_err("may not declare");
    assert!(refused.contains("'kyc.verdicts'"), "{refused}");
    let less = url(&world, "binds-less", [BINDS[0], BINDS[1], CONSUMES[2]]).await;
    let refused = consume_verdicts(&less, true).await.expect_err("may not read the exchange");
    assert!(refused.contains("'antispoof.results'"), "{refused}");

    tools(&world, &face.key).await;
    operator(&world).await;
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
}

/// `watch`, `submit`, `submit --wait`.
async fn tools(world: &World, key: &str) {
    let watcher = url(world, "watches", WATCHES).await;
    let watch = world.daemon().set("amqp.url", &watcher).command(&["watch"]);
    eventually("the watcher to watch", EVENTUALLY, async || {
        if watch.said("watching antispoof.results") { Ok(()) } else { Err(format!("{:?}", watch.last_words())) }
    })
    .await;
    let object = format!("s3://{BUCKET}/{key}");
    let submitter = url(world, "submits", SUBMITS).await;
    let submit = world.daemon().set("amqp.url", &submitter).command(&["submit", &object, "--wait"]);
    assert!(submit.wait_output(EVENTUALLY).await.success(), "{:?}", submit.stderr());
    let producer = url(world, "submits-only", PRODUCES).await;
    let submit = world.daemon().set("amqp.url", &producer).command(&["submit", &object]);
    assert!(submit.wait_output(EVENTUALLY).await.success(), "{:?}", submit.stderr());
    let reads = url(world, "reads", [PRODUCES[0], PRODUCES[1], r"^antispoof\.results$"]).await;
    for (command, url, named) in [
        (vec!["submit", object.as_str(), "--wait"], &reads, "declare a private queue"),
        (vec!["submit", object.as_str()], &watcher, "'antispoof.jobs'"),
    ] {
        let refused = world.daemon().set("amqp.url", url).command(&command);
        assert!(!refused.wait_output(EVENTUALLY).await.success(), "{command:?}");
        assert!(refused.said("ACCESS_REFUSED") && refused.said(named), "{command:?}: {:?}", refused.stderr());
    }
}

/// `parked`.
async fn operator(world: &World) {
    let operates = url(world, "operates", OPERATES).await;
    let imports = url(world, "imports", IMPORTS).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("parked.jsonl");
    let file = file.to_str().expect("a path");
    assert!(world.broker.try_publish("antispoof.parked", b"{}").await);
    let less = url(world, "operates-less", [OPERATES[0], "^$", OPERATES[2]]).await;
    let blind = url(world, "operates-blind", [OPERATES[0], OPERATES[1], "^$"]).await;
    for (url, arguments, refused) in [
        (&blind, vec!["list"], Some("'antispoof.parked'")),
        (&less, vec!["replay"], Some("'antispoof.jobs'")),
        (&operates, vec!["list"], None),
        (&operates, vec!["export", "--output", file], None),
        (&operates, vec!["import", file], Some("'antispoof.internal'")),
        (&imports, vec!["import", file], None),
        (&operates, vec!["replay"], None),
        (&operates, vec!["purge", "--yes"], None),
    ] {
        let command = world.daemon().set("amqp.url", url).command(&[&["parked"], &arguments[..]].concat());
        let success = command.wait_output(EVENTUALLY).await.success();
        assert_eq!(success, refused.is_none(), "{arguments:?}: {:?}", command.stderr());
        if let Some(named) = refused {
            assert!(command.said("ACCESS_REFUSED") && command.said(named), "{arguments:?}: {:?}", command.stderr());
        }
    }
}

async fn channel(url: &str) -> Channel {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the user may connect");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.expect("confirms");
    channel
}

async fn publish(channel: &Channel, exchange: &str, body: &str) -> Result<(), String> {
    let properties = BasicProperties::default().with_content_type("application/json".into());
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let sent = channel.basic_publish(exchange.into(), JOBS.into(), options, body.as_bytes(), properties).await;
    let confirmed = sent.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string())?;
    assert_eq!(confirmed, lapin::Confirmation::Ack(None), "a queue takes it");
    Ok(())
}

/// Consumes from `kyc.verdicts`, which is declared and bound first where it is to be made.
async fn consume_verdicts(url: &str, make: bool) -> Result<(), String> {
    let channel = channel(url).await;
    let none = FieldTable::default;
    let consuming = async {
        if make {
            channel.queue_declare("kyc.verdicts".into(), QueueDeclareOptions::durable(), none()).await?;
            let options = QueueBindOptions::default();
            channel.queue_bind("kyc.verdicts".into(), RESULTS.into(), "#".into(), options, none()).await?;
        }
        channel.basic_consume("kyc.verdicts".into(), "".into(), BasicConsumeOptions::default(), none()).await
    };
    consuming.await.map(drop).map_err(|error: lapin::Error| error.to_string())
}

#[test]
fn the_page_for_operators_lists_these_rights() {
    let page = include_str!("../../docs/rights.md");
    for [configure, write, read] in
        [DECLARES, WORKS, LOOKS, PRODUCES, PRODUCES_BY_DEFAULT, BINDS, CONSUMES, WATCHES, SUBMITS, OPERATES, IMPORTS]
    {
        let rights = format!("'{configure}' '{write}' '{read}'");
        assert!(page.contains(&rights), "{rights}");
    }
}
