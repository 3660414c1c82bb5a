//! The count of calls against `api.daily_call_limit`, of all workers together: one object with a day and a number.
//!
//! Where a day may have many calls, or many jobs wait for one, a worker takes some of them at a time, so that not each call costs a request. What it took and did not use is
//! counted all the same: too many are counted rather than too few.

use crate::ledger::daily::Tally;
use crate::s3::{Condition, Objects, Put, Stored, Trouble};
use antispoof_core::ports::{DailyCalls, Intent};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// A worker takes up to this part of the day's calls at a time.
const PART: u64 = 1000;
const MOST_AT_A_TIME: u64 = 100;

/// So often is the count looked at again that others change at the same time. Each time one of them has got on.
const MOST_LOOKS: usize = 256;

#[derive(Debug)]
pub(super) struct Quota {
    limit: u64,
    at_a_time: u64,
    name: String,
    taken: Mutex<Taken>,
    /// One task at a time asks for calls, for all that wait.
    turn: Semaphore,
    waiting: AtomicU64,
}

/// What this process has taken of a day's calls.
#[derive(Clone, Debug, Default)]
struct Taken {
    day: u64,
    /// Not used yet.
    left: u64,
    used: u64,
    /// What the store counted when this process last took some.
    counted: u64,
    /// Which version of the count that was.
    version: Option<String>,
}

impl Quota {
    /// `None` where the limit is 0, which is none.
    pub(super) fn new(limit: u64, name: String) -> Option<Self> {
        let at_a_time = (limit / PART).clamp(1, MOST_AT_A_TIME);
        let (turn, waiting) = (Semaphore::new(1), AtomicU64::new(0));
        (limit > 0).then(|| Self { limit, at_a_time, name, taken: Mutex::default(), turn, waiting })
    }

    /// Counts a call at that time, unless that would be one too many.
    pub(super) async fn count(&self, objects: &Objects, now_ms: u64) -> Result<Intent, Trouble> {
        let day = Tally::default().on(now_ms).day;
        if let Some(today) = self.use_one(day) {
            return Ok(Intent::Recorded(Some(today)));
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        match self.use_one(day) {
            Some(today) => Ok(Intent::Recorded(Some(today))),
            None => self.take(objects, now_ms).await,
        }
    }

    /// Takes calls for this task and all that wait.
    async fn take(&self, objects: &Objects, now_ms: u64) -> Result<Intent, Trouble> {
        let mut seen = self.last_seen(now_ms);
        for _ in 0..MOST_LOOKS {
            let (mut tally, etag) = match seen.take() {
                Some(seen) => seen,
                None => self.look(objects, now_ms).await?,
            };
            let first = match tally.count(self.limit, now_ms) {
                Intent::Recorded(Some(first)) => first,
                refused => return Ok(refused),
            };
            let wanted = self.at_a_time.max(self.waiting.load(Ordering::Relaxed));
            let more = (wanted - 1).min(self.limit - tally.counted);
            tally.counted += more;
            let body = Bytes::from(format!("{} {}", tally.day, tally.counted));
            let condition = etag.as_deref().map_or(Condition::Absent, Condition::Unchanged);
            if let Put::Written(version) = objects.put(&self.name, body, condition).await? {
                let mut taken = self.on(tally.day);
                taken.left += more;
                taken.used += 1;
                taken.counted = tally.counted;
                taken.version = Some(version);
                return Ok(Intent::Recorded(Some(first)));
            }
        }
        Err(Trouble::crowded(&objects.place()))
    }

    /// The count as this process left it, with its version: where no other worker has counted since, no look is needed. Not where the day has had its
    /// calls by it: others may have given some back.
    fn last_seen(&self, now_ms: u64) -> Option<(Tally, Option<String>)> {
        let taken = self.taken();
        let tally = Tally { day: taken.day, counted: taken.counted };
        let version = taken.version.clone()?;
        (tally.on(now_ms) == tally && taken.counted < self.limit).then_some((tally, Some(version)))
    }

    /// A call of that day was not sent: another one may be made in its place.
    pub(super) fn take_back(&self, day: u64) {
        let mut taken = self.taken();
        if taken.day == day && taken.used > 0 {
            taken.used -= 1;
            taken.left += 1;
        }
    }

    /// What is counted, without what this process has taken and not used.
    pub(super) async fn today(&self, objects: &Objects, now_ms: impl Fn() -> u64) -> Result<DailyCalls, Trouble> {
        let stored = objects.get(&self.name).await?;
        // After the answer, whose date may have been the first.
        let tally = read(stored.as_ref()).on(now_ms());
        let taken = self.on(tally.day);
        Ok(Tally { counted: tally.counted.saturating_sub(taken.left), ..tally }.of(self.limit))
    }

    /// One of those that were taken before.
    fn use_one(&self, day: u64) -> Option<DailyCalls> {
        let mut taken = self.on(day);
        taken.left = taken.left.checked_sub(1)?;
        taken.used += 1;
        Some(Tally { day, counted: taken.counted.saturating_sub(taken.left) }.of(self.limit))
    }

    async fn look(&self, objects: &Objects, now_ms: u64) -> Result<(Tally, Option<String>), Trouble> {
        let stored = objects.get(&self.name).await?;
        let tally = read(stored.as_ref()).on(now_ms);
        Ok((tally, stored.map(|stored| stored.etag)))
    }

    /// What was taken of this day; of another day it is over.
    fn on(&self, day: u64) -> MutexGuard<'_, Taken> {
        let mut taken = self.taken();
        if taken.day != day {
            *taken = Taken { day, ..Taken::default() };
        }
        taken
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits for its turn.
struct Waits<'a>(&'a AtomicU64);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is no count is none: a day that begins anew.
fn read(stored: Option<&Stored>) -> Tally {
    let text = stored.and_then(|stored| std::str::from_utf8(&stored.body).ok()).unwrap_or_default();
    let tally = text
        .split_once(' ')
        .and_then(|(day, counted)| Some(Tally { day: day.parse().ok()?, counted: counted.trim_end().parse().ok()? }));
    tally.unwrap_or_default()
}
