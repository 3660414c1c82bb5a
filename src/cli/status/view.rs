//! A worker's status on a terminal.

use super::super::table::{aligned, shortened};
use super::super::terminal::plain;
use serde_json::Value;
use std::fmt;

const MESSAGE_WIDTH: usize = 70;
/// A job's id is what one asks `parked show` for: a UUID is not cut.
const JOB_WIDTH: usize = 40;

/// How a worker is, from its `/status`.
pub(super) struct View<'a>(&'a Value);

impl<'a> View<'a> {
    pub(super) fn of(status: &'a Value) -> Self {
        Self(status)
    }

    fn text(&self, pointer: &str) -> String {
        self.0.pointer(pointer).and_then(Value::as_str).map(plain).unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> f64 {
        number(self.0, pointer)
    }

    /// A time in milliseconds, or a dash.
    fn millis(&self, pointer: &str) -> String {
        match self.0.pointer(pointer).and_then(Value::as_f64) {
            Some(seconds) => format!("{:.0} ms", seconds * 1e3),
            None => "-".to_owned(),
        }
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.text("/worker/instance"), self.text("/state/sentence"))?;
        let remedy = self.text("/state/remedy");
        if !remedy.is_empty() {
            writeln!(f, "  do: {remedy}")?;
        }
        writeln!(
            f,
            "  {:.1} jobs/s, {} of {} in flight; call {} (p99 {}), store {} (p99 {})",
            rate(self.0),
            self.number("/now/in_flight"),
            self.number("/now/concurrency"),
            self.millis("/now/api_seconds/p50"),
            self.millis("/now/api_seconds/p99"),
            self.millis("/now/store_seconds/p50"),
            self.millis("/now/store_seconds/p99"),
        )?;
        write!(
            f,
            "  since start ({}): {} jobs, {} calls, {} in doubt",
            self.text("/worker/started"),
            ended(self.0),
            self.number("/since_start/calls"),
            self.number("/since_start/calls_in_doubt"),
        )?;
        if let Some(cost) = self.0.pointer("/since_start/cost").and_then(Value::as_f64).filter(|cost| *cost > 0.0) {
            write!(f, ", cost {cost:.2}")?;
        }
        if self.number("/since_start/daily_call_limit") > 0.0 {
            let (today, limit) = ("/since_start/daily_calls", "/since_start/daily_call_limit");
            write!(f, "; {} of {} calls today", self.number(today), self.number(limit))?;
        }
        writeln!(f)?;
        let queues = self.0["queues"].as_array().into_iter().flatten().map(queue);
        let queues: Vec<_> = queues.collect();
        if !queues.is_empty() {
            writeln!(f, "  queues: {}", queues.join(", "))?;
        }
        let failures: Vec<_> = self.0["failures"].as_array().into_iter().flatten().map(failure).collect();
        if !failures.is_empty() {
            let titles = ["FAILED IN THE LAST HOUR", "TRIES", "AT", "LAST JOB", "LAST MESSAGE"];
            for line in aligned(titles, [false, true, false, false, false], &failures).lines() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

/// The line below several workers: what they do together. The queues are the same for each.
pub(super) fn together(answers: &[Result<Value, String>]) -> String {
    let statuses: Vec<_> = answers.iter().flatten().collect();
    let sum = |of: fn(&Value) -> f64| statuses.iter().map(|status| of(status)).sum::<f64>();
    let trouble =
        answers.iter().filter(|answer| answer.as_ref().map_or(true, |status| status["state"]["level"] == "trouble"));
    format!(
        "together: {} workers, {} in trouble; {:.1} jobs/s, {} in flight, {} calls\n",
        answers.len(),
        trouble.count(),
        sum(rate),
        sum(|status| number(status, "/now/in_flight")),
        sum(|status| number(status, "/since_start/calls")),
    )
}

fn number(status: &Value, pointer: &str) -> f64 {
    status.pointer(pointer).and_then(Value::as_f64).unwrap_or_default()
}

fn rate(status: &Value) -> f64 {
    status["now"]["jobs_per_second"]
        .as_object()
        .into_iter()
        .flat_map(|rates| rates.values())
        .filter_map(Value::as_f64)
        .sum()
}

fn ended(status: &Value) -> f64 {
    status["since_start"]["jobs"].as_object().into_iter().flat_map(|jobs| jobs.values()).filter_map(Value::as_f64).sum()
}

fn queue(queue: &Value) -> String {
    let name = plain(queue["queue"].as_str().unwrap_or_default());
    match queue["ready"].as_u64() {
        Some(ready) => format!("{name} {ready}"),
        None => format!("{name} ?"),
    }
}

fn failure(failure: &Value) -> [String; 5] {
    let text = |field: &str| plain(failure[field].as_str().unwrap_or_default());
    let at = text("at");
    [
        text("code"),
        failure["last_hour"].to_string(),
        at.get(11..16).unwrap_or_default().to_owned(),
        shortened(&text("job"), JOB_WIDTH),
        shortened(&text("message"), MESSAGE_WIDTH),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(level: &str) -> Value {
        json!({
            "state": { "level": level, "sentence": "judging 41 jobs/s\u{1b}[2J", "remedy": "do this" },
            "worker": { "instance": "w-1", "started": "2026-11-29T02:00:00Z" },
            "now": { "jobs_per_second": { "live": 40.0, "failed": 1.0 }, "in_flight": 9, "concurrency": 16,
                     "api_seconds": { "p50": 0.2, "p99": 0.412 }, "store_seconds": { "p50": null, "p99": null } },
            "since_start": { "jobs": { "live": 900, "failed": 3 }, "calls": 905, "calls_in_doubt": 1, "cost": 9.05,
                             "daily_calls": 905, "daily_call_limit": 1000 },
            "queues": [{ "queue": "antispoof.jobs", "ready": 312 }, { "queue": "antispoof.parked", "ready": null }],
            "failures": [{ "code": "object_not_found", "last_hour": 3, "at": "2026-11-29T02:14:09Z", "job": "kyc-1", "message": "gone" }],
        })
    }

    #[test]
    fn a_worker_is_a_few_lines() {
        let expected = "\
w-1: judging 41 jobs/s\u{fffd}[2J
  do: do this
  41.0 jobs/s, 9 of 16 in flight; call 200 ms (p99 412 ms), store - (p99 -)
  since start (2026-11-29T02:00:00Z): 903 jobs, 905 calls, 1 in doubt, cost 9.05; 905 of 1000 calls today
  queues: antispoof.jobs 312, antispoof.parked ?
  FAILED IN THE LAST HOUR  TRIES  AT     LAST JOB  LAST MESSAGE
  object_not_found             3  02:14  kyc-1     gone
";
        assert_eq!(View::of(&status("ok")).to_string(), expected);
    }

    #[test]
    fn several_are_added_up() {
        let answers = [Ok(status("ok")), Ok(status("trouble")), Err("refused".to_owned())];
        assert_eq!(together(&answers), "together: 3 workers, 2 in trouble; 82.0 jobs/s, 18 in flight, 1810 calls\n");
    }

    #[test]
    fn an_answer_of_another_version_is_shown_as_far_as_it_goes() {
        assert!(View::of(&json!({})).to_string().contains("0 in doubt"));
    }
}
