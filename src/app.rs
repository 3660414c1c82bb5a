//! The composition root: settings become parts, parts become tracked tasks.

mod error;
mod observed;
mod parts;

pub use error::{Error, StartError};
pub use parts::open_ledger;

use crate::admin::{self, Pages};
use crate::amqp::{Amqp, ConnectError, Started};
use crate::api::Vendor;
use crate::conversion::Converter;
use crate::gate::Gate;
use crate::health::Health;
use crate::ledger::{AnyLedger, Unfit};
use crate::lifecycle::{DetailSignals, Signals, Stop, Tasks};
use crate::pipeline::{ClockAndRng, HeadMemory, LedgerClient, Pipeline, Stuck};
use crate::s3::Store;
use crate::settings::{Api, Row, Settings, follow};
use crate::status::{self, Recorder, Status};
use crate::telemetry::{JobLog, Metrics, Traces, logs};
use crate::worker::{self, Drained};
use antispoof_core::ports::{Ledger, Ports};
use observed::Observed;
use parts::{conversion, gate_policy, key_names, limiter, places, rules};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// How old such a figure can be: about as old as a scrape.
const FIGURES_EVERY: Duration = Duration::from_secs(15);

/// When the connections close, each side has two seconds to say goodbye. What takes longer is not waited for.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// The real edges.
struct Edges;

impl Ports for Edges {
    type Store = Store;
    type Detector = Vendor;
    type Ledger = AnyLedger;
    type Broker = Amqp;
}

/// Runs the worker until a signal ends it, or one of its tasks does. `rows` are the settings as people see them.
pub async fn run(settings: Settings, rows: Vec<Row>) -> Result<Drained, Error> {
    let stop = Stop::new();
    let tasks = Tasks::new(stop.clone());
    let signals = Signals::install().map_err(StartError::Signals)?;
    tasks.spawn_until("signals", stop.closing(), signals.drive(stop.clone()));
    let detail = DetailSignals::install().map_err(StartError::Signals)?;
    tasks.spawn_until("log-level", stop.closing(), change_detail(detail));
    run_until(settings, rows, stop, tasks).await
}

/// Runs the worker until `stop`, or until one of `tasks` ends.
async fn run_until(settings: Settings, rows: Vec<Row>, stop: Stop, tasks: Tasks) -> Result<Drained, Error> {
    let address = settings.admin.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Admin { address, source })?;
    let metrics = Arc::new(Metrics::new().with_budget(settings.api.call_price, settings.api.daily_call_limit));
    metrics.limits(settings.worker.concurrency.max(), settings.api.rate_limit);
    let (concurrency, drain) = (settings.worker.concurrency.max(), settings.worker.drain_timeout);
    let gate = Gate::new(gate_policy(&settings)?);
    let health = Arc::new(Health::new(gate.clone(), stop.clone()));
    tasks.spawn_until("log-writer", stop.closing(), logs::writer_ended());

    // First, because nothing may be consumed without it.
    let ledger = open_ledger(&settings).await?;
    // Connecting takes round trips, and nothing else has to wait for it.
    let Started { amqp: broker, jobs, dead, supervising, reading } = Amqp::start(
        settings.amqp.clone(),
        &settings.retry.delays,
        concurrency,
        settings.worker.instance.clone(),
        Arc::new(Observed { metrics: metrics.clone(), health: health.clone() }),
        stop.closing(),
    );
    let unusable = Arc::<Mutex<Option<ConnectError>>>::default();
    tasks.spawn("amqp-supervisor", stop.closing(), supervise(supervising, stop.clone(), unusable.clone()));
    // From the soft stop on it is asked to read no more.
    tasks.spawn("amqp-dead-letters", stop.soft(), reading);
    let rules = rules(&settings)?;
    let traces = traces(&settings, &metrics, &stop, &tasks);
    let log = JobLog::new(metrics.clone(), key_names(&settings)).traced(traces);
    let pipeline = Arc::new(Pipeline::<Edges> {
        store: Store::new(settings.s3.clone(), concurrency).await.map_err(StartError::from)?,
        detector: Vendor::new(settings.api.clone(), concurrency, rules.digest, rules.verify)
            .map_err(StartError::from)?,
        converter: Converter::new(conversion(&settings, rules.limits)),
        ledger: LedgerClient::new(ledger, settings.ledger.on_error, metrics.clone()),
        broker,
        rules,
        clock_and_rng: ClockAndRng { now: OffsetDateTime::now_utc, random: fastrand::f64 },
        limiter: limiter(&settings),
        gate: gate.clone(),
        heads: HeadMemory::default(),
        stuck: Stuck::default(),
        log,
        stop: stop.clone(),
    });

    let ledger_open = CancellationToken::new();
    let writing = pipeline.clone();
    tasks.spawn_until("ledger-writer", &ledger_open, async move { writing.ledger.inner().writer_ended().await });
    let (asking, unfit) = (pipeline.clone(), Arc::<Mutex<Option<Unfit>>>::default());
    let (stopping, told) = (stop.clone(), unfit.clone());
    tasks.spawn_once("ledger-check", async move {
        if let Err(why) = asking.ledger.inner().prove().await {
            told.lock().unwrap_or_else(PoisonError::into_inner).replace(why);
            stopping.soft().cancel();
            return;
        }
        look_at_ledger(asking.ledger.inner()).await;
    });
    let (counting, counted, api) = (pipeline.clone(), metrics.clone(), settings.api.clone());
    tasks.spawn_until("figures", stop.closing(), async move { keep_figures(&counting.ledger, &api, &counted).await });
    tasks.spawn_until("secret-files", stop.closing(), follow(settings.rotating()));
    if let Ok(local) = listener.local_addr() {
        info!(admin.address = %local, "antispoofd {} started, admin port at {local}", crate::VERSION);
    }
    let recorder = Arc::new(Recorder::new(metrics.clone()));
    let counting = pipeline.clone();
    tasks.spawn_until("status-recorder", stop.closing(), recorder.clone().run(move || counting.broker.waiting()));
    let status = Status::new(status::Sources {
        instance: settings.worker.instance.clone(),
        started: SystemTime::now(),
        prefix: settings.amqp.prefix.clone(),
        settings: rows,
        metrics: metrics.clone(),
        gate: gate.clone(),
        broker: pipeline.broker.clone(),
        stop: stop.clone(),
        recorder,
    });
    let pages = Pages { health: health.clone(), metrics, gate, status };
    tasks.spawn("admin", stop.closing(), admin::serve(listener, pages, stop.closing().clone()));
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
    if let Some(why) = unfit.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(StartError::LedgerStore(why).into());
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

/// Where traces are on, their exporter runs until the connections close, when every job has its last span.
fn traces(settings: &Settings, metrics: &Arc<Metrics>, stop: &Stop, tasks: &Tasks) -> Option<Arc<Traces>> {
    let otlp = settings.traces.as_ref()?;
    match Traces::new(otlp, &settings.worker.instance, places(settings), metrics.clone()) {
        Ok((traces, exporter)) => {
            tasks.spawn("traces", stop.closing(), exporter.run(stop.closing().clone(), stop.hard().clone()));
            let endpoint = &otlp.endpoint;
            info!(endpoint, "traces go to {endpoint}");
            Some(traces)
        }
        Err(error) => {
            tracing::warn!(%error, "traces are off, their client cannot be built: {error}");
            None
        }
    }
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

/// Keeps those metrics up to date that change by themselves: the count of the day's calls, and the end of the token, whose file may hold another. Does not
/// end by itself.
async fn keep_figures<L: Ledger>(ledger: &LedgerClient<L>, api: &Api, metrics: &Metrics) {
    let mut looks = tokio::time::interval(FIGURES_EVERY);
    loop {
        looks.tick().await;
        metrics.token_ends(api.token_expiry());
        ledger.look_at_count().await;
    }
}

/// Changes the log's level with each signal. Does not end.
async fn change_detail(mut signals: DetailSignals) {
    loop {
        let more = signals.next().await;
        let signal = if more { "SIGUSR1" } else { "SIGUSR2" };
        let level = if more { "in detail (debug)" } else { "as configured" };
        if logs::detailed(more) {
            tracing::warn!(signal, "{signal}: from now on the log is {level}");
        } else {
            tracing::warn!(signal, "{signal}: the log's level cannot be changed");
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::How;
    use crate::settings::{Sources, load};
    use crate::telemetry::KeyNames;
    use crate::telemetry::logs::captured::log_of;

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
            ended = Some(Box::pin(run_until(settings, Vec::new(), stop, tasks)).await);
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
            let ended = Box::pin(run_until(settings, Vec::new(), stop, tasks)).await;
            assert!(matches!(ended, Ok(Drained::Whole)), "{ended:?}");
        });
        let log = log.await;
        assert!(!log.contains("ERROR") && !log.contains("have not ended"), "{log}");
    }
}
