//! What a server refuses a step with is an error of the ledger that says what to do, and passes with its cause.

use crate::harness::link::Link;
use crate::harness::own_redis::{OwnRedis, ledger};
use crate::harness::store::BUCKET;
use crate::harness::wait::{STARTED, eventually};
use crate::harness::world::World;
use crate::images::jpeg;
use antispoof_core::event::{FailureResult, JobResult, Report};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::{ClaimOutcome, Intent, Ledger as _};
use antispoof_core::retry::Attempt;
use antispoofd::ledger::Redis;
use time::OffsetDateTime;

/// As docs/ledger-backends.md lists them.
const RIGHTS: [&str; 8] = ["+evalsha", "+script|load", "+get", "+set", "+del", "+pttl", "+time", "~{own}:ledger:*"];

/// Makes `user` anew, with these rights and no others.
async fn give(own: &OwnRedis, rights: &[&str]) {
    let user = ["ACL", "SETUSER", "worker", "reset", "on", ">hush"];
    own.send::<String>(&[&user, rights].concat()).await;
}

/// The life of a job, and of one that is given back: every script, in every way that needs another right.
async fn all_steps(ledger: &Redis, job: &str) -> Result<(), String> {
    let said = |error: antispoof_core::ports::LedgerError| error.to_string();
    let failure = Failure::new(Code::ApiRejected, "the API answered 422");
    let end = JobResult::Failure(FailureResult::new(
        &failure,
        Report::new(None, Attempt::spent(1), OffsetDateTime::UNIX_EPOCH, 0),
    ));
    assert_eq!(ledger.begin(job).await.map_err(said)?, ClaimOutcome::Fresh, "no error is taken for a record");
    assert_eq!(ledger.intent(job).await.map_err(said)?, Intent::Recorded(None));
    ledger.recall(job).await.map_err(said)?;
    ledger.conclude(job, None, &end, None).await.map_err(said)?;
    ledger.published(job, false).await.map_err(said)?;
    ledger.try_out().await.map_err(|refused| format!("{}; {}", refused.what, refused.remedy))?;
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_taken_for_no_record() {
    let own = OwnRedis::start("rights").await;
    // A server that knows the scripts needs no right to be told them.
    all_steps(&ledger(&own.url), "known").await.expect("all may be done");
    let url = own.url_of("worker", "hush");
    for missing in RIGHTS {
        let rest: Vec<_> = RIGHTS.into_iter().filter(|right| *right != missing).collect();
        give(&own, &rest).await;
        if missing == "+script|load" {
            own.send::<String>(&["SCRIPT", "FLUSH"]).await;
        }
        let refused = ledger(&url);
        let error = all_steps(&refused, missing).await.expect_err(missing);
        assert!(
            error.contains("its user lacks a right (") && error.contains("docs/ledger-backends.md"),
            "{missing}: {error}"
        );
        assert!(!error.contains("hush") && !error.contains("user_script"), "{missing}: {error}");
        give(&own, &RIGHTS).await;
        // On the same connection; what was claimed and could not be given back is the claim of this process.
        all_steps(&refused, &format!("{missing} given")).await.expect("the right is there");
    }
}

#[tokio::test]
async fn a_server_that_takes_no_writes_says_why_and_is_used_again_when_it_does() {
    let own = OwnRedis::start("writes").await;
    let ledger = ledger(&own.url);
    all_steps(&ledger, "before").await.expect("it takes them");
    for (name, bad, good, cause, remedy) in [
        ("maxmemory", "1", "0", "its memory is full (OOM command not allowed", "maxmemory"),
        ("min-replicas-to-write", "1", "0", "it has too few replicas", "min-replicas-to-write"),
    ] {
        own.set(name, bad).await;
        let error = all_steps(&ledger, name).await.expect_err(name);
        assert!(error.contains(cause) && error.contains(remedy), "{name}: {error}");
        own.set(name, good).await;
        all_steps(&ledger, name).await.expect("it takes them again");
    }
    own.send::<String>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let error = all_steps(&ledger, "replica").await.expect_err("a replica");
    assert!(error.contains("a replica that takes no writes (READONLY ") && error.contains("the primary"), "{error}");
    own.set("replica-serve-stale-data", "no").await;
    let error = all_steps(&ledger, "replica").await.expect_err("a replica without its primary");
    assert!(error.contains("a replica that has lost its primary (MASTERDOWN "), "{error}");
    own.send::<String>(&["REPLICAOF", "NO", "ONE"]).await;
    all_steps(&ledger, "replica").await.expect("it is a primary again");
}

/// The address leads to the new primary, and the connection that is there to the old one, which is well but for taking writes.
#[tokio::test]
async fn a_connection_to_a_demoted_server_is_left_for_the_primary() {
    let (old, new) = (OwnRedis::start("demoted").await, OwnRedis::start("promoted").await);
    let link = Link::to(old.address()).await;
    let ledger = ledger(&format!("redis://{}/", link.addr()));
    all_steps(&ledger, "before").await.expect("it takes them");
    link.lead_to(new.address());
    all_steps(&ledger, "on the old one").await.expect("the connection stays where it is");
    let (host, port) = new.address().split_once(':').expect("host and port");
    old.send::<String>(&["REPLICAOF", host, port]).await;
    all_steps(&ledger, "after").await.expect("at the first try");
    assert_eq!(link.connections(), 2);
}

#[tokio::test]
async fn a_password_that_is_refused_is_named() {
    let own = OwnRedis::start("login").await;
    give(&own, &RIGHTS).await;
    own.set("requirepass", "needed").await;
    for url in [own.url_of("worker", "wrong"), own.url_of("nobody", "hush"), own.url.clone()] {
        let error = all_steps(&ledger(&url), "a").await.expect_err("refused");
        assert!(
            error.contains("it refuses the user or the password (") && error.contains("ledger.url_file"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_evicts_or_forgets_is_told_of_by_whom_it_tells() {
    let own = OwnRedis::start("keeping").await;
    let url = own.url_of("worker", "hush");
    give(&own, &RIGHTS).await;
    let keeping = async |url: &str| ledger(url).try_out().await.expect("it takes the steps");

    let sound = keeping(&own.url).await;
    assert_eq!((sound.warning(), sound.unknown()), (None, None), "append-only, and without a limit");
    assert_eq!(own.send::<i64>(&["DBSIZE"]).await, 0, "it leaves nothing behind");
    let silent = keeping(&url).await;
    assert_eq!(silent.warning(), None);
    assert!(silent.unknown().is_some_and(|what| what.contains("evicts") && what.contains("restarted")), "{silent:?}");

    own.set("maxmemory", "1gb").await;
    own.set("maxmemory-policy", "allkeys-lru").await;
    own.set("appendonly", "no").await;
    for rights in [&["+info", "+config|get"][..], &["+config|get"], &["+info"]] {
        give(&own, &[&RIGHTS, rights].concat()).await;
        let lossy = keeping(&url).await;
        let warning = lossy.warning().expect("a warning");
        assert!(warning.contains("maxmemory-policy allkeys-lru; set it to noeviction"), "{rights:?}: {warning}");
        // INFO alone says nothing of snapshots.
        let forgets = warning.contains("forgets all records when it is restarted");
        assert_eq!((forgets, lossy.unknown().is_none()), (rights != ["+info"], rights != ["+info"]), "{rights:?}");
    }
    own.set("save", "3600 1").await;
    own.set("maxmemory-policy", "noeviction").await;
    let sound = keeping(&own.url).await;
    assert_eq!((sound.warning(), sound.unknown()), (None, None), "snapshots");
}

/// What a person sees: the worker's log, and `check --connect`.
#[tokio::test]
async fn the_worker_and_check_say_the_same_of_a_server() {
    let own = OwnRedis::start("said").await;
    let world = World::new("ledger_said").await;
    let settings = || {
        let daemon = world.daemon().set("s3.buckets", BUCKET);
        daemon.set("ledger.backend", "redis").set("ledger.url", own.url.clone())
    };
    own.set("maxmemory", "1").await;
    own.set("maxmemory-policy", "volatile-ttl").await;
    own.set("appendonly", "no").await;
    let daemon = settings().set("api.probe_interval", "200ms").start_ready().await;
    let warning = "evicts records when its memory is full (maxmemory-policy volatile-ttl";
    eventually("the warning", STARTED, async || {
        let named = |line: &&String| line.contains(warning);
        daemon.logs().iter().find(named).map(drop).ok_or_else(|| format!("{:?}", daemon.logs()))
    })
    .await;
    let stored = world.upload("face.jpg", jpeg::tiny(1)).await;
    let job = world.submit(&stored.key).await;
    let full = ["its memory is full (OOM command not allowed", "raise its maxmemory"];
    eventually("the cause in the log", STARTED, async || {
        let named = |line: &&String| full.iter().all(|part| line.contains(part));
        daemon.logs().iter().find(named).map(drop).ok_or_else(|| format!("{:?}", daemon.logs()))
    })
    .await;

    let check = async || {
        let check = settings().command(&["check", "--connect"]);
        let code = check.wait_output(STARTED).await.code();
        (code, check.stdout().join("\n"))
    };
    let (code, said) = check().await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(&format!("failed  ledger    the ledger at {}: {}", own.address(), full[0])), "{said}");
    assert!(said.contains("= help: raise its maxmemory"), "{said}");

    own.set("maxmemory", "1gb").await;
    world.event_for(&job).await;
    let (code, said) = check().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("ok      ledger    redis://")
            && said.contains(&format!("note    ledger    the ledger's server {warning}")),
        "{said}"
    );
    world.assert_drained().await;
}
