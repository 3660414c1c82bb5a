//! The replicas of a Deployment, and what Kubernetes does to them: a surge of one, readiness before the next goes, SIGTERM, a grace period, SIGKILL.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout};

use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::http;
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals, soon};
use crate::harness::world::World;

/// `worker.drain_timeout` of all of them.
const DRAIN: Duration = Duration::from_secs(10);
/// What the chart makes of it: terminationGracePeriodSeconds is the drain and 15 s.
pub(crate) const GRACE: Duration = Duration::from_secs(25);
/// Longer than any scenario.
const A_LIFE: Duration = Duration::from_mins(5);

const SESSIONS_LOST: &str = "antispoofd_amqp_reconnects_total";

/// What the workers remember with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ledger {
    None,
    Memory,
    Redis,
}

/// What differs between two releases, as far as it can with one program: what a new release may set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    Old,
    /// Fewer jobs in hand, another log, a grace period that is told, two threads, and one more delay queue to declare.
    New,
}

/// How a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with 0, this long after SIGTERM.
    Drained(Duration),
    /// The grace period was over first.
    Killed,
}

/// A replica.
pub(crate) struct Pod {
    name: String,
    daemon: Daemon,
    retired: watch::Sender<bool>,
    looking: JoinHandle<usize>,
    /// Sessions with the broker that it has lost, or could not build before it was ready.
    sessions_lost: f64,
}

/// What the pods that are gone said of themselves just before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Messages that came with the broker's word that they had been delivered before.
    pub(crate) redelivered: f64,
    /// Jobs that were suspected of ending their worker.
    pub(crate) alone: f64,
    /// Calls that may have been paid for without a verdict.
    pub(crate) in_doubt: f64,
}

/// All replicas.
pub(crate) struct Fleet {
    builder: DaemonBuilder,
    pub(crate) pods: Vec<Pod>,
    pub(crate) told: Told,
    /// From exec to ready.
    pub(crate) starts: Vec<Duration>,
    /// From SIGTERM to the end.
    pub(crate) drains: Vec<Duration>,
    number: usize,
}

// === impl Release ===

impl Release {
    /// Jobs in hand of one replica.
    pub(crate) fn concurrency(self) -> u64 {
        match self {
            Self::Old => 8,
            Self::New => 6,
        }
    }

    fn settings(self, builder: DaemonBuilder) -> DaemonBuilder {
        let builder = builder.set("worker.concurrency", self.concurrency().to_string());
        match self {
            Self::Old => builder.set("log.format", "json").set("retry.delays", "1s"),
            Self::New => builder
                .set("log.format", "text")
                .set("retry.delays", "1s,2s")
                .set("worker.threads", "2")
                .set("worker.termination_grace", format!("{}s", GRACE.as_secs())),
        }
    }
}

// === impl Pod ===

impl Pod {
    fn start(builder: &DaemonBuilder, release: Release, number: usize) -> Self {
        let name = format!("antispoofd-{number}");
        let daemon = release.settings(builder.clone()).set("worker.instance", &name).start();
        let retired = watch::Sender::new(false);
        let looking = spawn_local(stays_ready(format!("http://{}/readyz", daemon.admin()), retired.subscribe()));
        Self { name, daemon, retired, looking, sessions_lost: 0.0 }
    }

    /// A figure of its metrics page.
    async fn figure(&self, series: &str) -> f64 {
        self.daemon.metric(series).await.unwrap_or_else(|| panic!("{} has no {series}", self.name))
    }

    /// Waits until all it can have in hand is in hand.
    pub(crate) async fn until_full(&self, release: Release) {
        let all = f64::from(u32::try_from(release.concurrency()).expect("a small number"));
        soon("a replica to have its hands full", STARTED, async || {
            match self.figure("antispoofd_jobs_in_flight").await {
                now if now >= all => Ok(()),
                now => Err(format!("{now} in hand")),
            }
        })
        .await;
    }

    /// From here on it need not be ready. It was until now.
    async fn retire(&mut self) {
        self.retired.send_replace(true);
        let looks = (&mut self.looking).await;
        let looks = looks.unwrap_or_else(|problem| panic!("{} did not stay ready: {problem}", self.name));
        assert!(looks > 0, "{} was never seen ready", self.name);
    }

    /// SIGTERM, and SIGKILL when the grace period is over.
    async fn delete(self, grace: Duration) -> End {
        let since = Instant::now();
        self.daemon.term();
        let ended = soon("a replica to end", A_LIFE, async || {
            if self.daemon.is_running() { Err("it runs".to_owned()) } else { Ok(since.elapsed()) }
        });
        if let Ok(took) = timeout(grace, ended).await {
            let status = self.daemon.wait_exit(STARTED).await;
            assert!(status.success(), "{} ended with {status}", self.name);
            return End::Drained(took);
        }
        self.daemon.kill();
        self.daemon.wait_exit(STARTED).await;
        End::Killed
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

/// An eager kubelet: from the first time it is ready on it stays so until it is asked to go.
async fn stays_ready(url: String, retired: watch::Receiver<bool>) -> usize {
    let client = http::client();
    let mut ready = 0;
    eventually("a replica to be retired", A_LIFE, async || {
        let answer = http::get(&client, &url).await;
        if *retired.borrow() {
            return Ok(());
        }
        match answer {
            Ok((StatusCode::OK, _)) => ready += 1,
            other => assert_eq!(ready, 0, "ready {ready} times, and then: {other:?}"),
        }
        Err("it is not".to_owned())
    })
    .await;
    ready
}

// === impl Fleet ===

impl Fleet {
    /// None yet.
    pub(crate) fn new(world: &Arc<World>, ledger: Ledger) -> Self {
        let builder = match ledger {
            Ledger::None => world.daemon().set("ledger.backend", "none"),
            Ledger::Memory => world.daemon().set("ledger.backend", "memory"),
            Ledger::Redis => world.daemon_with_redis(),
        };
        let builder = builder
            .set("worker.drain_timeout", format!("{}s", DRAIN.as_secs()))
            .set("api.connect_timeout", "1s")
            .set("api.timeout", "6s")
            // Less than they could call: some of what each has in hand waits for its turn, and is handed back when the worker is asked to go.
            .set("api.rate_limit", "18")
            // So short, because a claim in Redis outlives them by half a minute.
            .set("s3.connect_timeout", "1s")
            .set("s3.timeout", "1s")
            .set("s3.read_timeout", "1s");
        Self { builder, pods: Vec::new(), told: Told::default(), starts: Vec::new(), drains: Vec::new(), number: 0 }
    }

    /// So many more at once. Returns when all are ready; those that were there have not noticed.
    pub(crate) async fn scale_up(&mut self, release: Release, count: usize) {
        let since = Instant::now();
        let before = self.pods.len();
        for _ in 0..count {
            self.pods.push(Pod::start(&self.builder, release, self.number));
            self.number += 1;
        }
        let starts = join_all(self.pods[before..].iter_mut().map(async |pod| {
            pod.daemon.wait_ready().await;
            let took = since.elapsed();
            // The first of all may have met a queue that another was just making, and tried again.
            pod.sessions_lost = pod.figure(SESSIONS_LOST).await;
            took
        }));
        self.starts.extend(starts.await);
        self.assert_undisturbed().await;
    }

    /// A step of a rolling update with maxSurge 1 and maxUnavailable 0: a new one is started, and when that is ready, the oldest is asked to go. Returns when
    /// it is gone.
    pub(crate) async fn replace(&mut self, grace: Duration) -> End {
        self.scale_up(Release::New, 1).await;
        self.scale_down(1, grace).await[0]
    }

    /// SIGTERM to so many at once, the oldest first, each with its grace period.
    pub(crate) async fn scale_down(&mut self, count: usize, grace: Duration) -> Vec<End> {
        let mut going: Vec<_> = self.pods.drain(..count).collect();
        join_all(going.iter_mut().map(Pod::retire)).await;
        for pod in &going {
            self.told.hear(pod).await;
        }
        let ends = join_all(going.into_iter().map(|pod| pod.delete(grace))).await;
        let drains = ends.iter().filter_map(|end| match end {
            End::Drained(took) => Some(*took),
            End::Killed => None,
        });
        self.drains.extend(drains);
        ends
    }

    /// SIGKILL to the oldest, without a word: what becomes of a node takes its pods with it. Returns how many jobs it had in hand at most.
    pub(crate) async fn evict(&mut self) -> u64 {
        let mut pod = self.pods.remove(0);
        self.told.hear(&pod).await;
        pod.retire().await;
        pod.daemon.kill();
        pod.daemon.wait_exit(STARTED).await;
        Release::Old.concurrency()
    }

    /// The sum of what all have said, those that are gone and those that are there.
    pub(crate) async fn told(&self) -> Told {
        let mut told = self.told;
        for pod in &self.pods {
            told.hear(pod).await;
        }
        told
    }

    /// Since it was ready nobody has lost its session, and all consume: at once, or soon when a vendor that hung has closed the gate.
    async fn assert_undisturbed(&self) {
        for pod in &self.pods {
            if pod.daemon.metric("antispoofd_gate_open").await == Some(0.0) {
                eventually_equals("the gate to open", EVENTUALLY, Some(1.0), async || {
                    pod.daemon.metric("antispoofd_gate_open").await
                })
                .await;
                eventually_equals("it to consume", SOON, Some(1.0), async || {
                    pod.daemon.metric("antispoofd_amqp_consuming").await
                })
                .await;
            }
            let now = (pod.daemon.metric(SESSIONS_LOST).await, pod.daemon.metric("antispoofd_amqp_consuming").await);
            assert_eq!(now, (Some(pod.sessions_lost), Some(1.0)), "{} keeps its session and consumes", pod.name);
        }
    }
}

// === impl Told ===

impl Told {
    async fn hear(&mut self, pod: &Pod) {
        self.redelivered += pod.figure("antispoofd_deliveries_total{redelivered=\"true\"}").await;
        self.alone += pod.figure("antispoofd_jobs_run_alone_total").await;
        self.in_doubt += pod.figure("antispoofd_api_in_doubt_total").await;
    }
}

// === impl End ===

impl End {
    /// It ended by itself, and took no longer than what it had in hand.
    pub(crate) fn assert_drained(self) {
        assert!(matches!(self, Self::Drained(_)), "the grace period was not enough");
    }
}
