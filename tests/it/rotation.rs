//! Secrets that are replaced while the worker runs: their files are read again, and nothing is parked, lost or restarted.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::batch::Batch;
use crate::harness::broker::PARKED;
use crate::harness::daemon::Daemon;
use crate::harness::own_redis::OwnRedis;
use crate::harness::services::amqp_url;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

const EVERYTHING: [&str; 3] = [".*", ".*", ".*"];
const JOBS: usize = 24;
const REPLACED: [&str; 3] = ["it-first-0123456789abcdef", "it-second-0123456789abcdef", "it-third-0123456789abcdef"];

/// A file with a secret, for a daemon.
struct SecretFile {
    folder: tempfile::TempDir,
}

impl SecretFile {
    fn with(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a folder") };
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// Whole at once, as whatever rotates secrets does.
    fn write(&self, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, self.path())).expect("it can be written");
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

async fn says(daemon: &Daemon, what: &str, times: usize) {
    eventually(&format!("{what:?} in the log, {times} times"), EVENTUALLY, async || {
        let found = daemon.logs().iter().filter(|line| line.contains(what)).count();
        if found >= times { Ok(()) } else { Err(format!("{found} times: {:#?}", daemon.logs())) }
    })
    .await;
}

/// All jobs have been judged at their first attempt and paid for once, by the process that was there from the start, which has shown no secret.
async fn all_is_well(world: &World, daemon: &Daemon, batch: &Batch) {
    batch.verdicts(world).await;
    for event in world.events().await {
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "no attempt was spent: {}", event.json);
    }
    batch.assert_paid_once(world).await;
    assert_eq!(world.broker.depth(PARKED).await, Some(0));
    assert!(daemon.is_running());
    for secret in REPLACED {
        assert!(!daemon.logs_contain(secret), "a secret is in the log");
    }
    world.assert_drained().await;
}

#[tokio::test]
async fn a_broker_s_password_is_replaced_under_load() {
    let world = World::new("rotated_amqp").await;
    let user = world.broker.create_user("rotating", REPLACED[0], EVERYTHING).await;
    let url = |password: &str| amqp_url(&user, password, &world.amqp_link.addr().to_string(), world.broker.vhost());
    let file = SecretFile::with(&url(REPLACED[0]));
    world.simulator.configure(json!({ "latency": "50ms" })).await;
    let daemon = world.daemon().unset("amqp.url").set("amqp.url_file", shown(&file.path()));
    let daemon = daemon.set("worker.concurrency", "4").start_ready().await;
    let mut batch = Batch::stored(&world, JOBS).await;
    batch.submit_next(&world, JOBS / 2).await;
    world.event_for(&batch.jobs[0].clone()).await;

    // The broker is first: who has the old password is refused.
    world.broker.create_user("rotating", REPLACED[1], EVERYTHING).await;
    world.broker.close_connections().await;
    says(&daemon, "ACCESS_REFUSED", 1).await;
    // A file that is written in place is empty for a moment.
    std::fs::write(file.path(), "").expect("truncated");
    says(&daemon, "the secret's file is empty; the last good secret stays in use", 1).await;
    batch.submit_next(&world, JOBS).await;
    file.write(&url(REPLACED[1]));
    says(&daemon, "the secret of amqp.url_file was replaced", 1).await;
    batch.verdicts(&world).await;

    // And the file first: nothing is torn down for it.
    let reconnects = daemon.metric("antispoofd_amqp_reconnects_total").await;
    file.write(&url(REPLACED[2]));
    says(&daemon, "the secret of amqp.url_file was replaced", 2).await;
    assert_eq!(daemon.metric("antispoofd_amqp_reconnects_total").await, reconnects);
    world.broker.create_user("rotating", REPLACED[2], EVERYTHING).await;
    world.broker.close_connections().await;
    let job = world.submit(&world.upload("last.jpg", jpeg::tiny(99)).await.key).await;
    world.event_for(&job).await;
    all_is_well(&world, &daemon, &batch).await;
}

#[tokio::test]
async fn the_vendor_s_secret_is_replaced_under_load() {
    let world = World::new("rotated_api").await;
    let accept = async |secret: &str| {
        let auth = json!({ "type": "keys", "api_key": "it-api-key", "secret": secret });
        world.simulator.configure(json!({ "auth": auth, "latency": "50ms" })).await;
    };
    accept(REPLACED[0]).await;
    let file = SecretFile::with(REPLACED[0]);
    let daemon = world.daemon().unset("api.secret").set("api.secret_file", shown(&file.path()));
    let daemon = daemon.set("worker.concurrency", "4").set("api.probe_interval", "200ms").start_ready().await;
    let mut batch = Batch::stored(&world, JOBS).await;
    batch.submit_next(&world, JOBS / 2).await;
    world.event_for(&batch.jobs[0].clone()).await;

    // The vendor is first.
    accept(REPLACED[1]).await;
    batch.submit_next(&world, JOBS).await;
    let gate = "antispoofd_gate_open";
    eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric(gate).await).await;
    file.write(REPLACED[1]);
    eventually_equals("the gate to open", EVENTUALLY, Some(1.0), async || daemon.metric(gate).await).await;
    says(&daemon, "the secret of api.secret_file was replaced", 1).await;
    batch.verdicts(&world).await;

    // The file is first: it is used without a refusal.
    file.write(REPLACED[2]);
    says(&daemon, "the secret of api.secret_file was replaced", 2).await;
    accept(REPLACED[2]).await;
    world.simulator.reset().await;
    let last = jpeg::tiny(99);
    let job = world.submit(&world.upload("last.jpg", last).await.key).await;
    world.event_for(&job).await;
    assert_eq!((world.simulator.count("billed").await, world.simulator.count("rejected").await), (1, 0));
    assert!(daemon.is_running() && !REPLACED.iter().any(|secret| daemon.logs_contain(secret)));
    for event in world.events().await {
        assert_eq!(event.json["data"]["check"]["attempts"], 1, "no attempt was spent: {}", event.json);
    }
    world.assert_drained().await;
}

#[tokio::test]
async fn a_worker_that_starts_with_an_expired_token_waits_for_its_file() {
    // {"exp":1}, and one that says nothing of its end.
    const TOKENS: [&str; 2] = ["e30.eyJleHAiOjF9.AAAA", "e30.e30.AAAA"];
    let world = World::new("expired_token").await;
    let auth = json!({ "type": "token", "token": TOKENS[1] });
    world.simulator.configure(json!({ "auth": auth })).await;
    let file = SecretFile::with(TOKENS[0]);
    let daemon = world.daemon().unset("api.api_key").unset("api.secret").set("api.token_file", shown(&file.path()));
    let daemon = daemon.set("api.probe_interval", "200ms").start_ready().await;
    says(&daemon, "api.token: has expired: 1970-01-01T00:00:01Z", 1).await;
    let batch = Batch::submitted(&world, 3).await;
    eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric("antispoofd_gate_open").await).await;
    file.write(TOKENS[1]);
    assert!(TOKENS.iter().all(|token| !daemon.logs_contain(token)));
    all_is_well(&world, &daemon, &batch).await;
}

#[tokio::test]
async fn the_ledger_s_password_is_replaced_under_load() {
    let own = OwnRedis::start("rotated").await;
    let world = World::new("rotated_redis").await;
    let give = async |user: &str, password: &str| {
        let command = ["ACL", "SETUSER", user, "reset", "on", &format!(">{password}"), "~*", "+@all"];
        own.send::<String>(&command).await;
    };
    give("worker", REPLACED[0]).await;
    let file = SecretFile::with(&own.url_of("worker", REPLACED[0]));
    world.simulator.configure(json!({ "latency": "50ms" })).await;
    let daemon = world.daemon().set("ledger.backend", "redis").set("ledger.url_file", shown(&file.path()));
    let daemon = daemon.set("worker.concurrency", "4").set("api.probe_interval", "200ms").start_ready().await;
    let mut batch = Batch::stored(&world, JOBS).await;
    batch.submit_next(&world, JOBS / 2).await;
    world.event_for(&batch.jobs[0].clone()).await;

    // The server is first, and ends who is there.
    give("worker", REPLACED[1]).await;
    own.send::<i64>(&["CLIENT", "KILL", "USER", "worker"]).await;
    batch.submit_next(&world, JOBS).await;
    says(&daemon, "it refuses the user or the password", 1).await;
    file.write(&own.url_of("worker", REPLACED[1]));
    batch.verdicts(&world).await;
    says(&daemon, "the secret of ledger.url_file was replaced", 1).await;

    // Another user, while the connection of the first is fine.
    give("other", REPLACED[2]).await;
    let errors = daemon.metric("antispoofd_ledger_errors_total").await;
    file.write(&own.url_of("other", REPLACED[2]));
    says(&daemon, "the secret of ledger.url_file was replaced", 2).await;
    let job = world.submit(&world.upload("last.jpg", jpeg::tiny(99)).await.key).await;
    world.event_for(&job).await;
    let clients = own.send::<String>(&["CLIENT", "LIST"]).await;
    assert!(clients.contains("user=other"), "{clients}");
    assert_eq!(daemon.metric("antispoofd_ledger_errors_total").await, errors);
    all_is_well(&world, &daemon, &batch).await;
}
