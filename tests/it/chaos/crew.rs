//! The replicas: each a daemon as a process, with links of its own to everything it needs. Only that to the API is common to all: its URL is
//! part of the ledger's keys.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::plan::{Backing, CONCURRENCY, Plan};
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::link::Link;
use crate::harness::metrics;
use crate::harness::store::LEDGER_BUCKET;
use crate::harness::wait::STARTED;
use crate::harness::world::World;

/// How often broker and replica prove that they live, in seconds; the broker gives up after two or three of them.
pub(crate) const HEARTBEAT: u64 = 2;
/// A claim in a shared ledger outlives the longest wait for the store or the API (4 s here) by half a minute.
pub(crate) const CLAIM_SECONDS: u64 = 34;

/// A replica. Its logs are written to a file for each of its lives.
pub(crate) struct Replica {
    pub(crate) amqp: Link,
    pub(crate) s3: Link,
    pub(crate) redis: Link,
    name: String,
    dir: PathBuf,
    builder: DaemonBuilder,
    daemon: Option<Daemon>,
    lives: usize,
}

impl Replica {
    /// Starts the replica with this number and waits until it is ready.
    pub(crate) async fn start(world: &World, plan: &Plan, number: usize, dir: &Path) -> Self {
        let name = format!("replica-{number}");
        let amqp = Link::to(world.services.amqp_address()).await;
        let s3 = Link::to(world.services.s3_address()).await;
        let redis = Link::to(world.services.redis_address()).await;
        let builder = world
            .daemon()
            .set("amqp.url", world.services.amqp_url(&amqp.addr().to_string(), world.broker.vhost()))
            .set("amqp.heartbeat", format!("{HEARTBEAT}s"))
            .set("amqp.connect_timeout", "3s")
            .set("amqp.publish_timeout", "3s")
            .set("amqp.watchdog_interval", "2s")
            .set("worker.instance", &name)
            .set("worker.concurrency", CONCURRENCY.to_string())
            .set("worker.drain_timeout", "10s")
            .set("s3.endpoint_url", format!("http://{}", s3.addr()))
            .set("s3.connect_timeout", "1s")
            .set("s3.timeout", "2s")
            .set("s3.read_timeout", "2s")
            .set("api.connect_timeout", "1s")
            .set("api.timeout", "3s")
            .set("api.probe_interval", "200ms")
            .set("retry.delays", "1s")
            // Enough for an image that meets one outage after another, and soon over for an object that is not there.
            .set("retry.max_attempts", if plan.brief { "12" } else { "25" })
            .set("ledger.timeout", "1s");
        let builder = match plan.ledger {
            Backing::Redis => builder
                .set("ledger.backend", "redis")
                .set("ledger.url", world.services.redis_url(&redis.addr().to_string())),
            Backing::S3 => builder
                .set("ledger.backend", "s3")
                .set("ledger.bucket", LEDGER_BUCKET)
                .set("ledger.prefix", world.broker.vhost()),
            Backing::File => builder
                .set("ledger.backend", "file")
                .set("ledger.path", dir.join(format!("{name}.redb")).display().to_string()),
            Backing::Memory => builder.set("ledger.backend", "memory"),
        };
        let mut replica = Self { amqp, s3, redis, name, dir: dir.to_owned(), builder, daemon: None, lives: 0 };
        replica.begin().await;
        replica
    }

    /// The running daemon.
    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("between two strikes every replica runs")
    }

    /// A figure of its metrics page. None when it does not answer.
    pub(crate) async fn figure(&self, series: &str) -> Option<f64> {
        let (_, page) = self.daemon().get("/metrics").await.ok()?;
        metrics::sum(&page, series)
    }

    /// SIGKILL. Returns how many deliveries it had in hand, as it said itself just before. To be followed by `begin`.
    pub(crate) async fn kill(&mut self) -> Option<f64> {
        let in_hand = self.figure("antispoofd_jobs_in_flight").await;
        self.daemon().kill();
        self.end().await;
        in_hand
    }

    /// SIGTERM, the end it makes of itself, and a new life.
    pub(crate) async fn drain(&mut self) -> Option<f64> {
        let in_hand = self.figure("antispoofd_jobs_in_flight").await;
        self.term().await;
        self.begin().await;
        in_hand
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn term(&mut self) -> ExitStatus {
        self.daemon().term();
        self.end().await
    }

    /// A new life. Returns when it is ready.
    pub(crate) async fn begin(&mut self) {
        self.lives += 1;
        let daemon = self.daemon.insert(self.builder.clone().start());
        daemon.wait_ready().await;
    }

    async fn end(&mut self) -> ExitStatus {
        let ended = self.daemon().wait_exit(STARTED).await;
        self.keep_log();
        self.daemon = None;
        ended
    }

    fn keep_log(&self) {
        let Some(daemon) = &self.daemon else { return };
        let file = self.dir.join(format!("{}.{}.log", self.name, self.lives));
        // Without a log a failure is harder to understand, and no less one.
        std::fs::write(file, daemon.logs().join("\n")).ok();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.keep_log();
    }
}
