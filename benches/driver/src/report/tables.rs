//! The tables of a terminal, with everything that was measured.

use super::Report;
use super::rows::PerJob;
use super::table::Table;
use bytesize::ByteSize;

pub(super) fn all(report: &Report) -> Vec<Table> {
    let tables = [
        costs(report),
        latencies(report),
        scales(report),
        memory(report),
        idle(report),
        starts(report),
        drains(report),
        endurance(report),
    ];
    tables.into_iter().filter(|table| !table.is_empty()).collect()
}

fn costs(report: &Report) -> Table {
    let title = format!(
        "As fast as it goes: {} in flight, the vendor takes {} ms, median of {} (CPU: min to max; switches: it waited + its time was up)",
        report.concurrency, report.vendor_ms, report.reps
    );
    let head = [
        "image",
        "worker",
        "CPU ms/job",
        "min to max",
        "× floor",
        "user + system",
        "switches/job",
        "jobs/s",
        "peak MiB",
        "p50 ms",
        "p99 ms",
    ];
    let mut table = Table::new(title, head);
    for row in &report.costs {
        let floor = report.costs.iter().find(|cost| cost.worker == "floor" && cost.image_bytes == row.image_bytes);
        let mut cells = vec![size(row.image_bytes), row.worker.clone()];
        cells.extend(per_job(&row.per_job, floor.map(|floor| &floor.per_job)));
        cells.extend([row.peak_mib, row.p50_ms, row.p99_ms].map(|figure| format!("{figure:.1}")));
        table.push(cells);
    }
    table
}

fn scales(report: &Report) -> Table {
    let title = format!("More of something: 200 kB, the vendor takes {} ms", report.vendor_ms);
    let head =
        ["", "worker", "CPU ms/job", "min to max", "× floor", "user + system", "switches/job", "jobs/s", "peak MiB"];
    let mut table = Table::new(title, head);
    for row in &report.scales {
        let mut all = report.scales.iter();
        let floor = all.find(|scale| scale.worker == "floor" && scale.what == row.what && scale.count == row.count);
        let mut cells = vec![row.label(), row.worker.clone()];
        cells.extend(per_job(&row.per_job, floor.map(|floor| &floor.per_job)));
        cells.push(format!("{:.1}", row.peak_mib));
        table.push(cells);
    }
    table
}

fn per_job(figures: &PerJob, floor: Option<&PerJob>) -> [String; 6] {
    let PerJob { cpu_ms, user_system_ms, waits, preemptions, jobs_per_second } = figures;
    [
        format!("{:.3}", cpu_ms.median),
        format!("{:.3} to {:.3}", cpu_ms.min, cpu_ms.max),
        floor.map(|floor| format!("{:.2}", cpu_ms.median / floor.cpu_ms.median)).unwrap_or_default(),
        user_system_ms.map(|[user, system]| format!("{user:.3} + {system:.3}")).unwrap_or_default(),
        format!("{waits:.2} + {preemptions:.2}"),
        format!("{:.0}", jobs_per_second.median),
    ]
}

pub(super) fn latencies(report: &Report) -> Table {
    let title = format!(
        "Under a steady load, {} jobs at a time: from a job's delivery to its event, and from when it is due to its verdict",
        report.concurrency
    );
    let head = ["load", "worker", "jobs/s", "own p50 ms", "p99", "p99.9", "whole p50 ms", "p99", "p99.9"];
    let mut table = Table::new(title, head);
    for row in &report.latencies {
        let mut cells =
            vec![format!("{} %", row.load_percent), row.worker.clone(), format!("{:.0}", row.jobs_per_second)];
        cells.extend(row.own_ms.iter().chain(&row.whole_ms).map(|time| format!("{time:.2}")));
        table.push(cells);
    }
    table
}

pub(super) fn memory(report: &Report) -> Table {
    let title = "Memory with many images in flight (the vendor takes 1 s before it answers, or before it reads)";
    let head = ["in flight", "worker", "vendor", "peak MiB", "after MiB", "calls at a time", "jobs", "took s"];
    let mut table = Table::new(title, head);
    for row in &report.memory {
        table.push([
            format!("{} × {}", row.in_flight, size(row.image_bytes)),
            row.worker.clone(),
            row.vendor.clone(),
            format!("{:.1}", row.peak_mib),
            format!("{:.1}", row.after_mib),
            row.most_calls.to_string(),
            row.jobs.to_string(),
            format!("{:.1}", row.took_s),
        ]);
    }
    table
}

pub(super) fn idle(report: &Report) -> Table {
    let mut table = Table::new("Memory at rest, while it consumes", ["worker", "RSS MiB"]);
    for row in &report.idle {
        table.push([row.worker.clone(), format!("{:.1}", row.rss_mib)]);
    }
    table
}

pub(super) fn starts(report: &Report) -> Table {
    let head = ["worker", "first (makes queues) ms", "again ms", "min to max"];
    let mut table = Table::new("From exec to a registered consumer", head);
    for row in &report.starts {
        let again = row.again_ms;
        table.push([
            row.worker.clone(),
            format!("{:.0}", row.first_ms),
            format!("{:.0}", again.median),
            format!("{:.0} to {:.0}", again.min, again.max),
        ]);
    }
    table
}

pub(super) fn drains(report: &Report) -> Table {
    let head = ["in flight", "worker", "ms", "min to max"];
    let title = "A stop: from SIGTERM, or the vendor's last answer where that is later, to the end of the process";
    let mut table = Table::new(title, head);
    for row in &report.drains {
        let added = row.added_ms;
        table.push([
            row.in_flight.to_string(),
            row.worker.clone(),
            format!("{:.1}", added.median),
            format!("{:.1} to {:.1}", added.min, added.max),
        ]);
    }
    table
}

pub(super) fn endurance(report: &Report) -> Table {
    let head = ["jobs", "worker", "RSS MiB", "growth", "peak of the run MiB"];
    let mut table = Table::new("Memory after so many jobs in a row", head);
    for row in &report.endurance {
        for (jobs, rss) in [row.first, row.last] {
            let growth = (rss / row.first.1 - 1.0) * 100.0;
            let cells = [
                jobs.to_string(),
                row.worker.clone(),
                format!("{rss:.1}"),
                format!("{growth:+.1} %"),
                format!("{:.1}", row.peak_mib),
            ];
            table.push(cells);
        }
    }
    table
}

pub(super) fn size(bytes: u64) -> String {
    let text = ByteSize::b(bytes).display().si().to_string();
    text.replace(".0 ", " ")
}
