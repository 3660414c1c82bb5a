//! What many checks a day need, calculated from what was measured. docs/scaling.md says how, so that each figure can be found again by hand.

use super::Report;
use super::svg::{Plot, Series};
use super::table::Table;

/// Checks a day.
const DAYS: [(f64, &str); 3] = [(1e6, "1 million"), (1e7, "10 million"), (1e8, "100 million")];
const SECONDS: f64 = 86_400.0;
/// The busiest second, against the average of a day.
const PEAK: f64 = 4.0;
/// Jobs in flight of a worker.
const IN_FLIGHT: f64 = 64.0;
/// From the delivery of a job to its event: mostly the API's answer.
const JOB_SECONDS: f64 = 1.0;
/// Of a core that is to be in use at the busiest second.
const USE: f64 = 0.5;
/// Bytes of a record in Redis, and how many days it is kept.
const RECORD_KB: f64 = 0.87;
const KEPT_DAYS: f64 = 7.0;
/// What AWS asks for a million requests (S3 Standard, us-east-1, its price list), in dollars.
const GET_PRICE: f64 = 0.40;
const PUT_PRICE: f64 = 5.00;

/// `None` where a figure that it needs was not measured.
pub(super) fn figures(report: &Report) -> Option<String> {
    let of = |worker: &str| report.costs.iter().find(|cost| cost.image_bytes == 200_000 && cost.worker == worker);
    let (redis, s3) = (of("antispoofd+sha256+redis")?, of("antispoofd+sha256+s3")?);
    let broker = *redis.servers_ms.get("rabbitmq")?;
    let server = *redis.servers_ms.get("redis")?;
    let worker = |cost: &super::Cost| cost.per_job.cpu_ms.median;
    let mut measured = Table::with_head("", ["measured, per job of 200 kB", "ms of CPU"].map(str::to_owned).to_vec());
    for (what, ms) in [
        ("worker, ledger in Redis", worker(redis)),
        ("worker, ledger in S3", worker(s3)),
        ("RabbitMQ, one node, its replicas not counted", broker),
        ("Redis", server),
    ] {
        measured.push([what.to_owned(), format!("{ms:.3}")]);
    }
    let head = [String::new()].into_iter().chain(DAYS.map(|(_, name)| format!("{name} a day"))).collect();
    let mut needed = Table::with_head("", head);
    let mut row = |what: &str, figure: &dyn Fn(f64) -> String| {
        needed.push(std::iter::once(what.to_owned()).chain(DAYS.map(|(checks, _)| figure(checks))).collect::<Vec<_>>());
    };
    let cores = |checks: f64, ms: f64| peak(checks) * ms / 1000.0 / USE;
    row("checks in the busiest second (average × 4); so many calls a second the quota must have", &|checks| {
        format!("{:.0}", peak(checks).ceil())
    });
    row("calls at a time (× 1 s)", &|checks| format!("{:.0}", (peak(checks) * JOB_SECONDS).ceil()));
    row("workers with 64 jobs in flight, and one more", &|checks| format!("{:.0}", workers(checks, JOB_SECONDS)));
    row("cores of all workers, half used, ledger in Redis", &|checks| format!("{:.1}", cores(checks, worker(redis))));
    row("the same, ledger in S3", &|checks| format!("{:.1}", cores(checks, worker(s3))));
    row("cores of each RabbitMQ node, half used", &|checks| format!("{:.1}", cores(checks, broker)));
    row("cores of Redis, half used (it uses one)", &|checks| format!("{:.2}", cores(checks, server)));
    row("memory of Redis, 7 days", &|checks| format!("{:.0} GB", checks * KEPT_DAYS * RECORD_KB / 1e6));
    row("S3: GET a day, and its price", &|checks| {
        format!("{:.0} million, ${:.2}", checks / 1e6, checks / 1e6 * GET_PRICE)
    });
    row("S3 as the ledger: PUT a day, and its price", &|checks| {
        format!("{:.0} million, ${:.0}", 3.0 * checks / 1e6, 3.0 * checks / 1e6 * PUT_PRICE)
    });
    row("at $0.01 a call, the API asks", &|checks| format!("${:.0}", checks * 0.01));
    Some(format!("{}\n\n{}\n{}", report.machine(), measured.compact(), needed.compact()))
}

pub(super) fn plot() -> Plot {
    let checks = [1e6, 3e6, 1e7, 3e7, 1e8];
    let line = |name: &str, seconds: f64| Series {
        name: name.to_owned(),
        points: checks.iter().map(|&checks| (checks, workers(checks, seconds))).collect(),
    };
    Plot {
        title: "Workers with 64 jobs in flight, by checks a day".to_owned(),
        y_label: "workers (the busiest second has four times the average, and one more is there)".to_owned(),
        x_label: "checks a day".to_owned(),
        x_ticks: checks.iter().map(|&checks| (checks, format!("{:.0} million", checks / 1e6))).collect(),
        x_log: true,
        y_log: true,
        series: vec![line("a job takes 0.3 s", 0.3), line("1 s", 1.0), line("3 s", 3.0)],
        limit: None,
    }
}

fn peak(checks: f64) -> f64 {
    checks / SECONDS * PEAK
}

/// One more than the calls at a time need, so that one may end.
fn workers(checks: f64, job_seconds: f64) -> f64 {
    (peak(checks) * job_seconds / IN_FLIGHT).ceil() + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_calculates_is_what_is_written() {
        let whole = |figure: f64| format!("{figure:.0}");
        assert_eq!(whole(peak(1e6).ceil()), "47");
        assert_eq!([1e6, 1e7, 1e8].map(|checks| whole(workers(checks, 1.0))), ["2", "9", "74"]);
        assert_eq!(whole(workers(1e8, 3.0)), "219");
    }

    #[test]
    fn the_page_of_this_repository_has_the_markers() {
        assert!(super::super::page::rewritten(include_str!("../../../../docs/scaling.md"), "new\n").is_ok());
    }
}
