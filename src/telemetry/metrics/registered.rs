//! The names under which the metrics are scraped, what each means, and every series with zero from the start.

use super::{LEDGER_OPS, Label, Metrics, SETTLEMENTS, SavedBy};
use crate::telemetry::Copied;
use antispoof_core::failure::{Code, Retry};
use antispoof_core::verdict::Outcome;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

/// The results of a publish.
const STATUSES: [&str; 5] = ["confirmed", "unroutable", "refused", "unconfirmed", "unavailable"];

/// Why the broker dead-lettered a message from the job queue.
const DROP_REASONS: [&str; 5] = ["delivery_limit", "expired", "maxlen", "rejected", "other"];

/// What became of spans.
const SPANS: [&str; 3] = ["exported", "failed", "queue_full"];

impl Metrics {
    pub(super) fn at_zero(&self) {
        for outcome in Outcome::ALL.map(Outcome::name).into_iter().chain(["failed"]) {
            drop(self.jobs.get_or_create(&[("outcome", outcome)]));
        }
        for &code in Code::ALL {
            drop(self.failures.get_or_create(&[("code", code.name())]));
            drop(self.dead_lettered.get_or_create(&[("reason", code.name())]));
            if code.retry() == Retry::Quick {
                drop(self.api_retries.get_or_create(&[("reason", code.name())]));
            }
        }
        let calls = Code::ALL.iter().filter(|code| code.stage() == antispoof_core::failure::Stage::Call);
        for name in calls.map(|code| code.name()).chain(["ok"]) {
            drop(self.api_requests.get_or_create(&[("code", name)]));
        }
        for kind in SETTLEMENTS {
            drop(self.settlements.get_or_create(&[("kind", kind)]));
        }
        for status in STATUSES {
            drop(self.results.get_or_create(&[("status", status)]));
            for queue in Copied::ALL {
                drop(self.copies.get_or_create(&[("queue", queue.label()), ("status", status)]));
            }
        }
        for queue in Copied::ALL {
            drop(self.copies_held.get_or_create(&[("queue", queue.label())]));
        }
        for reason in DROP_REASONS {
            drop(self.dropped_by_broker.get_or_create(&[("reason", reason)]));
        }
        for queue in ["jobs", "dead"] {
            drop(self.amqp_cut.get_or_create(&[("queue", queue)]));
        }
        for result in SPANS {
            drop(self.spans.get_or_create(&[("result", result)]));
        }
        for op in LEDGER_OPS {
            drop(self.ledger_errors.get_or_create(&[("op", op)]));
        }
        for by in SavedBy::ALL {
            drop(self.saved.get_or_create(&[("by", by.label())]));
        }
        for redelivered in ["true", "false"] {
            drop(self.deliveries.get_or_create(&[("redelivered", redelivered)]));
        }
    }

    pub(super) fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("jobs", "Jobs that ended with a published event, by outcome", self.jobs.clone());
        r.register("failures", "Attempts at a job that failed, by failure code", self.failures.clone());
        r.register("settlements", "Deliveries that were settled, by how", self.settlements.clone());
        r.register_with_unit(
            "job_duration",
            "Time from a delivery to its settlement",
            Unit::Seconds,
            self.job_duration.clone(),
        );
        r.register("jobs_in_flight", "Deliveries that are not settled yet", self.in_flight.clone());
        r.register("deliveries", "Messages delivered by the broker", self.deliveries.clone());
        r.register("api_requests", "Calls of the spoof-detection API that ended, by result", self.api_requests.clone());
        r.register_with_unit(
            "api_request_duration",
            "Time from the start of a call to the end of its response",
            Unit::Seconds,
            self.api_duration.clone(),
        );
        r.register("api_retries", "Immediate retries within a delivery, by reason", self.api_retries.clone());
        r.register(
            "api_billable_calls",
            "Calls whose request was sent in full, the most that can be billed",
            self.billable.clone(),
        );
        r.register("api_cost", "What the billable calls have cost, by api.call_price", self.cost.clone());
        r.register("api_calls_saved", "Calls that were not made, by what saved them", self.saved.clone());
        r.register(
            "api_daily_calls",
            "Calls counted against api.daily_call_limit on this day (UTC), when this worker last looked",
            self.daily_calls.clone(),
        );
        r.register(
            "api_daily_call_limit",
            "api.daily_call_limit; 0 where there is none",
            self.daily_call_limit.clone(),
        );
        r.register(
            "api_token_expires_seconds",
            "Unix time at which the ready-made token expires; 0 where tokens are minted or it does not say",
            self.token_expires.clone(),
        );
        r.register("api_in_doubt", "Calls that may be billed and brought no verdict", self.in_doubt.clone());
        r.register("verdicts_reused", "Verdicts published again without another call", self.reused.clone());
        r.register("jobs_run_alone", "Jobs with several deliveries that were run in isolation", self.alone.clone());
        r.register("running_alone", "1 while a job is run in isolation", self.alone_now.clone());
        r.register("ledger_errors", "Ledger operations that failed, by operation", self.ledger_errors.clone());
        r.register_with_unit(
            "object_fetch_duration",
            "Time from the request for an object to the head of the response",
            Unit::Seconds,
            self.fetch_duration.clone(),
        );
        r.register_with_unit(
            "conversion_duration",
            "Time that the conversion of an image took, or decoding it to see whether it can be",
            Unit::Seconds,
            self.conversion_duration.clone(),
        );
        r.register("object_bytes", "Sizes of the objects that were opened", self.object_bytes.clone());
        self.registered_of_the_broker()
    }

    fn registered_of_the_broker(mut self) -> Self {
        let r = &mut self.registry;
        r.register("results_published", "Attempts to publish a terminal event, by status", self.results.clone());
        r.register(
            "copies_published",
            "Attempts to publish a copy of a job into a queue of the worker, by queue and status",
            self.copies.clone(),
        );
        r.register(
            "copies_held",
            "Jobs held because a queue takes no copy of them, by queue",
            self.copies_held.clone(),
        );
        r.register("dead_lettered", "Jobs that were parked, by failure code", self.dead_lettered.clone());
        let what = "Messages that the broker dead-lettered from the job queue, by reason";
        r.register("dropped_by_broker", what, self.dropped_by_broker.clone());
        r.register("amqp_connected", "1 while there is a session with the broker", self.amqp_connected.clone());
        r.register(
            "amqp_broker_info",
            "Product and version of the broker of the last session",
            self.amqp_broker.clone(),
        );
        r.register(
            "amqp_consuming",
            "1 while the consumer of the job queue is registered",
            self.amqp_consuming.clone(),
        );
        r.register("amqp_blocked", "1 while an alarm of the broker blocks publishing", self.amqp_blocked.clone());
        r.register("amqp_confirms_late", "Publishes whose confirm is late", self.amqp_late.clone());
        r.register_with_unit(
            "amqp_publish_duration",
            "Time from a publish to its confirm",
            Unit::Seconds,
            self.amqp_publish.clone(),
        );
        r.register(
            "amqp_reconnects",
            "Sessions with the broker that were lost or could not be opened",
            self.amqp_reconnects.clone(),
        );
        let what = "Consuming connections that ended while the broker was reachable, by queue";
        r.register("amqp_consumer_cuts", what, self.amqp_cut.clone());
        let what = "1 while the consumer of dead-lettered messages is registered";
        r.register("amqp_reading_dead", what, self.amqp_reading_dead.clone());
        r.register("gate_open", "1 while jobs may run, 0 while the circuit breaker is open", self.gate_open.clone());
        r.register("gate_closed", "1 for the reason that keeps jobs from running", self.gate_closed.clone());
        let what =
            "Calls to the API at a time, at most: as configured, or as learned between worker.concurrency.min and max";
        r.register("concurrency_limit", what, self.concurrency_limit.clone());
        let what = "Calls to the API a second, at most: as configured or learned; 0 while there is no limit";
        r.register("api_pace", what, self.api_pace.clone());
        r.register(
            "api_paused_seconds",
            "Seconds until calls resume that the API has asked to delay",
            self.api_paused.clone(),
        );
        r.register("spans", "Spans of traces, by what became of them", self.spans.clone());
        r.register(
            "log_lines_dropped",
            "Log lines that were dropped because they were not read fast enough",
            self.log_dropped.clone(),
        );
        r.register(
            "last_success_timestamp_seconds",
            "Unix time at which the last verdict was published",
            self.last_success.clone(),
        );
        // A gauge of 1, as is the custom: the type for it is one that only OpenMetrics knows.
        let build = Family::<Label, Gauge>::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        r.register("build_info", "The running version", build);
        self
    }
}
