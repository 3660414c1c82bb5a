//! The composition root: settings become parts, parts become supervised tasks.

use crate::admin::{self, Health};
use crate::amqp::{Amqp, ConnectError, Consumed, Observer, Product, Started};
use crate::api::{Vendor, VendorError};
use crate::gate::{self, Gate};
use crate::ledger::{self, AnyLedger, Clock, File, Memory, Redis, RedisOptions};
use crate::lifecycle::{Signals, Stop};
use crate::pipeline::{ClockAndRng, LedgerClient, OnLedgerError, Pipeline, Reuse, Rules, Stuck};
use crate::s3::{Store, StoreError};
use crate::settings::{
    ApiAuth, DigestKind, InDoubtPolicy, LedgerBackend, LedgerErrorPolicy, LedgerReuse, ObjectKeys, OrientationPolicy,
    Settings, follow,
};
use crate::telemetry::{JobLog, KeyNames, Metrics};
use crate::worker::{self, Drained};
use antispoof_core::dropped::Dropped;
use antispoof_core::image::Limits;
use antispoof_core::job::Admission;
use antispoof_core::ports::Ports;
use antispoof_core::retry::{Backoff, InDoubt, InvalidBackoff, RetryPolicy};
use antispoof_core::tap;
use secrecy::ExposeSecret as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tracing::info;

/// The first and the longest wait between tries to publish what has to be published.
const PUBLISH_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A claim in Redis outlives the longest silence between two renewals (reading the image, or one call) by this.
const CLAIM_MARGIN: Duration = Duration::from_secs(30);

/// The longest wait of a probe.
const LONGEST_PROBE_WAIT: Duration = Duration::from_mins(1);

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

/// Runs the worker until a signal ends it.
pub async fn run(settings: Settings) -> Result<Drained, StartError> {
    let stop = Stop::new();
    let signals = Signals::install().map_err(StartError::Signals)?;
    let address = settings.admin.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Admin { address, source })?;
    let metrics = Arc::new(Metrics::new());
    let gate = Gate::new(gate_policy(&settings)?);

    // First, because nothing may be consumed without it.
    let ledger = open_ledger(&settings).await?;
    // Connecting takes round trips, and nothing else has to wait for it.
    let Started { amqp: broker, jobs, dead, running } = Amqp::start(
        settings.amqp.clone(),
        &settings.retry.delays,
        settings.worker.concurrency,
        settings.worker.instance.clone(),
        metrics.clone(),
        stop.closing(),
    );
    let supervisor = tokio::spawn(running);
    let rules = rules(&settings)?;
    let log = JobLog::new(metrics.clone(), key_names(&settings));
    let pipeline = Arc::new(Pipeline::<Edges> {
        store: Store::new(settings.s3.clone()).await?,
        detector: Vendor::new(settings.api.clone(), digest(settings.image.digest))?,
        ledger: LedgerClient::new(ledger, on_ledger_error(&settings), metrics.clone()),
        broker,
        rules,
        ambient: ClockAndRng { now: OffsetDateTime::now_utc, random: fastrand::f64 },
        gate: gate.clone(),
        stuck: Stuck::default(),
        log,
        stop: stop.clone(),
    });

    let asking = pipeline.clone();
    tokio::spawn(async move {
        match asking.ledger.inner().look().await {
            Ok(keeping) => {
                if let Some(warning) = keeping.warning() {
                    tracing::warn!("{warning}");
                }
            }
            Err(error) => tracing::error!(
                %error,
                "{error}; until it answers, nothing is paid for or jobs are judged without, as ledger.on_error says"
            ),
        }
    });
    let secrets = tokio::spawn(follow(settings.rotating()));
    if let Ok(local) = listener.local_addr() {
        info!(admin.address = %local, "antispoofd {} started, admin port at {local}", crate::VERSION);
    }
    let admin = tokio::spawn(admin::serve(listener, Health::new(metrics, gate, stop.clone()), stop.closing().clone()));
    let signals = tokio::spawn(signals.drive(stop.clone()));
    let worker = &settings.worker;
    let working = worker::run(pipeline.clone(), jobs, dead, worker.concurrency, worker.drain_timeout);
    let drained = Box::pin(working).await;

    pipeline.ledger.inner().close().await;
    // Last: the connections, so that the acks of the last jobs are out.
    stop.closing().cancel();
    let ended = supervisor.await;
    signals.abort();
    secrets.abort();
    admin.abort();
    // Without it nothing is consumed, and the worker takes that for the end: nobody asked for it.
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(StartError::Broker(error)),
        Err(_panicked) => {
            tracing::error!("the supervisor of the broker connections panicked");
            return Ok(Drained::Cut);
        }
    }
    match drained {
        Drained::Whole => info!("drained, nothing left in hand"),
        Drained::Cut => info!("stopped"),
    }
    Ok(drained)
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
            in_doubt: match settings.api.in_doubt {
                InDoubtPolicy::Retry => InDoubt::Retry,
                InDoubtPolicy::Park => InDoubt::Park,
            },
        },
        publish: Backoff::try_new(PUBLISH_WAITS.0, PUBLISH_WAITS.1)?,
        fetch_limit: settings.s3.timeout + settings.s3.read_timeout,
        review_below: settings.api.review_below,
        source: format!("antispoofd/{}", settings.worker.instance),
        endpoint: settings.api.url.clone(),
        reuse: match settings.ledger.reuse {
            LedgerReuse::Off => Reuse::Off,
            LedgerReuse::Job => Reuse::Job,
            LedgerReuse::Object => Reuse::Object,
        },
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

fn on_ledger_error(settings: &Settings) -> OnLedgerError {
    match settings.ledger.on_error {
        LedgerErrorPolicy::Hold => OnLedgerError::Hold,
        LedgerErrorPolicy::Proceed => OnLedgerError::Proceed,
    }
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

fn digest(kind: DigestKind) -> tap::DigestKind {
    match kind {
        DigestKind::Sha256 => tap::DigestKind::Sha256,
        DigestKind::Blake3 => tap::DigestKind::Blake3,
        DigestKind::Off => tap::DigestKind::Off,
    }
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

impl Observer for Metrics {
    fn connected(&self, up: bool) {
        self.amqp_connected.set(up.into());
        if !up {
            self.amqp_blocked.set(0);
        }
    }

    fn met(&self, broker: &Product) {
        self.broker_is(broker.name(), broker.version());
    }

    fn reconnecting(&self, _reason: &str) {
        self.amqp_reconnects.inc();
    }

    fn delivered(&self, redelivered: bool) {
        let label = if redelivered { "true" } else { "false" };
        self.deliveries.get_or_create(&[("redelivered", label)]).inc();
    }

    fn cut(&self, queue: Consumed) {
        let queue = match queue {
            Consumed::Jobs => "jobs",
            Consumed::Dead => "dead",
        };
        self.amqp_cut.get_or_create(&[("queue", queue)]).inc();
    }

    fn dead_letter(&self, dropped: &Dropped) {
        self.dropped_by_broker.get_or_create(&[("reason", dropped.label())]).inc();
    }

    fn reading_dead_letters(&self, on: bool) {
        self.amqp_reading_dead.set(on.into());
    }

    fn blocked(&self, blocked: bool) {
        self.amqp_blocked.set(blocked.into());
    }

    fn consuming(&self, on: bool) {
        self.amqp_consuming.set(on.into());
        if on {
            self.has_consumed.store(true, Ordering::Relaxed);
        }
    }

    fn published(&self, took: Duration) {
        self.amqp_publish.observe(took.as_secs_f64());
    }

    fn late(&self, waiting: bool) {
        self.amqp_late.inc_by(if waiting { 1 } else { -1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Sources, load};

    fn hash_with(secret: &str, hash_key: &str) -> [u8; 32] {
        let env = [
            ("VIDEOSDK_API_KEY", "key"),
            ("VIDEOSDK_SECRET", secret),
            ("ANTISPOOFD__S3__BUCKETS", "kyc-uploads"),
            ("ANTISPOOFD__LOG__HASH_KEY", hash_key),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let loaded = load(Sources { env, ..Sources::default() }).unwrap_or_else(|problems| panic!("{problems}"));
        match key_names(&loaded.settings) {
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
}
