//! What the process itself takes, read from `/proc` at each scrape, under the names that every exporter gives it.

use procfs::ProcResult;
use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// A registry of its own: these names have no prefix.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(OfThisProcess));
    registry
}

#[derive(Debug)]
struct OfThisProcess;

/// Times in seconds, sizes in bytes.
struct Taken {
    cpu: f64,
    started: f64,
    resident: u64,
    virtual_memory: u64,
    threads: i64,
    open_files: u64,
    most_files: u64,
}

impl Collector for OfThisProcess {
    /// A `/proc` that does not answer leaves the series out: zeros would be a measurement.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Ok(taken) = taken() else { return Ok(()) };
        let mut put = |name, help, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        put("process_cpu", "CPU time, user and system.", Some(&Unit::Seconds), &ConstCounter::new(taken.cpu))?;
        put(
            "process_start_time",
            "When the process started, in seconds since 1970.",
            Some(&Unit::Seconds),
            &ConstGauge::new(taken.started),
        )?;
        put("process_resident_memory", "Resident memory.", Some(&Unit::Bytes), &ConstGauge::new(taken.resident))?;
        put("process_virtual_memory", "Address space.", Some(&Unit::Bytes), &ConstGauge::new(taken.virtual_memory))?;
        put("process_threads", "Threads.", None, &ConstGauge::new(taken.threads))?;
        put("process_open_fds", "Open file descriptors.", None, &ConstGauge::new(taken.open_files))?;
        put("process_max_fds", "The limit of open file descriptors.", None, &ConstGauge::new(taken.most_files))
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks and seconds are far below 2^52")]
fn taken() -> ProcResult<Taken> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    let most_files = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(most) => most,
        LimitValue::Unlimited => u64::MAX,
    };
    Ok(Taken {
        cpu: seconds(stat.utime + stat.stime),
        started: procfs::boot_time_secs()? as f64 + seconds(stat.starttime),
        resident: stat.rss * procfs::page_size(),
        virtual_memory: stat.vsize,
        threads: stat.num_threads,
        open_files: process.fd_count()? as u64,
        most_files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn what_is_told_is_of_this_process() {
        let before = taken().expect("a /proc");
        let kept = vec![1u8; 64 << 20];
        let files: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/null").expect("a file")).collect();
        let after = taken().expect("a /proc");
        // Other tests of this program run beside this one.
        assert!(after.resident > before.resident + (kept.len() as u64) / 2, "{} {}", before.resident, after.resident);
        assert!(after.virtual_memory >= after.resident && after.threads >= 1);
        assert!(after.cpu >= before.cpu && after.cpu < 1e6, "{}", after.cpu);
        assert!((files.len() as u64..=after.most_files).contains(&after.open_files), "{}", after.open_files);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        assert!((now - 86_400.0..=now + 1.0).contains(&after.started), "{} {now}", after.started);
    }

    #[test]
    fn the_names_are_those_of_other_exporters() {
        let page = crate::telemetry::Metrics::new().render().expect("renders");
        for (name, kind) in [
            ("process_cpu_seconds_total", "counter"),
            ("process_resident_memory_bytes", "gauge"),
            ("process_virtual_memory_bytes", "gauge"),
            ("process_threads", "gauge"),
            ("process_open_fds", "gauge"),
            ("process_max_fds", "gauge"),
            ("process_start_time_seconds", "gauge"),
        ] {
            assert!(page.contains(&format!("\n# TYPE {name} {kind}\n{name} ")), "{name}: {page}");
        }
    }
}
