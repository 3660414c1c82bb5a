//! Credentials that change, expire and are taken away while jobs run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::stand_in::{Answer, StandIn};
use super::{check, failure, logged, nothing_is_parked, two_attempts};
use crate::batch::Batch;
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::iam::User;
use crate::harness::wait::{EVENTUALLY, SOON, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

const REFUSED: &str = "antispoofd_failures_total{code=\"store_unauthorized\"}";

/// A folder with the SDK's files in it.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// In one step, as those do it who rotate keys.
    fn replace(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).expect("it can be written");
        std::fs::rename(self.path("new"), self.path(name)).expect("it can be renamed");
    }

    /// A daemon whose credentials are in these files alone.
    fn daemon(&self, builder: DaemonBuilder) -> DaemonBuilder {
        let name = |path: &Path| path.to_str().expect("a plain path").to_owned();
        builder
            .without("AWS_ACCESS_KEY_ID")
            .without("AWS_SECRET_ACCESS_KEY")
            .env("AWS_SHARED_CREDENTIALS_FILE", name(&self.path("credentials")))
            .env("AWS_CONFIG_FILE", name(&self.path("config")))
    }

    /// A process as the source of the credentials, which prints what is in the file `keys` of this folder, or fails with what is in `fault`.
    fn process(&self, script: &str) {
        let path = self.path("process.sh");
        std::fs::write(&path, script.replace("FOLDER", self.0.path().to_str().expect("a plain path")))
            .expect("a script");
        self.replace("config", &format!("[default]\ncredential_process = sh {}\n", path.display()));
    }
}

async fn judged(world: &World, least: usize) {
    eventually(&format!("{least} events"), EVENTUALLY, async || {
        let events = world.events().await.len();
        if events >= least { Ok(()) } else { Err(format!("{events}")) }
    })
    .await;
}

async fn gate(daemon: &Daemon, open: bool) {
    let expected = Some(f64::from(u8::from(open)));
    eventually_equals("the gate", EVENTUALLY, expected, async || daemon.metric("antispoofd_gate_open").await).await;
}

/// The file is replaced, and then the old key is taken away: no job ends for it, none is set aside, and nobody restarts anything.
#[tokio::test]
async fn a_key_is_rotated_under_load() {
    let world = World::new("rotated_under_load").await;
    let (old, new) = (user(&world, "old", "readonly").await, user(&world, "new", "readonly").await);
    let files = Files::new();
    files.replace("credentials", &old.profile());
    world.simulator.configure(json!({ "latency": "200ms" })).await;
    let daemon = files.daemon(world.daemon()).set("worker.concurrency", "8").start_ready().await;
    let mut batch = Batch::stored(&world, 200).await;
    batch.submit(&world).await;
    judged(&world, 20).await;
    files.replace("credentials", &new.profile());
    old.remove().await;
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    nothing_is_parked(&world).await;
    for code in ["object_forbidden", "store_unavailable", "object_not_found"] {
        let failures = daemon.metric(&format!("antispoofd_failures_total{{code=\"{code}\"}}")).await;
        assert_eq!(failures, Some(0.0), "{code}");
    }
    logged(&daemon, &["the credentials for the store have been replaced"]).await;
    new.remove().await;
}

/// Without a failure: the new file is seen while the old key is still good.
#[tokio::test]
async fn a_new_file_is_seen_before_the_old_key_is_gone() {
    let world = World::new("rotated_in_time").await;
    let (old, new) = (user(&world, "old", "readonly").await, user(&world, "new", "readonly").await);
    let files = Files::new();
    files.replace("credentials", &old.profile());
    let daemon = files.daemon(world.daemon()).start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    world.event_for(&world.submit(&stored.key).await).await;
    files.replace("credentials", &new.profile());
    // A look at the files comes with a job.
    eventually("the new file to be read", EVENTUALLY, async || {
        world.event_for(&world.submit(&stored.key).await).await;
        let seen = daemon.logs_contain("the credentials for the store have been replaced");
        if seen { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    old.remove().await;
    let bytes = jpeg::tiny(2);
    let stored = world.upload("later.jpg", bytes).await;
    assert_eq!(world.event_for(&world.submit(&stored.key).await).await.failure_code(), None);
    assert_eq!(daemon.metric(REFUSED).await, Some(0.0));
    new.remove().await;
}

/// The other way round: there are no good credentials for a while. Nothing is spent and nothing set aside, and the new file ends it.
#[tokio::test]
async fn a_key_that_is_gone_before_there_is_another_holds_the_jobs() {
    let world = World::new("revoked_first").await;
    let (old, new) = (user(&world, "old", "readonly").await, user(&world, "new", "readonly").await);
    let files = Files::new();
    files.replace("credentials", &old.profile());
    // Most objects are not read yet when the key is gone.
    world.simulator.configure(json!({ "latency": "500ms" })).await;
    let daemon = files.daemon(two_attempts(&world)).set("worker.concurrency", "8").start_ready().await;
    let mut batch = Batch::stored(&world, 60).await;
    batch.submit(&world).await;
    judged(&world, 10).await;
    old.remove().await;
    gate(&daemon, false).await;
    logged(&daemon, &["store_unauthorized", "does not know the access key (403 InvalidAccessKeyId)"]).await;
    nothing_is_parked(&world).await;
    files.replace("credentials", &new.profile());
    batch.verdicts(&world).await;
    batch.assert_paid_once(&world).await;
    gate(&daemon, true).await;
    new.remove().await;
}

#[tokio::test]
async fn a_wrong_secret_is_the_fault_of_no_job_and_named() {
    let world = World::new("wrong_secret").await;
    let wrong = || two_attempts(&world).env("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-this-store");
    let daemon = wrong().start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    for _ in 0..5 {
        world.submit(&stored.key).await;
    }
    gate(&daemon, false).await;
    logged(&daemon, &["computes another signature (403 SignatureDoesNotMatch): the secret key is wrong"]).await;
    nothing_is_parked(&world).await;
    assert!(world.events().await.is_empty());
    assert_eq!(world.simulator.count("calls").await, 0);
    let (code, said) = check(wrong()).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("computes another signature (403 SignatureDoesNotMatch)"), "{said}");
}

/// A service that gives credentials may be away for as long as the last ones are good.
#[tokio::test]
async fn what_is_still_good_is_used_while_its_source_is_away() {
    let world = World::new("source_away").await;
    let files = Files::new();
    let keys = |seconds: u64| {
        let at = time::OffsetDateTime::now_utc() + Duration::from_secs(seconds);
        let at = at.format(&time::format_description::well_known::Rfc3339).expect("a time");
        let (access, secret) = (&world.services.s3_access_key, &world.services.s3_secret_key);
        json!({ "Version": 1, "AccessKeyId": access, "SecretAccessKey": secret, "Expiration": at }).to_string()
    };
    // Of two minutes the last half minute is for finding others; an end that is here already is left to the store to judge.
    files.replace("keys", &keys(0));
    files.process("echo asked >> FOLDER/log; cat FOLDER/keys || { echo the vault is sealed >&2; exit 1; }");
    let daemon = files.daemon(two_attempts(&world)).start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    assert_eq!(world.event_for(&world.submit(&stored.key).await).await.failure_code(), None);
    files.replace("keys", &keys(3600));
    // Asked again after a while, in the background or before the next job.
    let asked = async || std::fs::read_to_string(files.path("log")).expect("a log").lines().count();
    eventually("a second search", EVENTUALLY, async || {
        world.event_for(&world.submit(&stored.key).await).await;
        let asked = asked().await;
        if asked >= 2 { Ok(()) } else { Err(format!("asked {asked} times")) }
    })
    .await;
    std::fs::remove_file(files.path("keys")).expect("it was there");
    files.process("echo asked >> FOLDER/log; echo the vault is sealed >&2; exit 1 #");
    eventually("a line about the source", EVENTUALLY, async || {
        assert_eq!(world.event_for(&world.submit(&stored.key).await).await.failure_code(), None);
        let said = daemon.logs_contain("no fresh credentials for the store, those in hand are used while they last");
        if said { Ok(()) } else { Err("nothing".to_owned()) }
    })
    .await;
    assert_eq!(daemon.metric(REFUSED).await, Some(0.0));
    nothing_is_parked(&world).await;
}

/// Neither the store nor the job is blamed for it, however little time there is for an object.
#[tokio::test]
async fn a_source_that_hangs_is_blamed_by_name() {
    let world = World::new("source_hangs").await;
    let files = Files::new();
    files.process("exec sleep 20");
    let builder = files.daemon(two_attempts(&world)).set("s3.timeout", "1s").set("s3.read_timeout", "1s");
    let daemon = builder.set("s3.connect_timeout", "1s").start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    world.submit(&stored.key).await;
    logged(&daemon, &["no AWS credentials: the AWS chain (AWS_CONFIG_FILE, ", " gave no answer within 1s"]).await;
    gate(&daemon, false).await;
    assert_eq!(daemon.metric("antispoofd_failures_total{code=\"store_timeout\"}").await, Some(0.0));
    nothing_is_parked(&world).await;
}

#[tokio::test]
async fn no_credentials_at_all_hold_the_jobs_and_are_named() {
    let world = World::new("no_credentials").await;
    let files = Files::new();
    let daemon = files.daemon(two_attempts(&world)).start_ready().await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let job = world.submit(&stored.key).await;
    logged(&daemon, &["no AWS credentials: none were found anywhere in the AWS chain; set AWS_ACCESS_KEY_ID"]).await;
    gate(&daemon, false).await;
    let own = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        world.services.s3_access_key, world.services.s3_secret_key
    );
    files.replace("credentials", &own);
    assert_eq!(world.event_for(&job).await.failure_code(), None);
    nothing_is_parked(&world).await;
}

/// A proxy that merges slashes breaks the signature of some names. Such a job must not stop all the others.
#[tokio::test]
async fn a_signature_that_is_wrong_for_one_name_only_is_about_that_object() {
    let world = World::new("wrong_for_one").await;
    let bytes = jpeg::tiny(1);
    let proxied = StandIn::start(move |request| {
        if request.path.contains("//") {
            Answer::error(403, "SignatureDoesNotMatch")
        } else if request.path.ends_with("/face.jpg") {
            Answer::object(&bytes, "5d41402abc4b2a76b9719d911017c592")
        } else {
            Answer::error(404, "NoSuchKey")
        }
    })
    .await;
    let daemon = two_attempts(&world).set("s3.endpoint_url", proxied.url()).start_ready().await;
    let (odd, plain) = (world.submit("a//face.jpg").await, world.submit("face.jpg").await);
    assert_eq!(world.event_for(&plain).await.failure_code(), None);
    let message = failure(&world, &odd, "object_forbidden").await;
    assert!(message.contains("of this object only"), "{message}");
    assert_eq!(daemon.metric("antispoofd_gate_open").await, Some(1.0));
}

/// versitygw 1.8.0 says with a 404 that it does not know the key: read as it looks, every job would be parked as missing.
#[tokio::test]
async fn a_key_that_versitygw_does_not_know_is_no_missing_object() {
    let world = World::new("versitygw_key").await;
    let gateway = StandIn::start(|_| Answer::error(404, "XAdminUserNotFound")).await;
    let daemon = two_attempts(&world).set("s3.endpoint_url", gateway.url()).start_ready().await;
    world.submit("face.jpg").await;
    logged(&daemon, &["does not know the access key (404 XAdminUserNotFound)"]).await;
    gate(&daemon, false).await;
    eventually_equals("the refusal to be counted", SOON, true, async || daemon.metric(REFUSED).await >= Some(1.0))
        .await;
    nothing_is_parked(&world).await;
}

async fn user(world: &World, name: &str, policy: &str) -> User {
    User::new(&world.services, name, policy).await
}
