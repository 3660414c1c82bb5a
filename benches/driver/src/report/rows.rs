//! The rows of a report, made from what was measured.

use crate::stats::{count, median, mib, ms, percentile, sorted};
use crate::usage::Used;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// So much CPU time is a few hundred ticks: a percent or two in the shares of user and system time.
const ENOUGH_FOR_TICKS: Duration = Duration::from_secs(2);

/// One life of a worker, as fast as it can.
pub(crate) struct Sample {
    pub(crate) used: Used,
    pub(crate) jobs: u32,
    pub(crate) jobs_per_second: f64,
    pub(crate) peak_rss: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// What the servers have used meanwhile, by their names.
    pub(crate) servers: Vec<(String, Duration)>,
}

/// Of several figures.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// Of several lives, per job.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct PerJob {
    pub(crate) cpu_ms: Spread,
    /// User and system time, of all lives together; absent where they took too little to tell by the tick.
    pub(crate) user_system_ms: Option<[f64; 2]>,
    /// Context switches: the worker waited, or its time was up.
    pub(crate) waits: f64,
    pub(crate) preemptions: f64,
    pub(crate) jobs_per_second: Spread,
}

/// Jobs of one size through one worker.
#[derive(Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) image_bytes: u64,
    pub(crate) worker: String,
    pub(crate) jobs: u32,
    #[serde(flatten)]
    pub(crate) per_job: PerJob,
    pub(crate) peak_mib: f64,
    /// From publish to verdict, with twice as many jobs out as the worker takes.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU of the servers per job, by their names.
    #[serde(default)]
    pub(crate) servers_ms: BTreeMap<String, f64>,
}

/// A worker with so many of something.
#[derive(Serialize, Deserialize)]
pub(crate) struct Scale {
    /// Of what: `jobs in flight`, `threads` or `processes`.
    pub(crate) what: String,
    pub(crate) count: u32,
    pub(crate) worker: String,
    #[serde(flatten)]
    pub(crate) per_job: PerJob,
    /// Of the largest process.
    pub(crate) peak_mib: f64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) worker: String,
    pub(crate) load_percent: u32,
    pub(crate) jobs_per_second: f64,
    pub(crate) jobs: usize,
    /// 50th, 99th and 99.9th percentile, from a job's delivery to its event.
    pub(crate) own_ms: [f64; 3],
    /// The same from when a job is due to be published to the arrival of its verdict.
    pub(crate) whole_ms: [f64; 3],
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) worker: String,
    pub(crate) image_bytes: u64,
    pub(crate) in_flight: u16,
    /// When the vendor takes its time.
    pub(crate) vendor: String,
    pub(crate) jobs: u32,
    /// That the vendor saw at a time.
    pub(crate) most_calls: u64,
    pub(crate) peak_mib: f64,
    /// A moment after the last job.
    pub(crate) after_mib: f64,
    pub(crate) took_s: f64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) worker: String,
    /// Nothing is there yet: queues are made.
    pub(crate) first_ms: f64,
    pub(crate) again_ms: Spread,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Idle {
    pub(crate) worker: String,
    pub(crate) rss_mib: f64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Drain {
    pub(crate) worker: String,
    pub(crate) in_flight: u16,
    pub(crate) vendor_ms: f64,
    /// From the vendor's last answer to the end of the process.
    pub(crate) added_ms: Spread,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Endurance {
    pub(crate) worker: String,
    pub(crate) image_bytes: u64,
    /// Jobs, and the resident MiB after them.
    pub(crate) first: (u32, f64),
    pub(crate) last: (u32, f64),
    pub(crate) peak_mib: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        let end = |value: Option<&f64>| value.copied().unwrap_or_default();
        Self { min: end(values.first()), median: median(&values), max: end(values.last()) }
    }
}

impl PerJob {
    fn of(samples: &[Sample]) -> Self {
        let each = |figure: fn(&Used) -> f64| {
            Spread::of(samples.iter().map(|sample| figure(&sample.used) / f64::from(sample.jobs.max(1))))
        };
        let jobs: u32 = samples.iter().map(|sample| sample.jobs).sum();
        let all: Used = samples.iter().map(|sample| sample.used).sum();
        let modes = [all.user, all.system].map(|time| ms(time) / f64::from(jobs.max(1)));
        Self {
            cpu_ms: each(|used| ms(used.cpu)),
            user_system_ms: (all.cpu >= ENOUGH_FOR_TICKS).then_some(modes),
            waits: each(|used| count(used.waits)).median,
            preemptions: each(|used| count(used.preemptions)).median,
            jobs_per_second: Spread::of(samples.iter().map(|sample| sample.jobs_per_second)),
        }
    }
}

impl Cost {
    pub(crate) fn new(image_bytes: u64, worker: String, samples: &[Sample]) -> Self {
        let of = |figure: fn(&Sample) -> Duration| Spread::of(samples.iter().map(|sample| ms(figure(sample)))).median;
        Self {
            image_bytes,
            worker,
            jobs: samples.iter().map(|sample| sample.jobs).sum(),
            per_job: PerJob::of(samples),
            peak_mib: largest(samples),
            p50_ms: of(|sample| sample.p50),
            p99_ms: of(|sample| sample.p99),
            servers_ms: servers(samples),
        }
    }
}

impl Scale {
    pub(crate) fn new(what: &str, count: u32, worker: String, samples: &[Sample]) -> Self {
        Self { what: what.to_owned(), count, worker, per_job: PerJob::of(samples), peak_mib: largest(samples) }
    }

    /// The number and what there are so many of.
    pub(crate) fn label(&self) -> String {
        let Self { count, what, .. } = self;
        match (count, what.as_str()) {
            (1, "jobs in flight") => "1 job in flight".to_owned(),
            (1, "threads") => "1 thread".to_owned(),
            (1, "processes") => "1 process".to_owned(),
            _ => format!("{count} {what}"),
        }
    }
}

impl Latency {
    pub(crate) fn new(worker: String, load_percent: u32, rate: f64, own: Vec<Duration>, whole: Vec<Duration>) -> Self {
        let jobs = whole.len();
        let percentiles = |mut times: Vec<Duration>| {
            times.sort_unstable();
            [500, 990, 999].map(|thousandths| ms(percentile(&times, thousandths)))
        };
        let (own_ms, whole_ms) = (percentiles(own), percentiles(whole));
        Self { worker, load_percent, jobs_per_second: rate, jobs, own_ms, whole_ms }
    }
}

impl Start {
    /// The first of the times is that of the first start.
    pub(crate) fn new(worker: String, times: Vec<Duration>) -> Self {
        let mut times = times.into_iter().map(ms);
        let first_ms = times.next().unwrap_or_default();
        Self { worker, first_ms, again_ms: Spread::of(times) }
    }
}

impl Idle {
    pub(crate) fn new(worker: String, rss: u64) -> Self {
        Self { worker, rss_mib: mib(rss) }
    }
}

impl Drain {
    pub(crate) fn new(worker: String, in_flight: u16, vendor: Duration, added: Vec<Duration>) -> Self {
        Self { worker, in_flight, vendor_ms: ms(vendor), added_ms: Spread::of(added.into_iter().map(ms)) }
    }
}

/// The median for each server.
fn servers(samples: &[Sample]) -> BTreeMap<String, f64> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        for (name, cpu) in &sample.servers {
            all.entry(name.clone()).or_default().push(ms(*cpu) / f64::from(sample.jobs.max(1)));
        }
    }
    all.into_iter().map(|(name, each)| (name, Spread::of(each).median)).collect()
}

fn largest(samples: &[Sample]) -> f64 {
    samples.iter().map(|sample| mib(sample.peak_rss)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_is_not_one_of_the_others() {
        let start = Start::new("floor".to_owned(), [500, 10, 30, 20].map(Duration::from_millis).to_vec());
        assert!((start.first_ms - 500.0).abs() < 1e-9);
        assert!((start.again_ms.median - 20.0).abs() < 1e-9);
        assert!((start.again_ms.max - 30.0).abs() < 1e-9);
    }

    #[test]
    fn what_lives_have_used_is_divided_by_their_jobs() {
        let sample = |cpu, user, jobs| Sample {
            used: Used {
                cpu: Duration::from_millis(cpu),
                user: Duration::from_millis(user),
                system: Duration::from_millis(cpu - user),
                waits: cpu,
                preemptions: 0,
            },
            jobs,
            jobs_per_second: 1.0,
            peak_rss: 0,
            p50: Duration::ZERO,
            p99: Duration::ZERO,
            servers: Vec::new(),
        };
        let short = PerJob::of(&[sample(100, 60, 100), sample(400, 100, 200)]);
        assert!((short.cpu_ms.min - 1.0).abs() < 1e-9 && (short.cpu_ms.max - 2.0).abs() < 1e-9);
        assert!((short.waits - 1.5).abs() < 1e-9);
        assert_eq!(short.user_system_ms, None);
        let long = PerJob::of(&[sample(1000, 600, 1000), sample(2000, 400, 1000)]);
        assert_eq!(long.user_system_ms, Some([0.5, 1.0]));
    }

    #[test]
    fn percentiles_are_of_times_in_any_order() {
        let times: Vec<Duration> = (1..=1000).rev().map(Duration::from_millis).collect();
        let row = Latency::new("floor".to_owned(), 10, 100.0, times[500..].to_vec(), times);
        assert_eq!(row.jobs, 1000);
        assert_eq!(Some(row.own_ms), Some([250.0, 495.0, 500.0]));
        assert_eq!(Some(row.whole_ms), Some([500.0, 990.0, 999.0]));
    }
}
