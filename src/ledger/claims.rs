//! Who is at work on which job, in this process.

use super::clock::Clock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A claim that was not given up (its task panicked) is void after this. A broker waits as long for an
/// acknowledgement: a task that still holds the claim then has lost its lease, which is checked before every call.
pub(super) const LIFE: Duration = Duration::from_mins(30);

/// Void claims are looked for when there are more than this.
const MANY: usize = 4096;

/// The claims of this process.
#[derive(Debug)]
pub(super) struct Claims {
    clock: Clock,
    held: Mutex<HashMap<String, Claim>>,
}

/// One claim.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim {
    since_ms: u64,
    /// Calls that were in doubt before the claim.
    pub(super) prior: u32,
    /// An intent has been put on record under this claim.
    pub(super) intent: bool,
    /// What a backend tells its claims apart by.
    pub(super) token: String,
    /// Which version of the record the claim has written, where the backend's store tells versions apart.
    pub(super) version: Option<String>,
}

/// The tokens by which a process knows its claims in a shared ledger: another for each claim, so that a step that is sent again finds its own claim and no
/// other does.
#[derive(Debug)]
pub(super) struct Tokens {
    process: String,
    count: AtomicU64,
}

/// A claim that is given up again unless it is kept.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    claims: &'a Claims,
    key: &'a str,
    kept: bool,
}

impl Claims {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default() }
    }

    /// Claims a job; `None` when it is claimed.
    pub(super) fn take<'a>(&'a self, key: &'a str, token: String) -> Option<Taken<'a>> {
        let now = self.clock.now_ms();
        let alive = |claim: &Claim| u128::from(now.saturating_sub(claim.since_ms)) < LIFE.as_millis();
        let mut held = self.held();
        if held.get(key).is_some_and(alive) {
            return None;
        }
        if held.len() >= MANY {
            held.retain(|_, claim| alive(claim));
        }
        held.insert(key.to_owned(), Claim { since_ms: now, token, ..Claim::default() });
        Some(Taken { claims: self, key, kept: false })
    }

    /// The claim of a job that is being worked on.
    pub(super) fn of(&self, key: &str) -> Option<Claim> {
        self.held().get(key).cloned()
    }

    /// An intent is on record. Where there was no claim (the ledger was away when the job began), there is one from now on.
    pub(super) fn intended(&self, key: &str, token: &str) {
        let now = self.clock.now_ms();
        let mut held = self.held();
        let claim = held.entry(key.to_owned()).or_insert_with(|| Claim { token: token.to_owned(), ..Claim::default() });
        claim.since_ms = now;
        claim.intent = true;
    }

    /// The record is at this version, by the claim's own doing.
    pub(super) fn versioned(&self, key: &str, version: Option<String>) {
        if let Some(claim) = self.held().get_mut(key) {
            claim.version = version;
        }
    }

    /// Gives a claim up.
    pub(super) fn give(&self, key: &str) -> Option<Claim> {
        self.held().remove(key)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Claim>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self { process: format!("{:016x}", fastrand::u64(..)), count: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> String {
        format!("{}.{:x}", self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether it is one of this process's, of whichever claim.
    pub(super) fn is_ours(&self, token: &str) -> bool {
        token.starts_with(&self.process)
    }
}

impl Taken<'_> {
    /// Keeps the claim, on a job with so many calls in doubt.
    pub(super) fn keep(mut self, prior: u32) {
        self.kept = true;
        if let Some(claim) = self.claims.held().get_mut(self.key) {
            claim.prior = prior;
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.kept {
            drop(self.claims.give(self.key));
        }
    }
}
