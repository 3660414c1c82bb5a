//! Policies of a real broker: those that drop, expire or move messages are named by both commands, others are no complaint. Each test has a virtual host of
//! its own, and its policies go with that.

use crate::harness::broker::{JOBS, PARKED};
use crate::harness::daemon::DaemonBuilder;
use crate::harness::services::amqp_url;
use crate::harness::store::BUCKET;
use crate::harness::wait::{EVENTUALLY, STARTED, eventually};
use crate::harness::world::World;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Exit code, stdout and stderr of a command that asks the management API.
async fn ask(settings: DaemonBuilder, command: &[&str], management: &str) -> (Option<i32>, String, String) {
    run(settings, &[command, &["--management", management]].concat()).await
}

async fn run(settings: DaemonBuilder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let process = settings.command(arguments);
    let code = process.wait_output(STARTED).await.code();
    (code, process.stdout().join("\n"), process.stderr().join("\n"))
}

/// A world with the topology in it.
async fn applied(test: &str) -> World {
    let world = World::new(test).await;
    assert_eq!(run(world.daemon(), &["topology", "apply"]).await.0, Some(0));
    world
}

fn settings(world: &World) -> DaemonBuilder {
    world.daemon().set("s3.buckets", BUCKET)
}

/// `topology check` once it says all of `expected`: up to 3.10 operator policies are told with samples that are seconds old.
async fn until_told(world: &World, expected: &[&str]) -> (Option<i32>, String, String) {
    eventually("the policies to be told", EVENTUALLY, async || {
        let told = ask(settings(world), &["topology", "check"], &world.services.management).await;
        match expected.iter().find(|line| !told.1.contains(**line)) {
            None => Ok(told),
            Some(line) => Err(format!("{line} is missing: {told:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn each_policy_that_drops_expires_or_moves_messages_is_named() {
    let world = applied("policies_named").await;
    let broker = &world.broker;
    broker.set_policy("short-lived", r"^antispoof\.(jobs|retry\.1s)$", json!({ "message-ttl": 500 })).await;
    broker
        .set_policy(
            "tidy",
            r"^antispoof\.parked$",
            json!({ "max-length": 9, "overflow": "drop-head", "delivery-limit": 3, "expires": 86_400_000 }),
        )
        .await;
    broker
        .set_policy("newest", r"^antispoof\.retry\.2s$", json!({ "overflow": "drop-head", "max-length-bytes": 4096 }))
        .await;
    broker.set_policy("catch-all", r"^antispoof\.results$", json!({ "alternate-exchange": "amq.fanout" })).await;
    let cap = json!({ "delivery-limit": 2, "expires": 3_600_000, "max-length": 50 });
    broker.set_operator_policy("cap", r"^antispoof\.(jobs|parked)$", cap).await;

    let by =
        |policy: &str, object: &str, key: &str, effect: &str| format!("policy   {object}: {key} by {policy}: {effect}");
    let [short, tidy, newest, cap] =
        [r#"policy "short-lived""#, r#"policy "tidy""#, r#"policy "newest""#, r#"operator policy "cap""#];
    let expected = [
        by(
            r#"policy "catch-all""#,
            "exchange antispoof.results",
            "alternate-exchange = amq.fanout",
            "what no binding takes",
        ),
        by(short, "queue antispoof.jobs", "message-ttl = 500", "a message that has waited 500 ms goes to antispoof."),
        by(cap, "queue antispoof.jobs", "delivery-limit = 2", "a message that came back more than 2 times (should be "),
        by(
            cap,
            "queue antispoof.jobs",
            "expires = 3600000",
            "after 3600000 ms without a consumer the queue is deleted",
        ),
        by(
            cap,
            "queue antispoof.parked",
            "delivery-limit = 2",
            "a message that came back more than 2 times (should be 100000) is",
        ),
        by(
            cap,
            "queue antispoof.parked",
            "expires = 3600000",
            "after 3600000 ms without a consumer the queue is deleted",
        ),
        by(tidy, "queue antispoof.parked", "max-length = 9", "when it is full, the oldest message is deleted"),
        by(
            short,
            "queue antispoof.retry.1s",
            "message-ttl = 500",
            "a message goes to antispoof.jobs after 500 ms instead of 1000 ms",
        ),
        by(
            newest,
            "queue antispoof.retry.2s",
            "max-length-bytes = 4096",
            "when it is full, the oldest message goes to antispoof.jobs",
        ),
        by(
            newest,
            "queue antispoof.retry.2s",
            "overflow = drop-head",
            "with drop-head the broker dead-letters at most once",
        ),
        format!(
            "note     queue antispoof.jobs: max-length = 50 by {cap}: when it is full, what is published to it is refused"
        ),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let (code, lines, said) = until_told(&world, &expected).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(lines.matches("\npolicy ").count(), expected.len() - 1, "{lines}");
    assert!(said.contains("10 settings of policies drop, expire or move messages"), "{said}");
    let vhost = broker.vhost();
    assert!(said.contains(&format!("`rabbitmqctl clear_policy -p {vhost} catch-all`")), "{said}");

    let (code, lines, _) = ask(settings(&world), &["check", "--connect"], &world.services.management).await;
    assert_eq!(code, Some(78), "{lines}");
    for line in expected {
        let state = if line.starts_with("note") { "note    policies" } else { "failed  policies" };
        let (_, words) = line.split_once("  ").expect("a state and words");
        assert!(lines.contains(&format!("{state}  {}", words.trim_start())), "{line}: {lines}");
    }
    assert!(lines.contains(&format!("`rabbitmqctl clear_operator_policy -p {vhost} cap`")), "{lines}");
    assert_documented(&lines.replace(vhost, "kyc"), "failed  policies  queue antispoof.parked: max-length");

    let (code, lines, said) = run(settings(&world), &["topology", "check"]).await;
    assert_eq!(code, Some(0), "{lines}\n{said}");
    assert_eq!(
        said.lines().filter(|line| line.contains("policies") && line.contains("--management")).count(),
        1,
        "{said}"
    );
    let (code, lines, _) = run(settings(&world), &["check", "--connect"]).await;
    assert_eq!(code, Some(0), "{lines}");
    let note = "note    policies  whether policies drop, expire or move messages cannot be asked over AMQP\n        = help: with --management ";
    assert!(lines.contains(note), "{lines}");
}

/// The line that begins so, and its remedy.
#[track_caller]
fn assert_documented(lines: &str, start: &str) {
    let from = lines.find(start).unwrap_or_else(|| panic!("{start}: {lines}"));
    let said: Vec<&str> = lines[from..].lines().take(2).collect();
    let manual = include_str!("../../docs/policies.md");
    assert!(manual.contains(&said.join("\n")), "docs/policies.md does not show this:\n{}", said.join("\n"));
}

#[tokio::test]
async fn a_policy_that_removes_nothing_is_no_complaint() {
    let world = applied("policies_harmless").await;
    let harmless = json!({ "queue-leader-locator": "client-local", "max-in-memory-length": 100, "delivery-limit": 100_000, "message-ttl": 60_000 });
    world.broker.set_policy("placement", r"^antispoof\.retry\.", harmless).await;
    let settled = json!({ "dead-letter-exchange": "amq.fanout", "dead-letter-routing-key": "elsewhere", "overflow": "reject-publish" });
    world.broker.set_policy("refuse", r"^antispoof\.jobs$", settled).await;
    let (code, lines, said) = ask(settings(&world), &["topology", "check"], &world.services.management).await;
    assert_eq!(code, Some(0), "{lines}\n{said}");
    assert!(lines.lines().all(|line| line.starts_with("ok ")), "{lines}");
    let (code, lines, _) = ask(settings(&world), &["check", "--connect"], &world.services.management).await;
    assert_eq!(code, Some(0), "{lines}");
    assert!(lines.contains("ok      policies  none drops, expires or moves messages"), "{lines}");

    // A bound on the backlog is meant by who sets it: producers are refused, nothing is removed.
    world.broker.set_policy("refuse", r"^antispoof\.jobs$", json!({ "max-length": 1_000_000 })).await;
    let (code, lines, said) =
        until_told(&world, &[r#"note     queue antispoof.jobs: max-length = 1000000 by policy "refuse""#]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!lines.contains("policy  "), "{lines}");
    let (code, lines, _) = ask(settings(&world), &["check", "--connect"], &world.services.management).await;
    assert_eq!(code, Some(0), "{lines}");
    assert!(lines.contains("note    policies  queue antispoof.jobs: max-length = 1000000"), "{lines}");
    assert!(lines.contains("        = help: if it is not meant so: take max-length out of it, "), "{lines}");
}

#[tokio::test]
async fn the_tag_management_is_enough_to_see_policies() {
    let world = applied("policies_rights").await;
    world.broker.set_policy("tidy", r"^antispoof\.parked$", json!({ "message-ttl": 86_400_000 })).await;
    world.broker.set_operator_policy("cap", r"^antispoof\.parked$", json!({ "max-length": 9 })).await;
    let user = world.broker.create_tagged_user("looks", "it-rights", "management", ["^$", "^$", "^$"]).await;
    let url = amqp_url(&user, "it-rights", &world.services.amqp_address(), world.broker.vhost());
    until_told(&world, &[r#"max-length = 9 by operator policy "cap""#]).await;
    let looks = settings(&world).set("amqp.url", url);
    let (code, lines, said) = ask(looks, &["topology", "check"], &world.services.management).await;
    assert_eq!(code, Some(1), "{lines}\n{said}");
    assert!(
        lines.contains(r#"message-ttl = 86400000 by policy "tidy": a message that has waited 86400000 ms is deleted"#),
        "{lines}"
    );
    assert!(lines.contains(r#"max-length = 9 by operator policy "cap""#), "{lines}");
    assert!(said.contains("a setting of a policy drops, expires or moves messages"), "the other only refuses: {said}");
}

#[tokio::test]
async fn policies_that_are_not_shown_are_not_known() {
    let world = applied("policies_hidden").await;
    let front = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", front.local_addr().expect("it is bound"));
    let serving = tokio::spawn(async move {
        while let Ok((client, _)) = front.accept().await {
            tokio::spawn(async move { hide_policies(client).await.ok() });
        }
    });
    let (code, lines, said) = ask(settings(&world), &["topology", "check"], &address).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(lines.contains("unknown  policies cannot be seen: ask the management API at http://127.0.0.1:"), "{lines}");
    let (_, lines, _) = ask(settings(&world), &["check", "--connect"], &address).await;
    assert!(
        lines.contains("note    policies  policies cannot be seen: ") && lines.contains("it answered 401"),
        "{lines}"
    );
    serving.abort();
}

/// A management API in which there is nothing, and whose user may not see policies.
async fn hide_policies(client: TcpStream) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while client.read_line(&mut head).await? > 0 {
        if head.ends_with("\r\n\r\n") {
            let status = if head.contains("policies/") { "401 Unauthorized" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]");
            client.write_all(answer.as_bytes()).await?;
            head.clear();
        }
    }
    Ok(())
}

/// What the words of the two commands rest on: of this broker's quorum queues they are true.
#[tokio::test]
async fn the_broker_does_what_is_said_of_policies() {
    const HOUR: &str = "antispoof.retry.1h";
    const TWO: &str = "antispoof.retry.2h";
    const THREE: &str = "antispoof.retry.3h";

    let world = World::new("policies_done").await;
    let broker = &world.broker;
    let delays = world.daemon().set("retry.delays", "1h,2h,3h");
    assert_eq!(run(delays, &["topology", "apply"]).await.0, Some(0));
    broker
        .set_policy(
            "tidy",
            r"^antispoof\.parked$",
            json!({ "max-length": 2, "overflow": "drop-head", "delivery-limit": 1 }),
        )
        .await;
    broker.set_policy("short", r"^antispoof\.retry\.1h$", json!({ "message-ttl": 1 })).await;
    broker.set_policy("head", r"^antispoof\.retry\.2h$", json!({ "max-length": 1, "overflow": "drop-head" })).await;
    broker.set_policy("unused", r"^antispoof\.retry\.3h$", json!({ "expires": 500 })).await;
    let reasons = async || {
        let jobs = broker.peek(JOBS).await;
        jobs.iter().map(|job| job.headers["x-death"][0]["reason"].to_string()).collect::<Vec<_>>().join(" ")
    };

    // With drop-head the parked queue refuses nothing: its oldest are deleted, and what is looked at twice.
    eventually("the parked queue to drop its oldest", EVENTUALLY, async || {
        assert!(confirmed(&world, PARKED).await, "it refuses nothing");
        let depth = broker.depth(PARKED).await;
        if depth == Some(2) && confirmed(&world, PARKED).await && broker.depth(PARKED).await == Some(2) {
            return Ok(());
        }
        Err(format!("{depth:?}"))
    })
    .await;
    eventually("the parked queue to be empty by looking", EVENTUALLY, async || match broker.peek(PARKED).await.len() {
        0 => Ok(()),
        some => Err(format!("{some} messages")),
    })
    .await;
    // Of two times to live the shorter; and the policy's drop-head outweighs the queue's reject-publish. Both come to the job queue an hour early.
    for (queue, reason) in [(HOUR, "expired"), (TWO, "maxlen")] {
        eventually(&format!("{queue} to hand over"), EVENTUALLY, async || {
            assert!(confirmed(&world, queue).await, "{queue} refuses nothing");
            let seen = reasons().await;
            if seen.contains(reason) { Ok(()) } else { Err(seen) }
        })
        .await;
    }
    eventually("the unused queue to be deleted", EVENTUALLY, async || {
        if broker.queues().await.iter().any(|queue| queue == THREE) { Err("it is there".to_owned()) } else { Ok(()) }
    })
    .await;
    // The job queue's own reject-publish and dead letters stand.
    let backlog =
        json!({ "max-length": 1, "dead-letter-exchange": "amq.fanout", "dead-letter-routing-key": "elsewhere" });
    broker.set_policy("backlog", r"^antispoof\.jobs$", backlog).await;
    eventually("the job queue to refuse", EVENTUALLY, async || {
        if confirmed(&world, JOBS).await { Err(format!("{:?}", broker.depth(JOBS).await)) } else { Ok(()) }
    })
    .await;
}

/// Publishes one message and says whether the broker took it.
async fn confirmed(world: &World, queue: &str) -> bool {
    let channel = world.broker.channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let sent = channel.basic_publish("".into(), queue.into(), options, b"1", BasicProperties::default()).await;
    let confirmed = sent.expect("a message can be published").await.expect("the broker answers");
    channel.close(200, "done".into()).await.ok();
    matches!(confirmed, Confirmation::Ack(None))
}
