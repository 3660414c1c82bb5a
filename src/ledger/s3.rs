//! A ledger in a bucket, shared by all workers. Each job is one small object, and each step one PUT under a condition: of all who saw the same
//! object one changes it, and the others look again.
//!
//! An ordinary job takes three requests: it is claimed, its call is put on record, its end is. Nothing is ever deleted, because no store holds a
//! condition for that; the bucket's lifecycle rule removes what is too old.

mod entry;
mod probe;
mod quota;
mod steps;

pub use probe::Unfit;

use super::claims::{self, Claims, Tokens};
use super::clock::{Clock, millis};
use super::owed::{self, Owed};
use super::record::Record;
use super::refused::Refused;
use crate::s3::{Condition, Objects, Put, Stored, Trouble};
use antispoof_core::event::JobResult;
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, Ledger, LedgerError};
use bytes::Bytes;
use entry::{Entry, Holder};
use probe::Proof;
use quota::Quota;
use std::time::Duration;

/// So often is an object looked at again that others change at the same time. Each time one of them has got on.
const MOST_LOOKS: usize = 16;

/// No worker claims a job for longer: what says so was written by another clock, or by another program.
const LONGEST_CLAIM: Duration = Duration::from_hours(24);

/// What the S3 backend needs to know.
#[derive(Clone, Copy, Debug)]
pub struct S3Options<'a> {
    /// Start of every key, without a slash at its end.
    pub prefix: &'a str,
    /// How long intents and ends are kept.
    pub ttl: Duration,
    /// How long a claim lasts that its worker does not renew: longer than the longest step between two renewals.
    pub claim_life: Duration,
}

/// The S3 backend. Asks the store nothing before its first step.
#[derive(Debug)]
pub struct S3 {
    objects: Objects,
    proof: Proof,
    /// Within this process, no request is needed to know that another task has the job; and the tokens of the claims are here.
    claims: Claims,
    clock: Clock,
    prefix: String,
    ttl_ms: u64,
    claim_ms: u64,
    quota: Option<Quota>,
    tokens: Tokens,
    owed: Owed<Step>,
}

/// A step that can be taken later.
#[derive(Debug)]
enum Step {
    Conclude(Box<Conclusion>),
    Release { key: String, claim: claims::Claim, paid: bool },
}

/// The end of a job, and what [`Ledger::conclude`] is told with it.
#[derive(Debug)]
struct Conclusion {
    key: String,
    object: Option<String>,
    result: JobResult,
    superseded: Option<JobResult>,
}

impl owed::Step for Step {
    fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Conclude(one), Self::Conclude(other)) => one.key == other.key,
            (Self::Release { claim, .. }, Self::Release { claim: other, .. }) => claim.token == other.token,
            _ => false,
        }
    }
}

/// What a step makes of an object.
enum Next<T> {
    /// Nothing; that is its answer.
    Leave(T),
    /// It is written, and then that is the answer.
    Write(Entry, T),
}

impl S3 {
    /// Makes no request yet.
    pub fn new(objects: Objects, options: &S3Options<'_>, clock: Clock) -> Self {
        Self {
            objects,
            proof: Proof::default(),
            claims: Claims::new(clock.clone()),
            clock,
            prefix: options.prefix.to_owned(),
            ttl_ms: millis(options.ttl),
            claim_ms: millis(options.claim_life),
            quota: None,
            tokens: Tokens::new(),
            owed: Owed::default(),
        }
    }

    /// Counts calls, up to `limit` a day by the store's clock, of all workers together; 0: does not count.
    #[must_use]
    pub fn counting(self, limit: u64) -> Self {
        Self { quota: Quota::new(limit, format!("{}/calls", self.prefix)), ..self }
    }

    /// Finds out, once, whether the store enforces conditions.
    pub async fn prove(&self) -> Result<(), Unfit> {
        self.proof.get(&self.objects, &self.prefix).await
    }

    /// As [`Self::prove`], each time it is asked.
    pub async fn try_out(&self) -> Result<(), Refused> {
        probe::probe(&self.objects, &self.prefix).await.map_err(Unfit::refused)
    }

    fn job(&self, key: &str) -> String {
        format!("{}/job/{key}", self.prefix)
    }

    fn object(&self, object: &str) -> String {
        format!("{}/object/{object}", self.prefix)
    }

    fn error(trouble: &Trouble) -> LedgerError {
        LedgerError(format!("the ledger in {trouble}"))
    }

    /// The earliest and the latest that it can be by the store's clock. What ends does so by the first, what begins by the second: a doubt keeps a claim
    /// alive for longer.
    fn now(&self) -> (u64, u64) {
        self.objects.now_ms().unwrap_or_else(|| {
            let now = self.clock.now_ms();
            (now, now)
        })
    }

    fn holder(&self, token: &str, prior: u32) -> Holder {
        Holder { by: token.to_owned(), until_ms: self.now().1 + self.claim_ms, prior }
    }

    fn expires(&self) -> u64 {
        self.now().1 + self.ttl_ms
    }

    /// Whether another worker has the job. A claim of this process under another token does not count: its step ended with an error, and nothing here has it.
    fn is_elsewhere(&self, entry: &Entry) -> bool {
        let (early, late) = self.now();
        let alive = early..=late.saturating_add(millis(LONGEST_CLAIM));
        let holder = entry.holder.as_ref();
        holder.is_some_and(|holder| alive.contains(&holder.until_ms) && !self.tokens.is_ours(&holder.by))
    }

    /// The object of a job as it counts now, and its ETag. What cannot be read counts as one call in doubt: another program wrote there, and what it was is gone.
    fn read(&self, stored: Option<Stored>) -> (Entry, Option<String>) {
        let Some(Stored { etag, body }) = stored else { return (Entry::default(), None) };
        let entry = match Entry::read(&body) {
            Ok(entry) => entry.at(self.now().0),
            Err(error) => {
                tracing::error!(%error, "{error}: taken as a call in doubt of its job");
                Entry { record: Some(Record::Intent { calls: 1 }), holder: None, expires_ms: self.expires() }
            }
        };
        (entry, Some(etag))
    }

    /// Changes an object by what `next` makes of it: of the entry as it is expected to be under `etag`, if there is one, and from then on as it is.
    async fn change<T>(
        &self,
        name: &str,
        expected: Option<(Entry, Option<String>)>,
        mut next: impl FnMut(&Entry) -> Next<T>,
    ) -> Result<(T, Option<String>), LedgerError> {
        let mut seen = match expected {
            Some(seen) => seen,
            None => self.look(name).await?,
        };
        for _ in 0..MOST_LOOKS {
            let (entry, answer) = match next(&seen.0) {
                Next::Leave(answer) => return Ok((answer, seen.1)),
                Next::Write(entry, answer) => (entry, answer),
            };
            let condition = seen.1.as_deref().map_or(Condition::Absent, Condition::Unchanged);
            let put = self.objects.put(name, Bytes::from(entry.write()?), condition).await;
            match put.map_err(|trouble| Self::error(&trouble))? {
                Put::Written(etag) => return Ok((answer, Some(etag))),
                Put::Refused => seen = self.look(name).await?,
            }
        }
        Err(Self::error(&Trouble::crowded(&self.objects.place())))
    }

    async fn look(&self, name: &str) -> Result<(Entry, Option<String>), LedgerError> {
        let stored = self.objects.get(name).await.map_err(|trouble| Self::error(&trouble))?;
        Ok(self.read(stored))
    }

    /// What the claim wrote last, as far as this process knows.
    fn expected(&self, claim: Option<&claims::Claim>) -> Option<(Entry, Option<String>)> {
        let Some(claim) = claim else { return Some((Entry::default(), None)) };
        let etag = claim.version.clone()?;
        let record = match (claim.intent, claim.prior) {
            (true, prior) => Some(Record::Intent { calls: prior.saturating_add(1) }),
            (false, 0) => None,
            (false, prior) => Some(Record::Intent { calls: prior }),
        };
        let entry = Entry { record, holder: Some(self.holder(&claim.token, claim.prior)), expires_ms: self.expires() };
        Some((entry, Some(etag)))
    }
}

impl Ledger for S3 {
    async fn begin(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        Box::pin(self.begun(key)).await
    }

    async fn intent(&self, key: &str) -> Result<Intent, LedgerError> {
        Box::pin(self.intended(key)).await
    }

    async fn conclude(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
    ) -> Result<Option<Box<JobResult>>, LedgerError> {
        let object = object.filter(|_| result.is_verdict());
        let standing = Box::pin(self.concluded(key, object, result, superseded)).await;
        if standing.is_ok() {
            // Not after an error: the task that tries again still has the claim.
            drop(self.claims.give(key));
        } else {
            let (key, object) = (key.to_owned(), object.map(str::to_owned));
            let (result, superseded) = (result.clone(), superseded.cloned());
            self.owed.add(Step::Conclude(Box::new(Conclusion { key, object, result, superseded })));
        }
        standing
    }

    /// That an event was confirmed changes nothing for a later delivery, and costs no request.
    async fn published(&self, key: &str, keep: bool) -> Result<(), LedgerError> {
        if keep {
            return Ok(());
        }
        let next = |entry: &Entry| match entry.record {
            Some(Record::Ended { .. }) => Next::Write(Entry::default(), ()),
            _ => Next::Leave(()),
        };
        Box::pin(self.change(&self.job(key), None, next)).await.map(drop)
    }

    async fn release(&self, key: &str, paid: bool) -> Result<(), LedgerError> {
        let Some(claim) = self.claims.of(key) else { return Ok(()) };
        let answer = Box::pin(self.released(key, &claim, paid)).await;
        if answer.is_err() {
            self.owed.add(Step::Release { key: key.to_owned(), claim, paid });
        }
        // Only now: until the store knows, another task of this process would take a dead claim for a busy job, or worse.
        drop(self.claims.give(key));
        answer
    }

    async fn unsent(&self, call: DailyCalls) -> Result<(), LedgerError> {
        if let Some(quota) = &self.quota {
            quota.take_back(call.day);
        }
        Ok(())
    }

    async fn daily_calls(&self) -> Result<Option<DailyCalls>, LedgerError> {
        let Some(quota) = &self.quota else { return Ok(None) };
        let today = Box::pin(quota.today(&self.objects, || self.now().0)).await;
        today.map(Some).map_err(|trouble| Self::error(&trouble))
    }

    async fn recall(&self, object: &str) -> Result<Option<JobResult>, LedgerError> {
        let stored = self.objects.get(&self.object(object)).await.map_err(|trouble| Self::error(&trouble))?;
        let Some(Stored { body, .. }) = stored else { return Ok(None) };
        // What cannot be read is no verdict.
        let entry = Entry::read(&body).unwrap_or_default().at(self.now().0);
        Ok(match entry.record {
            Some(Record::Ended { end, .. }) if end.is_verdict() => Some(*end),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
