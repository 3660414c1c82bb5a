//! A Redis of our own, restarted in between.

use antispoof_core::event::Conclusion;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::ports::{Intent, Known, Ledger as _};
use antispoof_core::retry::Attempt;
use antispoofd::ledger::{Clock, Redis, RedisOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use time::OffsetDateTime;

const INSTANCE: &str = "it-ledger-redis";

/// Stopped, and its data deleted, when dropped.
struct OwnRedis;

impl Drop for OwnRedis {
    fn drop(&mut self) {
        // One that does not stop is litter, and no reason to fail.
        command(&["clean"]).output().ok();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services"));
    command.args(arguments).args(["--instance", INSTANCE]).stdin(Stdio::null());
    // What the tests run against is not what this one is.
    command.env_remove("ANTISPOOF_TEST_REDIS_URL");
    command
}

async fn services(arguments: &'static [&'static str]) -> String {
    let output = tokio::task::spawn_blocking(move || command(arguments).output()).await.expect("no panic");
    let output = output.expect("scripts/services can be run");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_restart_between_two_steps_costs_neither_an_error_nor_what_was_recorded() {
    let _own = OwnRedis;
    services(&["up", "--only", "redis"]).await;
    let environment = services(&["env"]).await;
    let url = environment.lines().find_map(|line| line.strip_prefix("export ANTISPOOF_TEST_REDIS_URL="));
    let day = Duration::from_hours(24);
    let options = RedisOptions {
        url: &url.expect("a URL").replace('\\', ""),
        prefix: "restart",
        ttl: day,
        claim_life: Duration::from_mins(10),
        patience: Duration::from_secs(10),
    };
    let ledger = Redis::new(&options, Clock::system()).expect("a URL");
    assert_eq!(ledger.begin("a").await, Ok(Known::Fresh));
    services(&["restart", "redis"]).await;
    assert_eq!(ledger.intent("a").await, Ok(Intent::Recorded));
    services(&["restart", "redis"]).await;
    let failure = Failure::new(Code::ApiRejected, "the API answered 422");
    let end = Conclusion::failed(&failure, None, Attempt::spent(1), OffsetDateTime::UNIX_EPOCH, 0);
    ledger.conclude("a", None, &end, None).await.expect("recorded");
    services(&["restart", "redis"]).await;
    assert_eq!(ledger.begin("a").await, Ok(Known::Concluded(Box::new(end))));
}
