//! What a process has used, as the kernel counts it.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::iter::Sum;
use std::time::Duration;

/// A tick of `/proc/PID/stat`; Linux tells programs of no other on any machine that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used of the CPU, at one moment.
pub(crate) struct Cpu {
    /// Of each thread, in nanoseconds.
    threads: BTreeMap<u32, u64>,
    /// Context switches of each thread: voluntary (it waited) and not (its time was up).
    switches: BTreeMap<u32, [u64; 2]>,
    /// Of the process, threads that have ended included: user and system time.
    whole: [Duration; 2],
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Used {
    /// To the nanosecond, or, when a thread has ended (runtimes let idle ones go), to the tick.
    pub(crate) cpu: Duration,
    /// To the tick.
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// Without those of threads that have ended.
    pub(crate) waits: u64,
    pub(crate) preemptions: u64,
}

impl Sum for Used {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            cpu: sum.cpu + part.cpu,
            user: sum.user + part.user,
            system: sum.system + part.system,
            waits: sum.waits + part.waits,
            preemptions: sum.preemptions + part.preemptions,
        })
    }
}

impl Cpu {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let (mut threads, mut switches) = (BTreeMap::new(), BTreeMap::new());
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("list the worker's threads")? {
            let task = task?;
            let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread that has just ended is noticed in `since`.
            if let Ok(text) = fs::read_to_string(task.path().join("schedstat")) {
                threads.insert(thread, running(&text)?);
            }
            if let Ok(text) = fs::read_to_string(task.path().join("status")) {
                switches.insert(thread, switched(&text).context("the kernel counts no context switches")?);
            }
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read the worker's stat")?;
        let whole = ticks(&stat).context("read the times in the worker's stat")?.map(|ticks| TICK * ticks);
        Ok(Self { threads, switches, whole })
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Used {
        let [user, system] = [0, 1].map(|mode| self.whole[mode].saturating_sub(before.whole[mode]));
        let all_live = before.threads.keys().all(|thread| self.threads.contains_key(thread));
        let nanos = |cpu: &Self| cpu.threads.values().sum::<u64>();
        let cpu =
            if all_live { Duration::from_nanos(nanos(self).saturating_sub(nanos(before))) } else { user + system };
        let switched = |kind: usize| {
            let of = |(thread, now): (&u32, &[u64; 2])| {
                now[kind].saturating_sub(before.switches.get(thread).map_or(0, |then| then[kind]))
            };
            self.switches.iter().map(of).sum()
        };
        Used { cpu, user, system, waits: switched(0), preemptions: switched(1) }
    }
}

/// Most memory that was resident at any moment, in bytes.
pub(crate) fn peak_rss(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the worker's status")?;
    kilobytes(&status, "VmHWM:").context("the kernel does not say VmHWM")
}

/// Memory that is resident now, in bytes.
pub(crate) fn rss(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the worker's status")?;
    kilobytes(&status, "VmRSS:").context("the kernel does not say VmRSS")
}

fn running(schedstat: &str) -> Result<u64> {
    let first = schedstat.split_ascii_whitespace().next().context("the kernel keeps no schedstat")?;
    first.parse().context("read the first number of schedstat")
}

/// User and system time: the 14th and 15th field, counted behind the name, which may have spaces and brackets in it.
fn ticks(stat: &str) -> Option<[u32; 2]> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    Some([fields.next()?.parse().ok()?, fields.next()?.parse().ok()?])
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    Some(line(status, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn switched(status: &str) -> Option<[u64; 2]> {
    let count = |name| line(status, name)?.parse().ok();
    Some([count("voluntary_ctxt_switches:")?, count("nonvoluntary_ctxt_switches:")?])
}

fn line<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_are_read() {
        assert_eq!(running("443623 0 1\n").unwrap(), 443_623);
        let status = "VmPeak:\t  9 kB\nVmHWM:\t    1532 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(kilobytes(status, "VmHWM:"), Some(1532 * 1024));
        assert_eq!(kilobytes(status, "VmRSS:"), Some(1024));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 900 0 3 0 150 30 4 5 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some([150, 30]));
        let status = "Threads:\t1\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(switched(status), Some([12, 3]));
    }

    #[test]
    fn this_process_has_used_something() {
        let me = std::process::id();
        let before = Cpu::of(me).unwrap();
        assert!(before.threads.values().sum::<u64>() > 0);
        assert!(peak_rss(me).unwrap() >= rss(me).unwrap() && rss(me).unwrap() > 100_000);
    }

    #[test]
    fn a_thread_that_ended_leaves_the_ticks() {
        let cpu = |threads: &[(u32, u64)], ticks| Cpu {
            threads: threads.iter().copied().collect(),
            switches: threads.iter().map(|(thread, used)| (*thread, [*used, used / 2])).collect(),
            whole: [TICK * ticks, TICK],
        };
        let before = cpu(&[(1, 10), (2, 20)], 7);
        let used = cpu(&[(1, 12), (2, 24), (3, 4)], 7).since(&before);
        assert_eq!((used.cpu, used.waits, used.preemptions), (Duration::from_nanos(10), 10, 5));
        let used = cpu(&[(1, 14)], 9).since(&before);
        assert_eq!((used.cpu, used.user, used.system), (TICK * 2, TICK * 2, Duration::ZERO));
        assert_eq!((used.waits, used.preemptions), (4, 2));
    }
}
