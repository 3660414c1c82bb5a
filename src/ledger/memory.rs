//! A ledger that lives as long as the process, bounded in number and in time.

use antispoof_core::event::Conclusion;
use antispoof_core::ports::{Known, Ledger, LedgerError};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A claim that is neither concluded nor released (its task panicked) is void after this; longer than any job may take.
const CLAIM_LIFE: Duration = Duration::from_mins(15);

/// The memory backend. Keeps at most so many entries, the youngest; a full ledger forgets the oldest job that is not being worked on.
pub struct Memory {
    most: usize,
    ttl: Duration,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    known: HashMap<String, Entry>,
    /// Keys by age, one item for each insertion; an item whose stamp is not its entry's is void.
    ages: VecDeque<(String, u64)>,
    stamp: u64,
}

struct Entry {
    state: State,
    since: Instant,
    stamp: u64,
}

enum State {
    Claimed {
        intent: bool,
    },
    /// Given up with a call on record that may have been paid for.
    Intent,
    Concluded(Box<Conclusion>),
}

impl Memory {
    /// A ledger of at most `most` entries (at least 1), each kept for `ttl`.
    pub fn new(most: usize, ttl: Duration) -> Self {
        Self { most: most.max(1), ttl, entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for Memory {
    async fn begin(&self, key: &str) -> Result<Known, LedgerError> {
        let now = Instant::now();
        let mut entries = self.entries();
        entries.forget(now, self.ttl, self.most);
        let (known, intent) = match entries.known.get(key).map(|entry| (&entry.state, entry.since)) {
            Some((State::Concluded(conclusion), _)) => return Ok(Known::Concluded(conclusion.clone())),
            Some((State::Claimed { .. }, since)) if now.duration_since(since) < CLAIM_LIFE => return Ok(Known::Busy),
            Some((State::Claimed { intent: true } | State::Intent, _)) => (Known::InDoubt, true),
            Some((State::Claimed { intent: false }, _)) | None => (Known::Fresh, false),
        };
        entries.put(key, State::Claimed { intent }, now);
        Ok(known)
    }

    async fn intent(&self, key: &str) -> Result<(), LedgerError> {
        self.entries().put(key, State::Claimed { intent: true }, Instant::now());
        Ok(())
    }

    async fn conclude(&self, key: &str, conclusion: &Conclusion) -> Result<(), LedgerError> {
        self.entries().put(key, State::Concluded(Box::new(conclusion.clone())), Instant::now());
        Ok(())
    }

    async fn release(&self, key: &str, paid: bool) -> Result<(), LedgerError> {
        let mut entries = self.entries();
        match entries.known.get(key).map(|entry| &entry.state) {
            Some(State::Claimed { .. }) if paid => entries.put(key, State::Intent, Instant::now()),
            Some(State::Claimed { .. }) => {
                entries.known.remove(key);
            }
            Some(State::Intent | State::Concluded(_)) | None => {}
        }
        Ok(())
    }
}

impl Entries {
    fn put(&mut self, key: &str, state: State, now: Instant) {
        self.stamp += 1;
        let entry = Entry { state, since: now, stamp: self.stamp };
        self.known.insert(key.to_owned(), entry);
        self.ages.push_back((key.to_owned(), self.stamp));
    }

    /// Drops what is too old or too much, oldest first. Claims stay: somebody is working on them.
    fn forget(&mut self, now: Instant, ttl: Duration, most: usize) {
        let mut kept = VecDeque::new();
        while let Some((key, stamp)) = self.ages.front() {
            let Some(entry) = self.known.get(key).filter(|entry| entry.stamp == *stamp) else {
                self.ages.pop_front();
                continue;
            };
            let void = match entry.state {
                State::Claimed { .. } => now.duration_since(entry.since) >= ttl.max(CLAIM_LIFE),
                State::Intent | State::Concluded(_) => {
                    self.known.len() > most || now.duration_since(entry.since) >= ttl
                }
            };
            let claimed = matches!(entry.state, State::Claimed { .. });
            match self.ages.pop_front() {
                Some((key, _)) if void => drop(self.known.remove(&key)),
                Some(item) if claimed && self.known.len() > most => kept.push_back(item),
                Some(item) => {
                    self.ages.push_front(item);
                    break;
                }
                None => break,
            }
        }
        while let Some(item) = kept.pop_back() {
            self.ages.push_front(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antispoof_core::failure::{Code, Failure};
    use antispoof_core::retry::Attempt;
    use time::OffsetDateTime;

    const DAY: Duration = Duration::from_hours(24);

    fn conclusion() -> Conclusion {
        let failure = Failure::new(Code::ApiRejected, "x");
        Conclusion::failed(&failure, None, Attempt::spent(1), OffsetDateTime::UNIX_EPOCH, 0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_goes_from_claimed_over_intent_to_concluded() {
        let ledger = Memory::new(10, DAY);
        assert_eq!(ledger.begin("a").await.expect("memory"), Known::Fresh);
        assert_eq!(ledger.begin("a").await.expect("memory"), Known::Busy);
        ledger.release("a", false).await.expect("memory");
        assert_eq!(ledger.begin("a").await.expect("memory"), Known::Fresh);
        ledger.intent("a").await.expect("memory");
        ledger.release("a", true).await.expect("memory");
        assert_eq!(ledger.begin("a").await.expect("memory"), Known::InDoubt);
        ledger.conclude("a", &conclusion()).await.expect("memory");
        ledger.release("a", true).await.expect("memory");
        assert_eq!(ledger.begin("a").await.expect("memory"), Known::Concluded(Box::new(conclusion())));
        tokio::time::advance(DAY).await;
        assert_eq!(ledger.begin("a").await.expect("memory"), Known::Fresh, "kept for its time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_left_behind_is_void_after_a_while_and_keeps_its_doubt() {
        let ledger = Memory::new(10, DAY);
        ledger.begin("a").await.expect("memory");
        ledger.intent("a").await.expect("memory");
        tokio::time::advance(CLAIM_LIFE).await;
        assert_eq!(ledger.begin("a").await.expect("memory"), Known::InDoubt);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_ledger_forgets_the_oldest_and_never_a_claim() {
        let ledger = Memory::new(3, DAY);
        ledger.begin("claimed").await.expect("memory");
        for n in 0..50 {
            let key = n.to_string();
            ledger.begin(&key).await.expect("memory");
            ledger.conclude(&key, &conclusion()).await.expect("memory");
        }
        assert_eq!(ledger.begin("claimed").await.expect("memory"), Known::Busy);
        assert_eq!(ledger.begin("0").await.expect("memory"), Known::Fresh);
        assert!(matches!(ledger.begin("49").await.expect("memory"), Known::Concluded(_)));
        let entries = ledger.entries();
        assert!(entries.known.len() <= 6 && entries.ages.len() <= 12, "{} {}", entries.known.len(), entries.ages.len());
    }
}
