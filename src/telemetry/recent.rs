//! What happened lately, for the status page: which jobs failed and how, and what the broker and the ledger last said.

use super::latency::Latency;
use antispoof_core::failure::Code;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Counts per minute are kept for so long.
const MINUTES: usize = 60;

/// Longer messages are cut: they are for a line of a page.
const LONGEST_MESSAGE: usize = 300;

/// What the status page shows besides metrics. No job waits for it: what is counted for each is atomic, and a lock is taken only where
/// one failed.
#[derive(Default)]
pub struct Recent {
    /// Calls.
    pub api: Latency,
    /// Requests for an object, to its header.
    pub store: Latency,
    failures: Mutex<BTreeMap<&'static str, Failures>>,
    broker: Mutex<Option<Trouble>>,
    ledger: Mutex<Option<Trouble>>,
}

/// Failed attempts with one code.
#[derive(Clone, Debug)]
pub struct Failures {
    /// The code.
    pub code: Code,
    /// The last message, as the log has it.
    pub message: String,
    /// The job that it was about.
    pub job: String,
    /// True when that job was parked, false when it is tried again.
    pub parked: bool,
    /// When.
    pub at: SystemTime,
    minutes: [u32; MINUTES],
    minute: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What was said last.
    pub what: String,
    /// Since when.
    pub since: SystemTime,
}

impl Recent {
    /// An attempt at a job failed.
    pub fn failed(&self, code: Code, message: &str, job: &str, parked: bool, at: SystemTime) {
        let mut failures = lock(&self.failures);
        let group = failures.entry(code.name()).or_insert_with(|| Failures {
            code,
            message: String::new(),
            job: String::new(),
            parked,
            at,
            minutes: [0; MINUTES],
            minute: minute(at),
        });
        group.advance(minute(at));
        group.minutes[slot(group.minute)] += 1;
        group.message = message.chars().take(LONGEST_MESSAGE).collect();
        job.clone_into(&mut group.job);
        (group.parked, group.at) = (parked, at);
    }

    /// The codes with failures in the last hour, the most frequent first, each with how many.
    pub fn failures(&self, now: SystemTime) -> Vec<(u32, Failures)> {
        let mut groups: Vec<_> = lock(&self.failures)
            .values_mut()
            .map(|group| {
                group.advance(minute(now));
                (group.minutes.iter().sum(), group.clone())
            })
            .filter(|(count, _)| *count > 0)
            .collect();
        groups.sort_by_key(|(count, group)| (std::cmp::Reverse(*count), group.code.name()));
        groups
    }

    /// There is no session with the broker, for this reason; `None` when there is one.
    pub fn broker(&self, trouble: Option<&str>) {
        replace(&self.broker, trouble);
    }

    /// The ledger failed, or answered.
    pub fn ledger(&self, trouble: Option<&str>) {
        replace(&self.ledger, trouble);
    }

    /// Why there is no session with the broker.
    pub fn broker_trouble(&self) -> Option<Trouble> {
        lock(&self.broker).clone()
    }

    /// What the ledger said.
    pub fn ledger_trouble(&self) -> Option<Trouble> {
        lock(&self.ledger).clone()
    }
}

impl Failures {
    /// Forgets the counts of minutes that are more than an hour ago.
    fn advance(&mut self, to: u64) {
        let passed = usize::try_from(to.saturating_sub(self.minute)).unwrap_or(MINUTES).min(MINUTES);
        for ahead in 1..=passed {
            self.minutes[slot(self.minute + ahead as u64)] = 0;
        }
        self.minute = self.minute.max(to);
    }
}

fn replace(slot: &Mutex<Option<Trouble>>, trouble: Option<&str>) {
    let mut slot = lock(slot);
    let since = slot.as_ref().map_or_else(SystemTime::now, |trouble| trouble.since);
    *slot = trouble.map(|what| Trouble { what: what.chars().take(LONGEST_MESSAGE).collect(), since });
}

fn minute(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() / 60
}

fn slot(minute: u64) -> usize {
    usize::try_from(minute % MINUTES as u64).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(minutes * 60 + 5)
    }

    #[test]
    fn failures_are_counted_for_an_hour_and_then_forgotten() {
        let recent = Recent::default();
        for minute in [1000, 1000, 1010, 1059] {
            recent.failed(Code::ObjectNotFound, "gone", "a", false, at(minute));
        }
        recent.failed(Code::ApiRejected, "no face", "b", true, at(1059));
        let counts = |minute| -> Vec<_> {
            recent.failures(at(minute)).into_iter().map(|(count, group)| (group.code, count)).collect()
        };
        assert_eq!(counts(1059), [(Code::ObjectNotFound, 4), (Code::ApiRejected, 1)]);
        assert_eq!(counts(1060), [(Code::ObjectNotFound, 2), (Code::ApiRejected, 1)]);
        assert_eq!(counts(1118), [(Code::ApiRejected, 1), (Code::ObjectNotFound, 1)]);
        assert_eq!(counts(1119), []);
        recent.failed(Code::ObjectNotFound, "gone again", "c", true, at(5000));
        let groups = recent.failures(at(5000));
        assert_eq!((groups[0].0, groups[0].1.message.as_str(), groups[0].1.parked), (1, "gone again", true));
        // A clock that was set back counts on.
        recent.failed(Code::ObjectNotFound, "x", "c", true, at(4000));
        assert_eq!(recent.failures(at(5000))[0].0, 2);
    }

    #[test]
    fn trouble_keeps_its_beginning_and_ends() {
        let recent = Recent::default();
        assert_eq!(recent.broker_trouble(), None);
        recent.broker(Some("refused"));
        let since = recent.broker_trouble().expect("it is away").since;
        recent.broker(Some("no answer"));
        assert_eq!(recent.broker_trouble(), Some(Trouble { what: "no answer".to_owned(), since }));
        recent.broker(None);
        assert_eq!(recent.broker_trouble(), None);
    }
}
