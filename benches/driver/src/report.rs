//! What was measured, as a table for people and as JSON.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use super::args::Args;
use super::load::Run;
use super::usage::Used;
use anyhow::{Context as _, Result};
use bytesize::ByteSize;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

/// So much CPU time is a few hundred ticks: a percent or two in the shares of user and system time.
const ENOUGH_FOR_TICKS: Duration = Duration::from_secs(2);

/// One life of a worker in `--cpu`.
pub(crate) struct Sample {
    pub(crate) used: Used,
    pub(crate) jobs_per_second: f64,
    pub(crate) peak_rss: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

#[derive(Serialize)]
pub(crate) struct Report {
    cpu_model: String,
    cpus: usize,
    kernel: String,
    concurrency: u16,
    latency_ms: f64,
    reps: usize,
    store: &'static str,
    pub(crate) costs: Vec<Cost>,
    pub(crate) paced: Vec<Paced>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) starts: Vec<Start>,
}

/// Jobs of one size through one worker, as fast as it can.
#[derive(Serialize)]
pub(crate) struct Cost {
    image_bytes: u64,
    worker: String,
    jobs: u32,
    cpu_ms_min: f64,
    cpu_ms_median: f64,
    cpu_ms_max: f64,
    /// User and system time, of all repetitions together; absent where they took too little to tell by the tick.
    user_ms: Option<f64>,
    system_ms: Option<f64>,
    /// Context switches per job: the worker waited, or another program took the processor.
    waits: f64,
    preemptions: f64,
    jobs_per_second: f64,
    peak_rss_mib: f64,
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Serialize)]
pub(crate) struct Paced {
    worker: String,
    cpu_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[derive(Serialize)]
pub(crate) struct Memory {
    worker: String,
    jobs: u32,
    at_rest_mib: f64,
    peak_mib: f64,
    took_s: f64,
}

#[derive(Serialize)]
pub(crate) struct Start {
    worker: String,
    /// Nothing is there yet: queues are made.
    first_ms: f64,
    again_ms_median: f64,
    again_ms_max: f64,
}

// === impl Cost, Paced, Memory, Start ===

impl Cost {
    pub(crate) fn new(image_bytes: u64, worker: String, jobs: u32, samples: &[Sample]) -> Self {
        let per_job = |figure: f64| figure / f64::from(jobs);
        let cpu = sorted(samples.iter().map(|sample| per_job(ms(sample.used.cpu))));
        let all: u32 = samples.iter().map(|_| jobs).sum();
        let long_enough = samples.iter().map(|sample| sample.used.cpu).sum::<Duration>() >= ENOUGH_FOR_TICKS;
        let mode = |time: fn(&Used) -> Duration| {
            let time: Duration = samples.iter().map(|sample| time(&sample.used)).sum();
            long_enough.then(|| ms(time) / f64::from(all))
        };
        let of = |figure: fn(&Sample) -> f64| median(&sorted(samples.iter().map(figure)));
        Self {
            image_bytes,
            worker,
            jobs,
            cpu_ms_min: cpu.first().copied().unwrap_or_default(),
            cpu_ms_median: median(&cpu),
            cpu_ms_max: cpu.last().copied().unwrap_or_default(),
            user_ms: mode(|used| used.user),
            system_ms: mode(|used| used.system),
            waits: per_job(of(|sample| count(sample.used.waits))),
            preemptions: per_job(of(|sample| count(sample.used.preemptions))),
            jobs_per_second: of(|sample| sample.jobs_per_second),
            peak_rss_mib: samples.iter().map(|sample| mib(sample.peak_rss)).fold(0.0, f64::max),
            p50_ms: of(|sample| ms(sample.p50)),
            p99_ms: of(|sample| ms(sample.p99)),
        }
    }
}

impl Paced {
    pub(crate) fn new(worker: String, run: &Run, cpu_per_job: Duration) -> Self {
        let percentile = |percent| ms(run.percentile(percent));
        Self {
            worker,
            cpu_ms: ms(cpu_per_job),
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            max_ms: percentile(100),
        }
    }
}

impl Memory {
    pub(crate) fn new(worker: String, at_rest: u64, peak: u64, took: Duration, jobs: u32) -> Self {
        Self { worker, jobs, at_rest_mib: mib(at_rest), peak_mib: mib(peak), took_s: took.as_secs_f64() }
    }
}

impl Start {
    /// The first of the times is that of the first start.
    pub(crate) fn new(worker: String, times: Vec<Duration>) -> Self {
        let mut times = times.into_iter().map(ms);
        let first_ms = times.next().unwrap_or_default();
        let again = sorted(times);
        Self {
            worker,
            first_ms,
            again_ms_median: median(&again),
            again_ms_max: again.last().copied().unwrap_or_default(),
        }
    }
}

// === impl Report ===

impl Report {
    pub(crate) fn new(args: &Args) -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cpu_model: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cpus: thread::available_parallelism().map_or(0, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            concurrency: args.concurrency,
            latency_ms: ms(args.latency),
            reps: args.reps,
            store: args.store.name(),
            costs: Vec::new(),
            paced: Vec::new(),
            memory: Vec::new(),
            starts: Vec::new(),
        }
    }

    pub(crate) fn print(&self) {
        println!("{} · {} cpus · Linux {} · store: {}", self.cpu_model, self.cpus, self.kernel, self.store);
        if !self.costs.is_empty() {
            self.print_costs();
        }
        if !self.paced.is_empty() {
            println!(
                "\nAt a steady rate, from publish to verdict (the vendor takes 50 ms; 50 jobs of 200 KB a second)\n"
            );
            println!("{:<24} {:>8} {:>8} {:>8} {:>11}", "worker", "p50 ms", "p99 ms", "max ms", "CPU ms/job");
            for row in &self.paced {
                let Paced { worker, cpu_ms, p50_ms, p99_ms, max_ms } = row;
                println!("{worker:<24} {p50_ms:>8.1} {p99_ms:>8.1} {max_ms:>8.1} {cpu_ms:>11.3}");
            }
        }
        if !self.memory.is_empty() {
            println!("\nMemory with 64 images of 10 MB in flight (the vendor takes 2 s)\n");
            println!("{:<38} {:>6} {:>12} {:>10} {:>8}", "worker", "jobs", "at rest MiB", "peak MiB", "took s");
            for row in &self.memory {
                let Memory { worker, jobs, at_rest_mib, peak_mib, took_s } = row;
                println!("{worker:<38} {jobs:>6} {at_rest_mib:>12.1} {peak_mib:>10.1} {took_s:>8.1}");
            }
        }
        if !self.starts.is_empty() {
            println!("\nFrom exec to a registered consumer\n");
            println!(
                "{:<24} {:>26} {:>16} {:>13}",
                "worker", "first (makes queues) ms", "again median ms", "again max ms"
            );
            for row in &self.starts {
                let Start { worker, first_ms, again_ms_median, again_ms_max } = row;
                println!("{worker:<24} {first_ms:>26.0} {again_ms_median:>16.0} {again_ms_max:>13.0}");
            }
        }
    }

    pub(crate) fn write(&self, file: Option<&Path>) -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        let json = serde_json::to_vec_pretty(self)?;
        fs::write(file, json).with_context(|| format!("write {}", file.display()))
    }

    fn print_costs(&self) {
        println!(
            "\nAs fast as it goes: {} in flight, the vendor takes {} ms, median of {} (CPU: min to max; switches: it waited + was preempted)\n",
            self.concurrency, self.latency_ms, self.reps
        );
        println!(
            "{:>8} {:<24} {:>11} {:>17} {:>8} {:>15} {:>12} {:>8} {:>9} {:>8} {:>8}",
            "image",
            "worker",
            "CPU ms/job",
            "",
            "× floor",
            "user + system",
            "switches/job",
            "jobs/s",
            "peak MiB",
            "p50 ms",
            "p99 ms"
        );
        for row in &self.costs {
            let size = ByteSize::b(row.image_bytes).display().si().to_string();
            let spread = format!("{:.3} to {:.3}", row.cpu_ms_min, row.cpu_ms_max);
            let ratio = self.ratio(row).map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let modes = row.user_ms.zip(row.system_ms).map(|(user, system)| format!("{user:.3} + {system:.3}"));
            let modes = modes.unwrap_or_default();
            let switches = format!("{:.2} + {:.2}", row.waits, row.preemptions);
            println!(
                "{size:>8} {:<24} {:>11.3} {spread:>17} {ratio:>8} {modes:>15} {switches:>12} {:>8.0} {:>9.1} {:>8.1} {:>8.1}",
                row.worker, row.cpu_ms_median, row.jobs_per_second, row.peak_rss_mib, row.p50_ms, row.p99_ms
            );
        }
    }

    /// By how much a worker is dearer than the floor was in the same run.
    fn ratio(&self, row: &Cost) -> Option<f64> {
        let floor = self.costs.iter().find(|cost| cost.worker == "floor" && cost.image_bytes == row.image_bytes)?;
        Some(row.cpu_ms_median / floor.cpu_ms_median)
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "memory of a process, printed with one decimal")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

#[expect(clippy::cast_precision_loss, reason = "a count that is divided by the jobs next")]
fn count(number: u64) -> f64 {
    number as f64
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of ascending values; of an even number the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[1.0, 2.0, 9.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[1.0, 2.0, 3.0, 9.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

    #[test]
    fn the_first_start_is_not_one_of_the_others() {
        let start = Start::new("floor".to_owned(), [500, 10, 30, 20].map(Duration::from_millis).to_vec());
        assert!((start.first_ms - 500.0).abs() < 1e-9);
        assert!((start.again_ms_median - 20.0).abs() < 1e-9);
        assert!((start.again_ms_max - 30.0).abs() < 1e-9);
    }
}
