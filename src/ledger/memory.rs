//! A ledger that lives as long as the process, bounded in number and in time.

mod ttl_cache;

use super::claims::Claims;
use super::clock::Clock;
use super::daily::LocalCount;
use super::record::{self, Change, Record};
use antispoof_core::event::JobResult;
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, Ledger, LedgerError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ttl_cache::TtlCache;

/// The memory backend. Keeps at most so many jobs and as many objects; a full one forgets the oldest published end, then the oldest of the
/// rest, and never a claim.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    claims: Claims,
    jobs: Mutex<TtlCache<Record>>,
    objects: Mutex<TtlCache<JobResult>>,
    calls: LocalCount,
}

impl Memory {
    /// A ledger of at most `most` entries (at least 1), each kept for `ttl`.
    pub fn new(most: usize, ttl: Duration, clock: Clock) -> Self {
        Self {
            claims: Claims::new(clock.clone()),
            clock,
            jobs: Mutex::new(TtlCache::new(most, ttl)),
            objects: Mutex::new(TtlCache::new(most, ttl)),
            calls: LocalCount::default(),
        }
    }

    /// Counts the calls of this process.
    #[must_use]
    pub fn counting(self, calls: LocalCount) -> Self {
        Self { calls, ..self }
    }

    /// How many jobs and objects it holds.
    pub fn len(&self) -> usize {
        locked(&self.jobs).len() + locked(&self.objects).len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn begun(&self, key: &str) -> ClaimOutcome {
        let Some(taken) = self.claims.take(key, String::new()) else { return ClaimOutcome::Busy };
        let now = self.clock.now_ms();
        let known = record::begin(locked(&self.jobs).get(key, now).cloned());
        match &known {
            ClaimOutcome::Fresh => taken.keep(0),
            ClaimOutcome::InDoubt { calls } => taken.keep(*calls),
            ClaimOutcome::Concluded(_) | ClaimOutcome::Busy => {}
        }
        known
    }

    fn apply(&self, jobs: &mut TtlCache<Record>, key: &str, change: Change, now: u64) {
        match change {
            Change::Keep => {}
            Change::Remove => jobs.remove(key),
            Change::Put(record) => jobs.put(key, record, false, now, |key| self.claims.of(key).is_some()),
        }
    }
}

impl Ledger for Memory {
    async fn begin(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        Ok(self.begun(key))
    }

    async fn intent(&self, key: &str) -> Result<Intent, LedgerError> {
        let now = self.clock.now_ms();
        let mut jobs = locked(&self.jobs);
        let prior = self.claims.of(key).map(|claim| claim.prior);
        let Some(change) = record::intent(jobs.get(key, now), prior) else { return Ok(Intent::ClaimLost) };
        let intent = self.calls.count();
        if let Intent::Recorded(_) = intent {
            self.apply(&mut jobs, key, change, now);
            self.claims.intended(key, "");
        }
        Ok(intent)
    }

    async fn conclude(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
    ) -> Result<Option<Box<JobResult>>, LedgerError> {
        let now = self.clock.now_ms();
        let standing = {
            let mut jobs = locked(&self.jobs);
            let (change, standing) = record::conclude(jobs.get(key, now), result, superseded);
            self.apply(&mut jobs, key, change, now);
            standing
        };
        if let Some(object) = object.filter(|_| result.is_verdict()) {
            locked(&self.objects).put(object, result.clone(), true, now, |_| false);
        }
        drop(self.claims.give(key));
        Ok(standing)
    }

    async fn published(&self, key: &str, keep: bool) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        let mut jobs = locked(&self.jobs);
        if keep {
            // In place: what `record::published` makes of it is a copy.
            jobs.spend(key, now, |record| match record {
                Record::Ended { published, .. } => !std::mem::replace(published, true),
                Record::Intent { .. } => false,
            });
        } else {
            let change = record::published(jobs.get(key, now).cloned(), false);
            self.apply(&mut jobs, key, change, now);
        }
        Ok(())
    }

    async fn release(&self, key: &str, paid: bool) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        let mut jobs = locked(&self.jobs);
        if let Some(claim) = self.claims.give(key)
            && claim.intent
            && !paid
        {
            let change = record::revert(jobs.get(key, now), claim.prior);
            self.apply(&mut jobs, key, change, now);
        }
        Ok(())
    }

    async fn unsent(&self, call: DailyCalls) -> Result<(), LedgerError> {
        self.calls.take_back(call.day);
        Ok(())
    }

    async fn daily_calls(&self) -> Result<Option<DailyCalls>, LedgerError> {
        Ok(self.calls.today())
    }

    async fn recall(&self, object: &str) -> Result<Option<JobResult>, LedgerError> {
        Ok(locked(&self.objects).get(object, self.clock.now_ms()).cloned())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::conformance::{Hand, Lives, Place, conformance, failure, verdict};
    use std::sync::Arc;

    struct Here {
        ledger: Arc<Memory>,
        hand: Hand,
    }

    impl Place for Here {
        type Ledger = Memory;

        async fn limited(lives: Lives, daily_call_limit: u64) -> Self {
            let hand = Hand::default();
            let count = LocalCount::new(daily_call_limit, hand.clock());
            Self { ledger: Arc::new(Memory::new(100, lives.ttl, hand.clock()).counting(count)), hand }
        }

        fn worker(&self) -> Arc<Memory> {
            self.ledger.clone()
        }

        async fn stranger(&self) -> Option<Arc<Memory>> {
            None
        }

        fn pass(&self, time: Duration) {
            // A claim's life counts from its last step; what is kept is kept longer here.
            self.hand.pass(time.min(Duration::from_hours(1)));
        }

        async fn next_day(&self) {
            self.hand.pass(Duration::from_hours(24));
        }

        async fn after_a_crash(self) -> Option<Self> {
            None
        }
    }

    conformance!(Here);

    #[tokio::test]
    async fn a_full_ledger_forgets_what_is_published_first_and_never_a_claim() {
        let ledger = Memory::new(10, Duration::from_hours(1), Hand::default().clock());
        for key in ["claimed", "in doubt"] {
            ledger.begin(key).await.expect("memory");
            assert_eq!(ledger.intent(key).await, Ok(Intent::Recorded(None)));
        }
        ledger.release("in doubt", true).await.expect("memory");
        ledger.conclude("untold", None, &failure(0), None).await.expect("memory");
        for n in 0..500 {
            let key = n.to_string();
            ledger.conclude(&key, Some(&key), &verdict(0.5), None).await.expect("memory");
            ledger.published(&key, true).await.expect("memory");
        }
        assert_eq!(ledger.begin("claimed").await, Ok(ClaimOutcome::Busy));
        assert_eq!(ledger.begin("in doubt").await, Ok(ClaimOutcome::InDoubt { calls: 1 }));
        assert!(matches!(ledger.begin("untold").await, Ok(ClaimOutcome::Concluded(_))));
        assert_eq!(ledger.begin("0").await, Ok(ClaimOutcome::Fresh));
        assert!(matches!(ledger.begin("499").await, Ok(ClaimOutcome::Concluded(_))));
        assert!(ledger.len() <= 21, "{} entries", ledger.len());
        assert!(locked(&ledger.jobs).void() < 100, "ages are forgotten with their values");
        // What is untold goes, too, when there is nothing else.
        for n in 1000..1020 {
            ledger.conclude(&n.to_string(), None, &verdict(0.5), None).await.expect("memory");
        }
        assert_eq!(ledger.begin("untold").await, Ok(ClaimOutcome::Fresh));
        assert_eq!(ledger.begin("claimed").await, Ok(ClaimOutcome::Busy));
    }
}
