//! The composition root: settings become parts, parts become tracked tasks.

use crate::admin::{self, Pages};
use crate::amqp::{Amqp, ConnectError, Consumed, Observer, Product, Started};
use crate::api::{Vendor, VendorError};
use crate::gate::{self, Gate};
use crate::health::Health;
use crate::ledger::{self, AnyLedger, Clock, File, Memory, Redis, RedisOptions};
use crate::lifecycle::{Signals, Stop, Tasks, UnexpectedEnd};
use crate::pipeline::{ClockAndRng, LedgerClient, Pipeline, Rules, Stuck};
use crate::s3::{Store, StoreError};
use crate::settings::{ApiAuth, LedgerBackend, ObjectKeys, OrientationPolicy, Settings, follow};
use crate::telemetry::{JobLog, KeyNames, Metrics, logs};
use crate::worker::{self, Drained};
use antispoof_core::dropped::Dropped;
use antispoof_core::image::Limits;
use antispoof_core::job::Admission;
use antispoof_core::ports::Ports;
use antispoof_core::retry::{Backoff, InvalidBackoff, RetryPolicy};
use secrecy::ExposeSecret as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The first and the longest wait between tries to publish what has to be published.
const PUBLISH_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A claim in Redis outlives the longest silence between two renewals (reading the image, or one call) by this.
const CLAIM_MARGIN: Duration = Duration::from_secs(30);

/// The longest wait of a probe.
const LONGEST_PROBE_WAIT: Duration = Duration::from_mins(1);

/// When the connections close, each side has two seconds to say goodbye. What takes longer is not waited for.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// The worker could not be started, or a part of it ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It never ran.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It was stopped because of this, and what was in hand is settled as far as it could be.
    #[error(transparent)]
    Task(UnexpectedEnd),
}

/// The worker could not be started. What is merely unreachable is no reason: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin port is taken, or may not be used.
    #[error("listen on admin.listen = {address}: {source}")]
    Admin {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Signal handlers.
    #[error("install the signal handlers: {0}")]
    Signals(std::io::Error),
    /// The store's client.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vendor's client.
    #[error(transparent)]
    Vendor(#[from] VendorError),
    /// The ledger's file.
    #[error(transparent)]
    LedgerFile(#[from] ledger::OpenError),
    /// The ledger's URL.
    #[error(transparent)]
    LedgerUrl(#[from] ledger::UrlError),
    /// The broker is one that cannot be worked with.
    #[error(transparent)]
    Broker(ConnectError),
    /// The settings let waits through that contradict each other.
    #[error("set up the waits: {0}")]
    Waits(#[from] InvalidBackoff),
}

impl StartError {
    /// What to do about it, where the message does not say so itself.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        match self {
            Self::Admin { source, .. } => Some(match source.kind() {
                AddrInUse => {
                    "another process has this port, as a second worker on this machine would: give each its own admin.listen, or port 0"
                }
                AddrNotAvailable => "this machine has no such address: correct admin.listen; 0.0.0.0 is every address",
                PermissionDenied => "ports below 1024 are for root: choose a higher one in admin.listen",
                _ => "correct admin.listen",
            }),
            Self::LedgerFile(ledger::OpenError::Io { .. }) => Some(
                "let the user that runs antispoofd write to the file and its folder, or correct ledger.path; `antispoofd check --connect` tries it",
            ),
            _ => None,
        }
    }
}

/// The real edges.
struct Edges;

impl Ports for Edges {
    type Store = Store;
    type Detector = Vendor;
    type Ledger = AnyLedger;
    type Broker = Amqp;
}

/// Runs the worker until a signal ends it, or one of its tasks does.
pub async fn run(settings: Settings) -> Result<Drained, Error> {
    let stop = Stop::new();
    let tasks = Tasks::new(stop.clone());
    let signals = Signals::install().map_err(StartError::Signals)?;
    tasks.spawn_until("signals", stop.closing(), signals.drive(stop.clone()));
    run_until(settings, stop, tasks).await
}

/// Runs the worker until `stop`, or until one of `tasks` ends.
async fn run_until(settings: Settings, stop: Stop, tasks: Tasks) -> Result<Drained, Error> {
    let address = settings.admin.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Admin { address, source })?;
    let metrics = Arc::new(Metrics::new());
    let gate = Gate::new(gate_policy(&settings)?);
    let health = Arc::new(Health::new(gate.clone(), stop.clone()));
    tasks.spawn_until("log-writer", stop.closing(), logs::writer_ended());

    // First, because nothing may be consumed without it.
    let ledger = open_ledger(&settings).await?;
    // Connecting takes round trips, and nothing else has to wait for it.
    let Started { amqp: broker, jobs, dead, supervising, reading } = Amqp::start(
        settings.amqp.clone(),
        &settings.retry.delays,
        settings.worker.concurrency,
        settings.worker.instance.clone(),
        Arc::new(Observed { metrics: metrics.clone(), health: health.clone() }),
        stop.closing(),
    );
    let unusable = Arc::<Mutex<Option<ConnectError>>>::default();
    tasks.spawn("amqp-supervisor", stop.closing(), supervise(supervising, stop.clone(), unusable.clone()));
    // From the soft stop on it is asked to read no more.
    tasks.spawn("amqp-dead-letters", stop.soft(), reading);
    let rules = rules(&settings)?;
    let log = JobLog::new(metrics.clone(), key_names(&settings));
    let pipeline = Arc::new(Pipeline::<Edges> {
        store: Store::new(settings.s3.clone()).await.map_err(StartError::from)?,
        detector: Vendor::new(settings.api.clone(), settings.image.digest).map_err(StartError::from)?,
        ledger: LedgerClient::new(ledger, settings.ledger.on_error, metrics.clone()),
        broker,
        rules,
        clock_and_rng: ClockAndRng { now: OffsetDateTime::now_utc, random: fastrand::f64 },
        gate: gate.clone(),
        stuck: Stuck::default(),
        log,
        stop: stop.clone(),
    });

    let ledger_open = CancellationToken::new();
    let writing = pipeline.clone();
    tasks.spawn_until("ledger-writer", &ledger_open, async move { writing.ledger.inner().writer_ended().await });
    let asking = pipeline.clone();
    tasks.spawn_once("ledger-check", async move { look_at_ledger(asking.ledger.inner()).await });
    tasks.spawn_until("secret-files", stop.closing(), follow(settings.rotating()));
    if let Ok(local) = listener.local_addr() {
        info!(admin.address = %local, "antispoofd {} started, admin port at {local}", crate::VERSION);
    }
    let pages = Pages { health: health.clone(), metrics, gate };
    tasks.spawn("admin", stop.closing(), admin::serve(listener, pages, stop.closing().clone()));
    let (concurrency, drain) = (settings.worker.concurrency, settings.worker.drain_timeout);
    let long_lived = tasks.clone();
    let working = {
        let pipeline = pipeline.clone();
        async move { Box::pin(worker::run(pipeline, jobs, dead, concurrency, drain, &long_lived, health)).await }
    };
    // A worker that panicked leaves what it had in hand to the broker.
    let drained = tasks.spawn("worker", stop.soft(), working).join().await.unwrap_or(Drained::Cut);

    ledger_open.cancel();
    pipeline.ledger.inner().close().await;
    // Last: the connections, so that the acks of the last jobs are out.
    stop.closing().cancel();
    tasks.wait(LAST_TASKS).await;
    if let Some(error) = unusable.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(StartError::Broker(error).into());
    }
    if let Some(end) = tasks.unexpected_end() {
        return Err(Error::Task(end.clone()));
    }
    match drained {
        Drained::Whole => info!("drained, nothing left in hand"),
        Drained::Cut => info!("stopped"),
    }
    Ok(drained)
}

/// A broker that can never be worked with is no unexpected end of the task: it stops the worker, and the command reports it.
async fn supervise(
    supervising: impl Future<Output = Result<(), ConnectError>>,
    stop: Stop,
    unusable: Arc<Mutex<Option<ConnectError>>>,
) {
    if let Err(error) = supervising.await {
        unusable.lock().unwrap_or_else(PoisonError::into_inner).replace(error);
        stop.soft().cancel();
        stop.closing().cancelled().await;
    }
}

async fn look_at_ledger(ledger: &AnyLedger) {
    match ledger.look().await {
        Ok(keeping) => {
            if let Some(warning) = keeping.warning() {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => tracing::error!(
            %error,
            "{error}; until it answers, nothing is paid for or jobs are checked without it, as ledger.on_error says"
        ),
    }
}

fn rules(settings: &Settings) -> Result<Rules, StartError> {
    let retry = &settings.retry;
    let buckets = (!settings.s3.allow_any_bucket).then(|| settings.s3.buckets.clone());
    Ok(Rules {
        admission: Admission { default_bucket: settings.s3.default_bucket.clone(), buckets },
        limits: Limits {
            min_side: settings.image.min_side,
            max_pixels: settings.image.max_pixels,
            upright_only: settings.image.orientation == OrientationPolicy::Reject,
        },
        policy: RetryPolicy {
            quick_attempts: retry.quick_attempts,
            quick: Backoff::try_new(retry.quick_min, retry.quick_max)?,
            delays: retry.delays.iter().map(|delay| delay.duration).collect(),
            max_attempts: retry.max_attempts,
            in_doubt: settings.api.in_doubt,
        },
        publish: Backoff::try_new(PUBLISH_WAITS.0, PUBLISH_WAITS.1)?,
        fetch_limit: settings.s3.timeout + settings.s3.read_timeout,
        review_below: settings.api.review_below,
        source: format!("antispoofd/{}", settings.worker.instance),
        endpoint: settings.api.url.clone(),
        reuse: settings.ledger.reuse,
    })
}

fn gate_policy(settings: &Settings) -> Result<gate::Policy, StartError> {
    let probe_interval = settings.api.probe_interval;
    Ok(gate::Policy {
        concurrency: settings.worker.concurrency,
        rejection_streak: settings.api.rejection_streak,
        probe: Backoff::try_new(probe_interval, LONGEST_PROBE_WAIT.max(probe_interval))?,
        roll: fastrand::f64,
    })
}

/// Opens the ledger that the settings name. One in Redis is not connected yet.
pub async fn open_ledger(settings: &Settings) -> Result<AnyLedger, StartError> {
    let (ledger, clock) = (&settings.ledger, Clock::system());
    Ok(match &ledger.backend {
        LedgerBackend::None => AnyLedger::Nothing,
        LedgerBackend::Memory => AnyLedger::Memory(Box::new(Memory::new(ledger.max_entries, ledger.ttl, clock))),
        LedgerBackend::File(path) => {
            AnyLedger::File(Box::new(File::open(path, ledger.ttl, ledger.timeout, clock).await?))
        }
        LedgerBackend::Redis(url) => {
            let options = RedisOptions {
                url: url.expose(),
                prefix: &settings.amqp.prefix,
                ttl: ledger.ttl,
                claim_life: settings.api.timeout.max(settings.s3.timeout + settings.s3.read_timeout) + CLAIM_MARGIN,
                patience: ledger.timeout,
            };
            AnyLedger::Redis(Box::new(Redis::new(&options, clock)?.following(url.clone())))
        }
    })
}

/// Without a key of its own, the hash of object keys has the API's secret, which all replicas share, too.
fn key_names(settings: &Settings) -> KeyNames {
    if settings.log.object_keys == ObjectKeys::Plain {
        return KeyNames::Plain;
    }
    let secret = match (&settings.log.hash_key, &settings.api.auth) {
        (Some(secret), _) => secret.clone(),
        // As it is at the start, for the life of the process: the hashes stay the same when it is replaced.
        (None, ApiAuth::Keys { secret, .. } | ApiAuth::Token(secret)) => secret.now(),
    };
    let key = blake3::derive_key("antispoofd 2026 object keys in log lines", secret.expose_secret().as_bytes());
    KeyNames::Hashed(Box::new(key))
}

/// What the broker's edge says of itself, for the metrics and for the probes.
struct Observed {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Observer for Observed {
    fn connected(&self, up: bool) {
        self.health.connected(up);
        self.metrics.amqp_connected.set(up.into());
        if !up {
            self.metrics.amqp_blocked.set(0);
        }
    }

    fn met(&self, broker: &Product) {
        self.metrics.broker_is(broker.name(), broker.version());
    }

    fn reconnecting(&self, _reason: &str) {
        self.metrics.amqp_reconnects.inc();
    }

    fn delivered(&self, redelivered: bool) {
        let label = if redelivered { "true" } else { "false" };
        self.metrics.deliveries.get_or_create(&[("redelivered", label)]).inc();
    }

    fn cut(&self, queue: Consumed) {
        let queue = match queue {
            Consumed::Jobs => "jobs",
            Consumed::Dead => "dead",
        };
        self.metrics.amqp_cut.get_or_create(&[("queue", queue)]).inc();
    }

    fn dead_letter(&self, dropped: &Dropped) {
        self.metrics.dropped_by_broker.get_or_create(&[("reason", dropped.label())]).inc();
    }

    fn reading_dead_letters(&self, on: bool) {
        self.metrics.amqp_reading_dead.set(on.into());
    }

    fn blocked(&self, blocked: bool) {
        self.metrics.amqp_blocked.set(blocked.into());
    }

    fn consuming(&self, on: bool) {
        self.health.consuming(on);
        self.metrics.amqp_consuming.set(on.into());
    }

    fn published(&self, took: Duration) {
        self.metrics.amqp_publish.observe(took.as_secs_f64());
    }

    fn late(&self, waiting: bool) {
        self.metrics.amqp_late.inc_by(if waiting { 1 } else { -1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{How, log_of};
    use crate::settings::{Sources, load};

    fn settings(more: &[(&str, &str)]) -> Settings {
        let env =
            [("VIDEOSDK_API_KEY", "key"), ("VIDEOSDK_SECRET", "secret"), ("ANTISPOOFD__S3__BUCKETS", "kyc-uploads")];
        let env = env.iter().chain(more).map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        load(Sources { env, ..Sources::default() }).unwrap_or_else(|problems| panic!("{problems}")).settings
    }

    fn hash_with(secret: &str, hash_key: &str) -> [u8; 32] {
        match key_names(&settings(&[("VIDEOSDK_SECRET", secret), ("ANTISPOOFD__LOG__HASH_KEY", hash_key)])) {
            KeyNames::Hashed(key) => *key,
            KeyNames::Plain => panic!("hashed is the default"),
        }
    }

    #[test]
    fn a_hash_key_outlives_the_credentials() {
        const KEY: &str = "0123456789abcdef";
        assert_eq!(hash_with("first", KEY), hash_with("second", KEY));
        assert_ne!(hash_with("first", KEY), hash_with("first", "fedcba9876543210"));
        assert_ne!(hash_with("first", ""), hash_with("second", ""), "derived from the secret");
        assert_eq!(hash_with("first", ""), hash_with("first", ""), "the same in every replica");
    }

    /// A worker whose broker is away, with a task that ends after the start.
    async fn worker_beside(doomed: impl Future<Output = ()> + Send + 'static) -> (Result<Drained, Error>, String) {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let settings = settings(&[
            ("ANTISPOOFD__AMQP__URL", "amqp://guest:guest@127.0.0.1:1/%2f"),
            ("ANTISPOOFD__ADMIN__LISTEN", "127.0.0.1:0"),
            ("ANTISPOOFD__LEDGER__BACKEND", "memory"),
        ]);
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        let mut ended = None;
        let log = log_of(async {
            tasks.spawn("doomed", stop.closing(), doomed);
            ended = Some(Box::pin(run_until(settings, stop, tasks)).await);
        });
        let log = log.await;
        (ended.expect("it has run"), log)
    }

    #[tokio::test]
    async fn a_worker_whose_task_panics_or_returns_ends_with_its_name() {
        for panics in [true, false] {
            let (ended, log) = worker_beside(async move { assert!(!panics, "of its own accord") }).await;
            let Err(Error::Task(end)) = ended else { panic!("{ended:?}") };
            assert_eq!((end.task, matches!(end.how, How::Panicked(_))), ("doomed", panics));
            assert!(log.contains(&end.to_string()), "{log}");
            assert_eq!(log.matches("while the worker was running").count(), 1, "none of the others: {log}");
            assert!(!log.contains("have not ended"), "in order: {log}");
        }
    }

    #[tokio::test]
    async fn a_worker_that_is_stopped_ends_with_all_its_tasks() {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger");
        let settings = settings(&[
            ("ANTISPOOFD__AMQP__URL", "amqp://guest:guest@127.0.0.1:1/%2f"),
            ("ANTISPOOFD__ADMIN__LISTEN", "127.0.0.1:0"),
            ("ANTISPOOFD__LEDGER__BACKEND", "file"),
            ("ANTISPOOFD__LEDGER__PATH", file.to_str().expect("text")),
        ]);
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        stop.soft().cancel();
        let log = log_of(async {
            let ended = Box::pin(run_until(settings, stop, tasks)).await;
            assert!(matches!(ended, Ok(Drained::Whole)), "{ended:?}");
        });
        let log = log.await;
        assert!(!log.contains("ERROR") && !log.contains("have not ended"), "{log}");
    }
}
