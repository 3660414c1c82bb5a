//! Nineteen faults, each staged on real services: one command, or the status page, names the cause and what to do. `docs/faults-seen.md` shows what
//! they say.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::harness::broker::JOBS;
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::iam::User;
use crate::harness::own_broker::OwnBroker;
use crate::harness::simulator::Simulator;
use crate::harness::stand_in::StandIn;
use crate::harness::store::BUCKET;
use crate::harness::tls::TlsFront;
use crate::harness::wait::{EVENTUALLY, STARTED, eventually};
use crate::harness::world::World;
use crate::images::jpeg;

/// Holds what was said against what it has to name, and against the page. `line` is what the page shows, with names and addresses replaced.
fn assert_named(fault: &str, said: &str, cause: &str, remedy: &str) {
    assert!(said.contains(cause), "{fault}: the cause, {cause:?}, is not in {said:?}");
    assert!(said.contains(remedy), "{fault}: the remedy, {remedy:?}, is not in {said:?}");
    let page = include_str!("../../docs/faults-seen.md");
    let row = page.lines().find(|line| line.starts_with(&format!("| {fault} |")));
    let row = row.unwrap_or_else(|| panic!("{fault} is not in docs/faults-seen.md"));
    for part in [cause, remedy] {
        assert!(row.contains(part), "{fault}: {part:?} is not in its row of docs/faults-seen.md");
    }
}

/// What `check --connect` says of what failed.
async fn check(fault: &str, settings: DaemonBuilder, cause: &str, remedy: &str) {
    let process = settings.command(&["check", "--connect"]);
    let code = process.wait_output(STARTED).await.code();
    assert!(matches!(code, Some(0 | 69 | 78)), "{fault}: {code:?}: {:?}", process.stderr());
    let lines = process.stdout();
    // With its help; what is only worth a look is a note.
    let names = |line: &String| (line.starts_with("failed") || line.starts_with("note")) && line.contains(cause);
    let at = lines.iter().position(names).unwrap_or_else(|| panic!("{fault}: {lines:#?}"));
    let help = lines.get(at + 1).filter(|line| line.starts_with("        "));
    let said = [Some(&lines[at]), help].into_iter().flatten().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    assert_named(fault, &said, cause, remedy);
}

/// What the worker's own status says, once it names cause and remedy: between two jobs, a slot is free for a moment.
async fn status(fault: &str, daemon: &Daemon, cause: &str, remedy: &str) {
    let said = eventually(fault, EVENTUALLY, async || {
        let (_, body) = daemon.get("/status?history=0").await?;
        let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let text = |field: &str| status["state"][field].as_str().unwrap_or_default().to_owned();
        let said = format!("{} – {}", text("sentence"), text("remedy"));
        if said.contains(cause) && said.contains(remedy) { Ok(said) } else { Err(said) }
    })
    .await;
    assert_named(fault, &said, cause, remedy);
}

/// A job for an image that can be judged.
async fn good_job(world: &World) -> String {
    let face = world.upload("face.jpg", jpeg::tiny(1)).await;
    world.submit(&face.key).await
}

async fn refused_at_the_door(fault: &str, settings: DaemonBuilder, cause: &str, remedy: &str) {
    check(fault, settings.clone(), cause, remedy).await;
    // The worker says the same of itself, as far as it can be asked.
    let daemon = settings.start();
    eventually("the status to say it", EVENTUALLY, async || {
        let (_, body) = daemon.get("/status?history=0").await?;
        if body.contains("no session with the broker: ") { Ok(()) } else { Err(body) }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password() {
    let world = World::new("seen_password").await;
    let url = world.services.amqp_url(&world.amqp_link.addr().to_string(), world.broker.vhost());
    let settings = world.daemon().set("amqp.url", url.replacen(":guest@", ":wrong@", 1));
    refused_at_the_door("wrong password", settings, "ACCESS_REFUSED", "check user and password in amqp.url").await;
}

#[tokio::test]
async fn a_vhost_that_is_not_there() {
    let world = World::new("seen_vhost").await;
    let url = world.services.amqp_url(&world.amqp_link.addr().to_string(), "no-such-vhost");
    let cause = "no-such-vhost";
    refused_at_the_door(
        "missing vhost",
        world.daemon().set("amqp.url", url),
        cause,
        "check that the vhost in amqp.url exists",
    )
    .await;
}

#[tokio::test]
async fn a_bucket_that_is_not_there() {
    let world = World::new("seen_bucket").await;
    let settings = world.daemon().set("s3.buckets", "no-such-bucket").set("s3.default_bucket", "no-such-bucket");
    check("missing bucket", settings, "no-such-bucket", "s3.buckets").await;
}

#[tokio::test]
async fn a_store_that_forbids() {
    let world = World::new("seen_forbidden").await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::*"]}]}"#;
    let user = User::new(&world.services, "seen-forbidden", policy).await;
    let settings = world
        .daemon()
        .set("s3.buckets", BUCKET)
        .env("AWS_ACCESS_KEY_ID", &user.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &user.secret_key);
    check("forbidden objects", settings, "AccessDenied", "s3:GetObject").await;
    user.remove().await;
}

#[tokio::test]
async fn a_wrong_secret_of_the_store() {
    let world = World::new("seen_secret").await;
    let settings = world.daemon().set("s3.buckets", BUCKET).env("AWS_SECRET_ACCESS_KEY", "wrong-secret-key");
    check("wrong S3 secret", settings.clone(), "SignatureDoesNotMatch", "secret").await;
    let daemon = settings.start_ready().await;
    good_job(&world).await;
    status("wrong S3 secret", &daemon, "SignatureDoesNotMatch", "").await;
}

#[tokio::test]
async fn a_token_that_has_expired() {
    let world = World::new("seen_token").await;
    // {"exp":1767225600}: the first moment of 2026.
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3NjcyMjU2MDB9.AAAA";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token).unwrap();
    let settings = world.daemon().unset("api.api_key").unset("api.secret").set("s3.buckets", BUCKET);
    check("expired token", settings.set("api.token_file", file.to_str().unwrap()), "expired", "make a new one").await;
}

#[tokio::test]
async fn a_key_that_was_revoked() {
    let world = World::new("seen_revoked").await;
    let daemon = world.daemon().start_ready().await;
    world.simulator.configure(json!({ "faults": "401=100%" })).await;
    good_job(&world).await;
    status(
        "revoked API key",
        &daemon,
        "(api_unauthorized)",
        "are api.api_key and api.secret (or api.token) those of the account",
    )
    .await;
}

#[tokio::test]
async fn nothing_is_bound_to_the_results() {
    let world = World::new("seen_unbound").await;
    let daemon = world.daemon().start_ready().await;
    world.broker.unbind_results().await;
    good_job(&world).await;
    status("no results queue", &daemon, "(results_unroutable)", "bind a queue to the results exchange").await;
    world.broker.bind_results().await;
}

#[tokio::test]
async fn a_queue_with_other_arguments() {
    let world = World::new("seen_arguments").await;
    world.broker.declare_otherwise(JOBS).await;
    let settings = world.daemon().set("s3.buckets", BUCKET);
    check(
        "queue declared otherwise",
        settings.clone(),
        "queue antispoof.jobs is there with",
        "antispoofd topology apply",
    )
    .await;
    let daemon = settings.start();
    status("queue declared otherwise", &daemon, "PRECONDITION_FAILED", "antispoofd check --connect").await;
}

#[tokio::test]
async fn an_alarm_of_the_broker() {
    let broker = OwnBroker::start("seen").await;
    let world = World::with("seen_alarm", broker.services()).await;
    let daemon = world.daemon().start_ready().await;
    world.simulator.configure(json!({ "latency": "20s" })).await;
    good_job(&world).await;
    eventually("the job to be called for", EVENTUALLY, async || match world.simulator.count("in_flight").await {
        1.. => Ok(()),
        none => Err(none.to_string()),
    })
    .await;
    // Its event is what meets the alarm: a broker tells only a connection that publishes.
    broker.raise_alarm().await;
    status("memory alarm", &daemon, "an alarm of the broker blocks publishing", "rabbitmq-diagnostics alarms").await;
    check(
        "memory alarm",
        world.daemon().set("s3.buckets", BUCKET),
        "blocks what publishes",
        "rabbitmq-diagnostics alarms",
    )
    .await;
    broker.clear_alarm().await;
}

#[tokio::test]
async fn a_full_disk_under_the_ledger() {
    let world = World::new("seen_disk").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb").display().to_string();
    let daemon = world.daemon().set("ledger.backend", "file").set("ledger.path", path).start_ready().await;
    daemon.fill_disk();
    good_job(&world).await;
    status("full disk", &daemon, "(ledger)", "the disk of ledger.path").await;
    daemon.free_disk();
}

#[tokio::test]
async fn a_redis_that_is_away() {
    let world = World::new("seen_redis").await;
    let daemon = world.daemon_with_redis().set("ledger.timeout", "1s").start_ready().await;
    world.redis_link.cut().await;
    good_job(&world).await;
    status("Redis away", &daemon, "(ledger)", "check ledger.url").await;
    check("Redis away", world.daemon_with_redis().set("s3.buckets", BUCKET), "Connection refused", "ledger.url").await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    let world = World::new("seen_dns").await;
    let settings = world.daemon().set("api.url", "http://api.does-not-exist.invalid/check").set("s3.buckets", BUCKET);
    check(
        "unknown name",
        settings.clone(),
        "api.does-not-exist.invalid does not resolve",
        "correct the host of the address",
    )
    .await;
    let daemon = settings.start_ready().await;
    good_job(&world).await;
    status("unknown name", &daemon, "api.does-not-exist.invalid does not resolve", "correct the host of the address")
        .await;
}

#[tokio::test]
async fn a_clock_that_is_wrong() {
    let world = World::new("seen_clock").await;
    let vendor = StandIn::answering("200 OK\r\ndate: Mon, 02 Jan 2023 10:00:00 GMT", "application/json", "{}").await;
    let settings = world.daemon().set("api.url", Simulator::endpoint_at(vendor.addr())).set("s3.buckets", BUCKET);
    check("wrong clock", settings, "its clock differs from ours", "NTP").await;
}

#[tokio::test]
async fn a_store_whose_certificate_is_not_trusted() {
    let world = World::new("seen_tls").await;
    let front = TlsFront::to(world.s3_link.addr().to_string()).await;
    let settings = world.daemon().set("s3.endpoint_url", format!("https://{}", front.addr())).set("s3.buckets", BUCKET);
    check("S3 certificate", settings, "certificate", "SSL_CERT_FILE").await;
}

#[tokio::test]
async fn a_job_that_ends_its_workers() {
    let world = World::new("seen_poison").await;
    let daemon = world.daemon().start_ready().await;
    world.simulator.configure(json!({ "latency": "20s" })).await;
    let face = world.upload("face.jpg", jpeg::tiny(1)).await;
    let (_, body) = world.job(json!({ "key": face.key }));
    let mut headers = FieldTable::default();
    headers.insert("as-deliveries".into(), AMQPValue::LongLongInt(4));
    let properties = BasicProperties::default().with_content_type("application/json".into()).with_headers(headers);
    world.broker.publish_job(&body, properties).await;
    status("poison", &daemon, "one job is run with nothing beside it", "look for a worker that died").await;
}

#[tokio::test]
async fn a_vendor_that_is_slow() {
    let world = World::new("seen_slow").await;
    let daemon = world.daemon().set("worker.concurrency", "2").set("amqp.watchdog_interval", "1s").start_ready().await;
    world.simulator.configure(json!({ "latency": "3s" })).await;
    let face = world.upload("face.jpg", jpeg::tiny(1)).await;
    world.submit_all(std::iter::repeat_n(face.key.as_str(), 30)).await;
    status("slow vendor", &daemon, "vendor p99 3", "raise worker.concurrency or add workers").await;
}

#[tokio::test]
async fn a_vendor_that_does_not_answer() {
    let world = World::new("seen_hang").await;
    let builder = world.daemon().set("worker.concurrency", "2").set("amqp.watchdog_interval", "1s");
    let daemon = builder.set("api.timeout", "2m").set("worker.drain_timeout", "3m").start_ready().await;
    world.simulator.configure(json!({ "faults": "hang=100%" })).await;
    let face = world.upload("face.jpg", jpeg::tiny(1)).await;
    world.submit_all(std::iter::repeat_n(face.key.as_str(), 10)).await;
    status("vendor hangs", &daemon, "and 2 jobs are in flight; 8 jobs wait", "each call in hand is in doubt").await;
}

#[tokio::test]
async fn a_vendor_that_asks_for_an_hour() {
    let world = World::new("seen_429").await;
    world.simulator.configure(json!({ "faults": "429=100%", "retry_after": "1h" })).await;
    let daemon = world.daemon().start_ready().await;
    good_job(&world).await;
    status("429 for an hour", &daemon, "(api_hold)", "lower api.rate_limit or the number of workers").await;
    // Not one call more.
    assert_eq!(world.simulator.count("calls").await, 1);
}
