//! What a process has used, as the kernel counts it.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// A tick of `/proc/PID/stat`; Linux tells programs of no other on any machine that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process, at one moment.
pub(crate) struct Cpu {
    /// Of each thread, in nanoseconds.
    threads: BTreeMap<u32, u64>,
    /// Of the process, threads that have ended included.
    whole: Duration,
}

impl Cpu {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("list the worker's threads")? {
            let task = task?;
            let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread that has just ended is noticed in `since`.
            if let Ok(text) = fs::read_to_string(task.path().join("schedstat")) {
                threads.insert(thread, running(&text)?);
            }
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read the worker's stat")?;
        let whole = TICK * ticks(&stat).context("read the times in the worker's stat")?;
        Ok(Self { threads, whole })
    }

    /// What was used since `before`: to the nanosecond, or, when a thread has ended (runtimes let idle ones go), to the tick.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        if before.threads.keys().all(|thread| self.threads.contains_key(thread)) {
            let used = |cpu: &Self| cpu.threads.values().sum::<u64>();
            Duration::from_nanos(used(self).saturating_sub(used(before)))
        } else {
            self.whole.saturating_sub(before.whole)
        }
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

/// User and system time: the 14th and 15th field, counted behind the name, which may have spaces and brackets in it.
fn ticks(stat: &str) -> Option<u32> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
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
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 900 0 3 0 150 30 4 5 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some(180));
    }

    #[test]
    fn this_process_has_used_something() {
        let me = std::process::id();
        let before = Cpu::of(me).unwrap();
        assert!(before.threads.values().sum::<u64>() > 0);
        assert!(peak_rss(me).unwrap() > 100_000);
    }

    #[test]
    fn a_thread_that_ended_leaves_the_ticks() {
        let cpu =
            |threads: &[(u32, u64)], ticks| Cpu { threads: threads.iter().copied().collect(), whole: TICK * ticks };
        let before = cpu(&[(1, 10), (2, 20)], 7);
        assert_eq!(cpu(&[(1, 11), (2, 25), (3, 4)], 7).since(&before), Duration::from_nanos(10));
        assert_eq!(cpu(&[(1, 11)], 9).since(&before), TICK * 2);
    }
}
