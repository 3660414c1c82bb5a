//! What a process has used, as the kernel counts it.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// CPU time of each thread of a process, at one moment.
pub(crate) struct Cpu {
    nanos: BTreeMap<u32, u64>,
}

impl Cpu {
    /// From `/proc/PID/task/*/schedstat`, which counts nanoseconds where `/proc/PID/stat` counts ticks of 10 ms.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut nanos = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("list the worker's threads")? {
            let task = task?;
            let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread that has just ended is noticed in `since`.
            if let Ok(text) = fs::read_to_string(task.path().join("schedstat")) {
                nanos.insert(thread, running(&text)?);
            }
        }
        Ok(Self { nanos })
    }

    /// What was used since `before`. Fails when a thread has ended, because what it used is not known.
    pub(crate) fn since(&self, before: &Self) -> Result<Duration> {
        ensure!(before.nanos.keys().all(|thread| self.nanos.contains_key(thread)), "a thread of the worker has ended");
        let used = |cpu: &Self| cpu.nanos.values().sum::<u64>();
        Ok(Duration::from_nanos(used(self).saturating_sub(used(before))))
    }
}

/// Most memory that was resident at any moment, in bytes.
pub(crate) fn peak_rss(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the worker's status")?;
    high_water(&status).context("the kernel does not say VmHWM")
}

fn running(schedstat: &str) -> Result<u64> {
    let first = schedstat.split_ascii_whitespace().next().context("the kernel keeps no schedstat")?;
    first.parse().context("read the first number of schedstat")
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_are_read() {
        assert_eq!(running("443623 0 1\n").unwrap(), 443_623);
        assert_eq!(high_water("VmPeak:\t  9 kB\nVmHWM:\t    1532 kB\nVmRSS:\t 1 kB\n"), Some(1532 * 1024));
        assert_eq!(high_water("VmPeak:\t  9 kB\n"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let me = std::process::id();
        let before = Cpu::of(me).unwrap();
        assert!(before.nanos.values().sum::<u64>() > 0);
        assert!(peak_rss(me).unwrap() > 100_000);
    }

    #[test]
    fn a_lost_thread_is_an_error_and_a_new_one_counts() {
        let cpu = |threads: &[(u32, u64)]| Cpu { nanos: threads.iter().copied().collect() };
        let before = cpu(&[(1, 10), (2, 20)]);
        assert_eq!(cpu(&[(1, 11), (2, 25), (3, 4)]).since(&before).unwrap(), Duration::from_nanos(10));
        assert!(cpu(&[(1, 11)]).since(&before).is_err());
    }
}
