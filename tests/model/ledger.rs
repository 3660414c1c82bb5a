//! The ledgers: the real one in memory, and one that survives its workers; with errors and the time they take.

use crate::life::Life;
use crate::plan::Fault;
use crate::world::State;
use antispoof_core::event::JobResult;
use antispoof_core::failure::Code;
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, Ledger, LedgerError};
use antispoofd::ledger::Memory;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A claim of a worker that is gone is void after this: longer than a job takes that is not held up, and shorter than some that are.
pub(crate) const CLAIM_LIFE: Duration = Duration::from_mins(3);

/// A day in this world: short, so that many schedules see some end.
pub(crate) const DAY: Duration = Duration::from_mins(10);

/// What survives.
#[derive(Default)]
pub(crate) struct Durable {
    entries: BTreeMap<String, Entry>,
    calls: Calls,
}

/// The calls that are counted on a day since the schedule began.
#[derive(Default)]
struct Calls {
    day: u64,
    counted: u64,
}

impl Calls {
    fn count(&mut self, limit: u64, elapsed: Duration) -> Intent {
        let day = day(elapsed);
        if self.day != day {
            *self = Self { day, counted: 0 };
        }
        if self.counted >= limit {
            let left = (DAY * u32::try_from(day + 1).expect("a few days")).saturating_sub(elapsed);
            return Intent::LimitReached { today: self.of(limit), resumes_in: left };
        }
        self.counted += 1;
        Intent::Recorded(Some(self.of(limit)))
    }

    fn of(&self, limit: u64) -> DailyCalls {
        DailyCalls { day: self.day, counted: self.counted, limit }
    }
}

/// Which day of the schedule it is.
pub(crate) fn day(elapsed: Duration) -> u64 {
    elapsed.as_secs() / DAY.as_secs()
}

enum Entry {
    Claimed {
        by: u64,
        since: Instant,
        /// Calls in doubt before the claim, and with it.
        prior: u32,
        calls: u32,
    },
    Intent {
        calls: u32,
    },
    Concluded(Box<JobResult>),
}

impl Durable {
    fn begin(&mut self, key: &str, by: u64) -> ClaimOutcome {
        let calls = match self.entries.get(key) {
            Some(Entry::Concluded(result)) => return ClaimOutcome::Concluded(result.clone()),
            Some(Entry::Claimed { since, .. }) if since.elapsed() < CLAIM_LIFE => return ClaimOutcome::Busy,
            Some(Entry::Claimed { calls, .. } | Entry::Intent { calls }) => *calls,
            None => 0,
        };
        self.entries.insert(key.to_owned(), Entry::Claimed { by, since: Instant::now(), prior: calls, calls });
        if calls == 0 { ClaimOutcome::Fresh } else { ClaimOutcome::InDoubt { calls } }
    }

    fn intent(&mut self, key: &str, by: u64, limit: u64, elapsed: Duration) -> Intent {
        let prior = match self.entries.get(key) {
            Some(Entry::Claimed { by: owner, prior, .. }) if *owner == by => *prior,
            Some(_) => return Intent::ClaimLost,
            None => 0,
        };
        let intent = if limit == 0 { Intent::Recorded(None) } else { self.calls.count(limit, elapsed) };
        if !matches!(intent, Intent::Recorded(_)) {
            return intent;
        }
        let claim = Entry::Claimed { by, since: Instant::now(), prior, calls: prior + 1 };
        self.entries.insert(key.to_owned(), claim);
        intent
    }

    fn conclude(
        &mut self,
        key: &str,
        result: &JobResult,
        superseded: Option<&JobResult>,
        by: u64,
    ) -> Option<Box<JobResult>> {
        let mut end = result.clone();
        match self.entries.get(key) {
            Some(Entry::Concluded(known)) if **known == end => return None,
            Some(Entry::Concluded(known)) if superseded != Some(&**known) => return Some(known.clone()),
            Some(Entry::Claimed { by: other, calls, .. }) if *other != by => {
                let others = calls.saturating_sub(u32::from(end.is_verdict()));
                let check = &mut end.report_mut().check;
                check.in_doubt = check.in_doubt.max(others);
            }
            _ => {}
        }
        self.entries.insert(key.to_owned(), Entry::Concluded(Box::new(end.clone())));
        (end != *result).then(|| Box::new(end))
    }

    fn unsent(&mut self, call: DailyCalls) {
        if self.calls.day == call.day {
            self.calls.counted -= 1;
        }
    }

    fn release(&mut self, key: &str, paid: bool, by: u64) {
        let calls = match self.entries.get(key) {
            Some(Entry::Claimed { by: owner, prior, calls, .. }) if *owner == by => {
                if paid {
                    *calls
                } else {
                    *prior
                }
            }
            _ => return,
        };
        if calls == 0 {
            self.entries.remove(key);
        } else {
            self.entries.insert(key.to_owned(), Entry::Intent { calls });
        }
    }
}

/// A worker's ledger.
pub(crate) struct ModelLedger {
    pub(crate) life: Arc<Life>,
    /// `None`: the one that survives.
    pub(crate) memory: Option<Memory>,
}

impl ModelLedger {
    /// True when the ledger does not answer, whether or not it does what it is asked for.
    async fn away(&self, what: &str, key: &str) -> Option<bool> {
        let life = &self.life;
        let number = self.number(key);
        life.enter(|| format!("{what} in the ledger, job {number:?}")).await;
        life.with(|state| {
            if !state.services.ledger {
                return Some(false);
            }
            state.fails(Fault::Ledger).then(|| state.dice.u8(0..4) == 0)
        })
    }

    fn number(&self, key: &str) -> Option<usize> {
        self.life.job_number(key)
    }
}

fn error() -> LedgerError {
    LedgerError("away".to_owned())
}

impl Ledger for ModelLedger {
    async fn begin(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        let away = self.away("begin", key).await;
        if away == Some(false) {
            return Err(error());
        }
        let known = match &self.memory {
            Some(memory) => memory.begin(key).await,
            None => Ok(self.life.with(|state| state.durable.begin(key, self.life.number))),
        };
        if let (Ok(known), Some(number)) = (&known, self.number(key)) {
            self.life.with(|state| {
                state.note(|| format!("ledger: job-{number} is {}", name(known)));
                if matches!(known, ClaimOutcome::InDoubt { .. }) {
                    // An answer that could not be put on record is gone with the lease that it was for.
                    state.records.doubt(self.life.number, number);
                }
                if matches!(known, ClaimOutcome::Concluded(_)) {
                    state.records.looked_after.insert(number);
                }
                if !matches!(known, ClaimOutcome::Busy) {
                    state.records.seen.remove(&(self.life.number, number));
                }
                state.records.jobs[number].lives.insert(self.life.number);
            });
        }
        self.life.leave().await;
        if away.is_some() { Err(error()) } else { known }
    }

    async fn intent(&self, key: &str) -> Result<Intent, LedgerError> {
        if let Some(number) = self.number(key) {
            self.life.with(|state| {
                if !self.life.is_dead() && !state.queues.holds(self.life.number, number) {
                    state.wrong(|| format!("job-{number} is about to be called for, and the broker has taken it back"));
                }
            });
        }
        let away = self.away("intent", key).await;
        if away == Some(false) {
            return Err(error());
        }
        let intent = match &self.memory {
            Some(memory) => memory.intent(key).await?,
            None => self.life.with(|state| {
                let (limit, elapsed) = (state.plan.daily_limit, state.elapsed());
                state.durable.intent(key, self.life.number, limit, elapsed)
            }),
        };
        self.life.leave().await;
        if away.is_some() { Err(error()) } else { Ok(intent) }
    }

    async fn conclude(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
    ) -> Result<Option<Box<JobResult>>, LedgerError> {
        let away = self.away("conclude", key).await;
        if away == Some(false) {
            return Err(error());
        }
        let standing = match &self.memory {
            Some(memory) => memory.conclude(key, object, result, superseded).await?,
            None => self.life.with(|state| state.durable.conclude(key, result, superseded, self.life.number)),
        };
        if let Some(number) = self.number(key) {
            self.life.with(|state| {
                if matches!(result, JobResult::Failure(failure) if failure.code == Code::ApiRejected) {
                    streak_is_short(state, self.life.number, number);
                }
                let ours = standing.as_ref().is_none_or(|end| end.report().at_ms == result.report().at_ms);
                if ours {
                    state.records.open_bills.remove(&(self.life.number, number));
                } else {
                    // Another worker's result is published: what was paid for here brought nothing.
                    state.records.doubt(self.life.number, number);
                }
                if self.memory.is_some() && result.is_verdict() {
                    state.records.memory.entry(self.life.number).or_default().insert(number);
                }
            });
        }
        self.life.leave().await;
        if away.is_some() { Err(error()) } else { Ok(standing) }
    }

    async fn published(&self, key: &str, keep: bool) -> Result<(), LedgerError> {
        assert!(keep, "the model's jobs are remembered");
        match &self.memory {
            Some(memory) => memory.published(key, keep).await,
            None => Ok(()),
        }
    }

    async fn unsent(&self, call: DailyCalls) -> Result<(), LedgerError> {
        let away = self.away("unsent", "").await;
        if away == Some(false) {
            return Err(error());
        }
        match &self.memory {
            Some(memory) => memory.unsent(call).await?,
            None => self.life.with(|state| state.durable.unsent(call)),
        }
        self.life.leave().await;
        if away.is_some() { Err(error()) } else { Ok(()) }
    }

    async fn daily_calls(&self) -> Result<Option<DailyCalls>, LedgerError> {
        Ok(None)
    }

    async fn recall(&self, _object: &str) -> Result<Option<JobResult>, LedgerError> {
        // The model's workers reuse by job.
        Ok(None)
    }

    async fn release(&self, key: &str, paid: bool) -> Result<(), LedgerError> {
        if let Some(number) = self.number(key).filter(|_| paid) {
            // Given up with a call on it: what it brought, if anything, is not on record.
            self.life.with(|state| state.records.doubt(self.life.number, number));
        }
        let away = self.away(if paid { "release (paid)" } else { "release" }, key).await;
        if away == Some(false) {
            return Err(error());
        }
        match &self.memory {
            Some(memory) => memory.release(key, paid).await?,
            None => self.life.with(|state| state.durable.release(key, paid, self.life.number)),
        }
        self.life.leave().await;
        if away.is_some() { Err(error()) } else { Ok(()) }
    }
}

fn name(known: &ClaimOutcome) -> &'static str {
    match known {
        ClaimOutcome::Fresh => "fresh",
        ClaimOutcome::InDoubt { .. } => "in doubt",
        ClaimOutcome::Concluded(_) => "concluded",
        ClaimOutcome::Busy => "busy",
    }
}

/// A worker that is to stop at so many rejections in a row ends less than that many jobs with one. What was rejected before the last verdict is of another
/// streak.
fn streak_is_short(state: &mut State, life: u64, number: usize) {
    let most = state.plan.rejection_streak;
    let Some(streak) = state.records.rejected.get_mut(&life) else { return };
    if let Some(ended) = streak.get_mut(&number) {
        *ended = true;
    }
    let ended: Vec<usize> = streak.iter().filter(|(_, ended)| **ended).map(|(number, _)| *number).collect();
    if most > 0 && ended.len() >= most {
        state.wrong(|| format!("worker {life} has ended {ended:?} as rejected, and {most} are a streak"));
    }
}
