//! A Redis for one test, which may do to it what it likes.

use antispoofd::ledger::{Clock, Redis, RedisOptions};
use redis::FromRedisValue;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Stopped, and its data deleted, when dropped.
pub(crate) struct OwnRedis {
    instance: String,
    pub(crate) url: String,
}

impl OwnRedis {
    /// `name` is its own among the tests.
    pub(crate) async fn start(name: &str) -> Self {
        let instance = format!("it-redis-{name}");
        services(&instance, &["up", "--only", "redis"]).await;
        let mut own = Self { url: String::new(), instance };
        let environment = services(&own.instance, &["env"]).await;
        let url = environment.lines().find_map(|line| line.strip_prefix("export ANTISPOOF_TEST_REDIS_URL="));
        own.url = url.expect("a URL").replace('\\', "");
        own.send::<String>(&["FLUSHALL"]).await;
        own
    }

    pub(crate) async fn restart(&self) {
        services(&self.instance, &["restart", "redis"]).await;
    }

    /// `host:port`
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("redis://").trim_end_matches('/')
    }

    /// The URL for this user.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@{}/", self.address())
    }

    /// Sends a command as the user without a password.
    pub(crate) async fn send<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url.as_str()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("the server");
        let mut query = redis::cmd(command[0]);
        query.arg(&command[1..]);
        query.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    pub(crate) async fn set(&self, name: &str, value: &str) {
        self.send::<String>(&["CONFIG", "SET", name, value]).await;
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        // One that does not stop is litter, and no reason to fail.
        command(&self.instance, &["clean"]).output().ok();
    }
}

/// A ledger at this URL, under the prefix `own`.
pub(crate) fn ledger(url: &str) -> Redis {
    let day = Duration::from_hours(24);
    let options = RedisOptions {
        url,
        prefix: "own",
        ttl: day,
        claim_life: Duration::from_mins(10),
        patience: Duration::from_secs(10),
    };
    Redis::new(&options, Clock::system()).expect("a URL")
}

fn command(instance: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services"));
    command.args(arguments).args(["--instance", instance]).stdin(Stdio::null());
    // What the tests run against is not what this one is.
    command.env_remove("ANTISPOOF_TEST_REDIS_URL");
    command
}

async fn services(instance: &str, arguments: &'static [&'static str]) -> String {
    let mut command = command(instance, arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let output = output.expect("scripts/services can be run");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
