//! Prometheus metrics. Labels are closed lists, and every series is there from the start with zero: a rate works before the first event.

#[cfg(target_os = "linux")]
mod process;
mod registered;
mod summary;
mod text;

use super::copied::{Copied, Counted};
use super::recent::Recent;
use antispoof_core::failure::{Class, Code};
use antispoof_core::ports::DailyCalls;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One label with a value from a fixed list.
pub type Label = [(&'static str, &'static str); 1];

/// The ways in which a delivery is settled.
pub const SETTLEMENTS: [&str; 9] =
    ["announced", "deferred", "parked", "divided", "dismissed", "returned", "given_back", "lost", "cancelled"];

/// The operations of the ledger.
pub const LEDGER_OPS: [&str; 7] = ["begin", "intent", "unsent", "conclude", "announced", "release", "recall"];

/// What saved a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedBy {
    /// A verdict, or a failure of a call, was on record.
    Ledger,
    /// The object or its image cannot be judged.
    Inspection,
    /// The job had expired.
    Expired,
}

/// Reasons for which jobs do not run, besides systemic failures, which have the names of their codes.
const OTHER_GATE_REASONS: [&str; 7] =
    ["store_outage", "api_outage", "api_hold", "api_rejections", "ledger", "queue_outage", "daily_limit"];

const SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
const BYTES: [f64; 8] = [16e3, 64e3, 256e3, 512e3, 1e6, 2e6, 5e6, 10e6];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// What the status page shows besides.
    pub recent: Recent,
    /// Jobs that ended, by `outcome`: `live`, `spoof`, `review`, `failed`.
    pub jobs: Family<Label, Counter>,
    /// Attempts that failed, by `code`.
    pub failures: Family<Label, Counter>,
    /// Deliveries that were settled, by `kind`.
    pub settlements: Family<Label, Counter>,
    /// From the delivery to its settlement.
    pub job_duration: Histogram,
    /// Deliveries that are not settled yet.
    pub in_flight: Gauge,
    /// Messages that arrived, by `redelivered`.
    pub deliveries: Family<Label, Counter>,
    /// Calls, by `code`: `ok` or a failure code.
    pub api_requests: Family<Label, Counter>,
    /// From the start of a call to the end of its answer.
    pub api_duration: Histogram,
    /// The most calls at a time.
    concurrency_limit: Gauge,
    /// The most calls a second; 0 while there is no limit.
    api_pace: Gauge<f64, AtomicU64>,
    /// Immediate retries, by `reason` (a failure code).
    pub api_retries: Family<Label, Counter>,
    /// Calls whose request was sent in full: the most the vendor can have billed.
    billable: Counter,
    /// What those have cost, by `api.call_price`.
    cost: Counter<f64, AtomicU64>,
    call_price: f64,
    /// Calls that were not made, by what saved them.
    saved: Family<Label, Counter>,
    /// Calls that are counted against the daily limit, and the limit; 0 where there is none.
    daily_calls: Gauge<u64, AtomicU64>,
    daily_call_limit: Gauge<u64, AtomicU64>,
    /// When the ready-made token ends, in seconds since 1970; 0 where tokens are minted.
    token_expires: Gauge<u64, AtomicU64>,
    /// Calls that may have been paid for without a verdict, and jobs taken up again after such a call.
    pub in_doubt: Counter,
    /// Verdicts published again without another call.
    pub reused: Counter,
    /// Jobs with several deliveries behind them that were run with nothing beside them.
    pub alone: Counter,
    /// 1 while such a job waits for the others to end, or is run.
    pub alone_now: Gauge,
    /// Ledger operations that failed, by `op`.
    pub ledger_errors: Family<Label, Counter>,
    /// From the request for an object to its header.
    pub fetch_duration: Histogram,
    /// Conversions of images, and decoding to see whether a decoder reads them.
    pub conversion_duration: Histogram,
    /// Lengths of the objects that were opened.
    pub object_bytes: Histogram,
    /// Terminal events, by `status`: `confirmed`, `unroutable`, `unavailable`.
    pub results: Family<Label, Counter>,
    /// Copies of jobs into queues of the worker, by `queue` and `status`.
    copies: Family<[(&'static str, &'static str); 2], Counter>,
    /// Jobs held because a queue takes no copy of them, by `queue`.
    copies_held: Family<Label, Gauge>,
    /// Jobs that were parked, by `reason` (a failure code).
    pub dead_lettered: Family<Label, Counter>,
    /// Messages that the broker dead-lettered from the job queue, by `reason`.
    pub dropped_by_broker: Family<Label, Counter>,
    /// 1 while there is a session with the broker.
    pub amqp_connected: Gauge,
    /// Which broker the last session was with, as 1 with the labels `product` and `version`; not there before the first.
    amqp_broker: Family<[(&'static str, String); 2], Gauge>,
    /// 1 while the consumer is registered.
    pub amqp_consuming: Gauge,
    /// 1 while the broker blocks publishing.
    pub amqp_blocked: Gauge,
    /// Publishes whose confirm is late.
    pub amqp_late: Gauge,
    /// From a publish to its confirm.
    pub amqp_publish: Histogram,
    /// Sessions that were lost or could not be opened.
    pub amqp_reconnects: Counter,
    /// Consuming connections that ended while the broker was reachable, by `queue`.
    pub amqp_cut: Family<Label, Counter>,
    /// 1 while the consumer of dead-lettered messages is registered.
    pub amqp_reading_dead: Gauge,
    /// 1 while jobs may run, 0 while the gate is closed.
    gate_open: Gauge,
    /// 1 for the `reason` that keeps the gate closed.
    gate_closed: Family<Label, Gauge>,
    /// Seconds until calls resume that the vendor has asked to delay.
    api_paused: Gauge<f64, AtomicU64>,
    /// Spans of traces, by `result`: `exported`, `failed`, `queue_full`.
    pub spans: Family<Label, Counter>,
    /// Log lines that were dropped.
    pub log_dropped: Counter,
    /// When the last verdict was published.
    pub last_success: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The type of the page.
    pub const CONTENT_TYPE: &str = text::CONTENT_TYPE;

    /// All series, at zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("antispoofd"),
            recent: Recent::default(),
            jobs: Family::default(),
            failures: Family::default(),
            settlements: Family::default(),
            job_duration: Histogram::new(SECONDS),
            in_flight: Gauge::default(),
            deliveries: Family::default(),
            api_requests: Family::default(),
            api_duration: Histogram::new(SECONDS),
            concurrency_limit: Gauge::default(),
            api_pace: Gauge::default(),
            api_retries: Family::default(),
            billable: Counter::default(),
            cost: Counter::default(),
            call_price: 0.0,
            saved: Family::default(),
            daily_calls: Gauge::default(),
            daily_call_limit: Gauge::default(),
            token_expires: Gauge::default(),
            in_doubt: Counter::default(),
            reused: Counter::default(),
            alone: Counter::default(),
            alone_now: Gauge::default(),
            ledger_errors: Family::default(),
            fetch_duration: Histogram::new(SECONDS),
            conversion_duration: Histogram::new(SECONDS),
            object_bytes: Histogram::new(BYTES),
            results: Family::default(),
            copies: Family::default(),
            copies_held: Family::default(),
            dead_lettered: Family::default(),
            dropped_by_broker: Family::default(),
            amqp_connected: Gauge::default(),
            amqp_broker: Family::default(),
            amqp_consuming: Gauge::default(),
            amqp_blocked: Gauge::default(),
            amqp_late: Gauge::default(),
            amqp_publish: Histogram::new(SECONDS),
            amqp_reconnects: Counter::default(),
            amqp_cut: Family::default(),
            amqp_reading_dead: Gauge::default(),
            gate_open: Gauge::default(),
            gate_closed: Family::default(),
            api_paused: Gauge::default(),
            spans: Family::default(),
            log_dropped: super::logs::dropped(),
            last_success: Gauge::default(),
        };
        metrics.gate_is(None, Duration::ZERO);
        metrics.at_zero();
        metrics.registered()
    }

    /// With what a call costs (at least 0) and how many a day may have (0: any number).
    #[must_use]
    pub fn with_budget(self, call_price: f64, daily_call_limit: u64) -> Self {
        self.daily_call_limit.set(daily_call_limit);
        Self { call_price, ..self }
    }

    /// A page of [`Self::CONTENT_TYPE`], which every scraper reads.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        // As a product: a sum of fractions drifts.
        #[expect(clippy::cast_precision_loss, reason = "so many calls would not be paid for")]
        let cost = self.billable.get() as f64 * self.call_price;
        self.cost.inner().store(cost.to_bits(), Ordering::Relaxed);
        let mut page = String::with_capacity(16 * 1024);
        encode(&mut page, &self.registry)?;
        #[cfg(target_os = "linux")]
        encode(&mut page, &process::registry())?;
        Ok(text::prometheus(&page))
    }

    /// A verdict has just been published.
    pub fn succeeded(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_success.set(since.as_secs_f64());
    }

    /// A request was sent in full.
    pub fn billed(&self) {
        self.billable.inc();
    }

    /// A call was not made.
    pub fn saved(&self, by: SavedBy) {
        self.saved.get_or_create(&[("by", by.label())]).inc();
    }

    /// So many calls are counted on the day that it is.
    pub fn called_today(&self, today: DailyCalls) {
        self.daily_calls.set(today.counted);
    }

    /// The ready-made token that is in use ends then, in seconds since 1970. None: there is none, or it does not say.
    pub fn token_ends(&self, at: Option<u64>) {
        self.token_expires.set(at.unwrap_or_default());
    }

    /// A copy into a queue of the worker was confirmed, or not.
    pub fn copied(&self, queue: Copied, status: &'static str) {
        self.copies.get_or_create(&[("queue", queue.label()), ("status", status)]).inc();
    }

    /// A job is held because that queue takes no copy of it, for as long as the guard lives.
    pub fn stuck(&self, queue: Copied) -> Counted {
        let held = self.copies_held.get_or_create(&[("queue", queue.label())]).clone();
        Counted::new(held)
    }

    /// The most calls at a time, and a second; 0 is no limit.
    pub fn limits(&self, at_a_time: u16, per_second: f64) {
        self.concurrency_limit.set(at_a_time.into());
        self.api_pace.set(per_second);
    }

    /// Whether the gate is closed, for which of the reasons, and for how long calls are held.
    pub fn gate_is(&self, closed_by: Option<&'static str>, held_for: Duration) {
        self.gate_open.set(closed_by.is_none().into());
        for reason in gate_reasons() {
            self.gate_closed.get_or_create(&[("reason", reason)]).set((closed_by == Some(reason)).into());
        }
        self.api_paused.set(held_for.as_secs_f64());
    }

    /// The session that came up is with this broker, and no longer with the one before.
    pub fn broker_is(&self, product: &str, version: &str) {
        self.amqp_broker.clear();
        let labels = [("product", product.to_owned()), ("version", version.to_owned())];
        self.amqp_broker.get_or_create(&labels).set(1);
    }
}

impl SavedBy {
    const ALL: [Self; 3] = [Self::Ledger, Self::Inspection, Self::Expired];

    fn label(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Inspection => "inspection",
            Self::Expired => "expired",
        }
    }
}

/// The reasons for which jobs do not run.
fn gate_reasons() -> impl Iterator<Item = &'static str> {
    let systemic = Code::ALL.iter().filter(|code| code.class() == Class::Systemic);
    systemic.map(|code| code.name()).chain(OTHER_GATE_REASONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_before_anything_happens() {
        let text = Metrics::new().render().expect("renders");
        for series in [
            "antispoofd_jobs_total{outcome=\"live\"} 0",
            "antispoofd_jobs_total{outcome=\"failed\"} 0",
            "antispoofd_failures_total{code=\"api_in_doubt\"} 0",
            "antispoofd_dead_lettered_total{reason=\"delivery_limit\"} 0",
            "antispoofd_api_requests_total{code=\"ok\"} 0",
            "antispoofd_api_billable_calls_total 0",
            "antispoofd_api_cost_total 0.0",
            "antispoofd_api_calls_saved_total{by=\"inspection\"} 0",
            "antispoofd_api_daily_calls 0",
            "antispoofd_api_daily_call_limit 0",
            "antispoofd_api_token_expires_seconds 0",
            "antispoofd_settlements_total{kind=\"cancelled\"} 0",
            "antispoofd_job_duration_seconds_count 0",
            "antispoofd_gate_open 1",
            "antispoofd_gate_closed{reason=\"api_hold\"} 0",
            "antispoofd_api_paused_seconds 0.0",
            "antispoofd_concurrency_limit 0",
            "antispoofd_api_pace 0.0",
            "antispoofd_log_lines_dropped_total 0",
            "antispoofd_ledger_errors_total{op=\"conclude\"} 0",
            "antispoofd_build_info{version=",
        ] {
            assert!(text.contains(series), "{series}\n{text}");
        }
    }

    #[test]
    fn money_is_counted_by_the_price_and_calls_against_the_limit() {
        let metrics = Metrics::new().with_budget(0.0125, 400);
        for _ in 0..4 {
            metrics.billed();
        }
        metrics.called_today(DailyCalls { day: 1, counted: 3, limit: 400 });
        metrics.saved(SavedBy::Expired);
        let text = metrics.render().expect("renders");
        for series in [
            "antispoofd_api_billable_calls_total 4\n",
            "antispoofd_api_cost_total 0.05\n",
            "antispoofd_api_daily_calls 3\n",
            "antispoofd_api_daily_call_limit 400\n",
            "antispoofd_api_calls_saved_total{by=\"expired\"} 1\n",
        ] {
            assert!(text.contains(series), "{series}\n{text}");
        }
    }

    #[test]
    fn a_broker_that_was_upgraded_is_not_two() {
        let metrics = Metrics::new();
        assert!(!metrics.render().expect("renders").contains("amqp_broker_info{"), "not known yet");
        metrics.broker_is("RabbitMQ", "3.13.7");
        metrics.broker_is("RabbitMQ", "4.3\"6");
        let text = metrics.render().expect("renders");
        assert!(text.contains("antispoofd_amqp_broker_info{product=\"RabbitMQ\",version=\"4.3\\\"6\"} 1"), "{text}");
        assert_eq!(text.matches("amqp_broker_info{").count(), 1, "{text}");
    }
}
