//! `/status` as JSON.

use super::facts::Facts;
use super::recorder::{STEP, Sample};
use super::sentence::Sentence;
use super::sources::Sources;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Fields may be added.
pub(super) fn document(sources: &Sources, facts: &Facts, now: SystemTime, history: bool) -> Value {
    let Sentence { level, text, remedy, since } = Sentence::of(facts, &sources.prefix);
    let metrics = &sources.metrics;
    let lately = &facts.lately;
    let [live, spoof, review, failed] = lately.ended.map(|count| rate(count, lately.seconds));
    let queues = facts
        .depths
        .iter()
        .map(|depth| json!({ "queue": depth.queue, "ready": depth.ready, "consumers": depth.consumers }));
    let failures = facts.failures.iter().map(|(count, group)| {
        json!({
            "code": group.code.name(),
            "stage": group.code.stage().name(),
            "last_hour": count,
            "message": group.message,
            "job": group.job,
            "parked": group.parked,
            "at": rfc3339(group.at),
        })
    });
    let settings = sources
        .settings
        .iter()
        .map(|row| json!({ "key": row.key, "value": row.json(), "origin": row.origin.to_string() }));
    let mut document = json!({
        "state": {
            "level": level.name(),
            "sentence": text,
            "remedy": (!remedy.is_empty()).then_some(remedy),
            "since": since.map(rfc3339),
            "gate": facts.gate.as_ref().map(|gate| gate.reason),
        },
        "worker": {
            "instance": sources.instance,
            "version": crate::VERSION,
            "started": rfc3339(sources.started),
            "now": rfc3339(now),
        },
        "now": {
            "jobs_per_second": { "live": live, "spoof": spoof, "review": review, "failed": failed },
            "api_seconds": { "p50": lately.api[0].map(rounded), "p99": lately.api[1].map(rounded) },
            "store_seconds": { "p50": lately.store[0].map(rounded), "p99": lately.store[1].map(rounded) },
            "in_flight": facts.in_flight,
            "concurrency": facts.limit,
            "calls_per_second_limit": (facts.pace > 0.0).then_some(rounded(facts.pace)),
            "waiting": facts.waiting,
        },
        "since_start": metrics.summary(),
        "queues": queues.collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
        "settings": settings.collect::<Vec<_>>(),
    });
    if history {
        document["history"] = columns(&sources.recorder.samples());
    }
    document
}

/// A list for each figure, the oldest sample first.
fn columns(samples: &[Sample]) -> Value {
    let seconds = STEP.as_secs_f64();
    let column = |of: &dyn Fn(&Sample) -> Value| -> Vec<Value> { samples.iter().map(of).collect() };
    let ended = |outcome: usize| column(&|sample| json!(rate(sample.ended[outcome], seconds)));
    let percentile = |of: fn(&Sample) -> Option<f64>| column(&|sample| json!(of(sample).map(rounded)));
    json!({
        "step_seconds": STEP.as_secs(),
        "at": column(&|sample| json!(sample.at)),
        "live": ended(0),
        "spoof": ended(1),
        "review": ended(2),
        "failed": ended(3),
        "calls": column(&|sample| json!(rate(sample.calls, seconds))),
        "in_doubt": column(&|sample| json!(sample.in_doubt)),
        "in_flight": column(&|sample| json!(sample.in_flight)),
        "waiting": column(&|sample| json!(sample.waiting)),
        "api_p50": percentile(|sample| sample.api[0]),
        "api_p99": percentile(|sample| sample.api[1]),
        "store_p50": percentile(|sample| sample.store[0]),
        "store_p99": percentile(|sample| sample.store[1]),
    })
}

fn rate(count: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for a plot")]
    let count = count as f64;
    rounded(count / seconds.max(1.0))
}

/// To a tenth of a thousandth: what is plotted need not be longer.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn rfc3339(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let at = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}
