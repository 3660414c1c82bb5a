//! Which plots there are, and what is in them.

use super::Report;
use super::rows::{Cost, Latency, Memory, Scale};
use super::scaling;
use super::svg::{Plot, Series};
use super::tables::size;
use crate::stats::count;
use std::collections::BTreeSet;

/// Peak memory with 256 images in flight is to stay below this, in MiB.
const MEMORY_LIMIT: f64 = 64.0;

/// Names of files, and what they hold. A plot whose figures were not measured is not there.
pub(super) fn all(report: &Report) -> Vec<(&'static str, String)> {
    [
        ("cpu.svg", cpu(&report.costs)),
        ("latency.svg", latency(&report.latencies)),
        ("memory.svg", memory(&report.memory)),
        ("in-flight.svg", in_flight(&report.scales)),
        ("scaling.svg", scaling::plot()),
    ]
    .into_iter()
    .filter(|(_, plot)| plot.series.iter().any(|series| !series.points.is_empty()))
    .map(|(name, plot)| (name, plot.render()))
    .collect()
}

/// Without a ledger's name: what the ledgers cost would not be seen at this scale.
fn cpu(costs: &[Cost]) -> Plot {
    let costs: Vec<&Cost> = costs
        .iter()
        .filter(|cost| !["redis", "s3", "none"].iter().any(|ledger| cost.worker.contains(ledger)))
        .collect();
    let sizes: BTreeSet<u64> = costs.iter().map(|cost| cost.image_bytes).collect();
    Plot {
        title: "CPU per job, by image size".to_owned(),
        y_label: "ms of CPU".to_owned(),
        x_label: "size of the image".to_owned(),
        x_ticks: sizes.into_iter().map(|bytes| (count(bytes), size(bytes))).collect(),
        x_log: true,
        y_log: true,
        series: by_name(&costs, |cost| {
            let name = if cost.worker == "antispoofd" { "antispoofd, no digest" } else { &cost.worker };
            (name.to_owned(), (count(cost.image_bytes), cost.per_job.cpu_ms.median))
        }),
        limit: None,
    }
}

fn latency(latencies: &[Latency]) -> Plot {
    let ours: Vec<&Latency> = latencies.iter().filter(|row| row.worker.starts_with("antispoofd")).collect();
    let floor: Vec<&Latency> = latencies.iter().filter(|row| row.worker == "floor").collect();
    let loads: BTreeSet<u32> = latencies.iter().map(|row| row.load_percent).collect();
    let line = |name: &str, rows: &[&Latency], percentile: usize| Series {
        name: name.to_owned(),
        points: rows.iter().map(|row| (row.load_percent.into(), row.own_ms[percentile])).collect(),
    };
    Plot {
        title: "From a job's delivery to the worker's event, by load".to_owned(),
        y_label: "ms".to_owned(),
        x_label: "jobs per second, of the most that antispoofd can do".to_owned(),
        x_ticks: loads.into_iter().map(|load| (load.into(), format!("{load} %"))).collect(),
        x_log: false,
        y_log: true,
        series: vec![
            line("p50", &ours, 0),
            line("p99", &ours, 1),
            line("p99.9", &ours, 2),
            line("p50 of the floor", &floor, 0),
        ],
        limit: None,
    }
}

/// Of the largest images.
fn memory(rows: &[Memory]) -> Plot {
    let largest = rows.iter().map(|row| row.image_bytes).max().unwrap_or_default();
    let rows: Vec<&Memory> = rows.iter().filter(|row| row.image_bytes == largest).collect();
    let counts: BTreeSet<u16> = rows.iter().map(|row| row.in_flight).collect();
    Plot {
        title: format!("Peak memory with images of {} in flight", size(largest)),
        y_label: "MiB resident".to_owned(),
        x_label: "images in flight; the vendor takes 1 s before it answers, or before it reads".to_owned(),
        x_ticks: counts.into_iter().map(|count| (count.into(), count.to_string())).collect(),
        x_log: true,
        y_log: false,
        series: by_name(&rows, |row| (format!("{}, {}", row.worker, row.vendor), (row.in_flight.into(), row.peak_mib))),
        limit: Some((MEMORY_LIMIT, format!("{MEMORY_LIMIT} MiB"))),
    }
}

fn in_flight(scales: &[Scale]) -> Plot {
    let rows: Vec<&Scale> = scales.iter().filter(|row| row.what == "jobs in flight").collect();
    let counts: BTreeSet<u32> = rows.iter().map(|row| row.count).collect();
    Plot {
        title: "Jobs per second of one process, by jobs in flight".to_owned(),
        y_label: "jobs/s".to_owned(),
        x_label: "jobs in flight (200 kB)".to_owned(),
        x_ticks: counts.into_iter().map(|count| (count.into(), count.to_string())).collect(),
        x_log: true,
        y_log: false,
        series: by_name(&rows, |row| (row.worker.clone(), (row.count.into(), row.per_job.jobs_per_second.median))),
        limit: None,
    }
}

/// A line for each name, in the order in which they come.
fn by_name<T>(rows: &[&T], point: impl Fn(&T) -> (String, (f64, f64))) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for row in rows {
        let (name, point) = point(row);
        match all.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => all.push(Series { name, points: vec![point] }),
        }
    }
    all
}
