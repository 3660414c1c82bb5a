//! The steps of a job, each as what it makes of the job's object.

use super::entry::Entry;
use super::{Conclusion, Next, S3, Step};
use crate::ledger::claims;
use crate::ledger::record::{self, Change, Record};
use antispoof_core::event::JobResult;
use antispoof_core::ports::{ClaimOutcome, Intent, LedgerError};

/// So many steps that are owed are taken before another job begins.
const MOST_SETTLED: usize = 4;

impl S3 {
    pub(super) async fn begun(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        self.prove().await.map_err(|unfit| LedgerError(unfit.to_string()))?;
        self.settle(key).await?;
        let token = self.tokens.next();
        let Some(pending) = self.claims.take(key, token.clone()) else { return Ok(ClaimOutcome::Busy) };
        let next = |entry: &Entry| {
            let (prior, outcome) = match &entry.record {
                Some(Record::Ended { end, .. }) => return Next::Leave(ClaimOutcome::Concluded(end.clone())),
                Some(Record::Intent { calls }) => (*calls, ClaimOutcome::InDoubt { calls: *calls }),
                None => (0, ClaimOutcome::Fresh),
            };
            if entry.is_held_by(&token) {
                return Next::Leave(outcome);
            }
            if self.is_elsewhere(entry) {
                return Next::Leave(ClaimOutcome::Busy);
            }
            Next::Write(Entry { holder: Some(self.holder(&token, prior)), ..entry.clone() }, outcome)
        };
        // Most jobs are new, which the first request finds out and claims.
        let (outcome, etag) = self.change(&self.job(key), Some((Entry::default(), None)), next).await?;
        match outcome {
            ClaimOutcome::Fresh => pending.keep(0),
            ClaimOutcome::InDoubt { calls } => pending.keep(calls),
            ClaimOutcome::Busy | ClaimOutcome::Concluded(_) => return Ok(outcome),
        }
        self.claims.versioned(key, etag);
        Ok(outcome)
    }

    pub(super) async fn intended(&self, key: &str) -> Result<Intent, LedgerError> {
        self.prove().await.map_err(|unfit| LedgerError(unfit.to_string()))?;
        let counted = match &self.quota {
            None => None,
            Some(quota) => {
                match quota.count(&self.objects, self.now().0).await.map_err(|trouble| Self::error(&trouble))? {
                    Intent::Recorded(counted) => counted,
                    refused => return Ok(refused),
                }
            }
        };
        let claim = self.claims.of(key);
        let token = claim.as_ref().map_or_else(|| self.tokens.next(), |claim| claim.token.clone());
        let prior = claim.as_ref().map(|claim| claim.prior);
        let next = |entry: &Entry| {
            let ours = entry.is_held_by(&token);
            match &entry.record {
                None if ours || !self.is_elsewhere(entry) => {}
                Some(Record::Intent { .. }) if ours => {}
                _ => return Next::Leave(false),
            }
            let prior = prior.unwrap_or_default();
            let record = Some(Record::Intent { calls: prior.saturating_add(1) });
            Next::Write(Entry { record, holder: Some(self.holder(&token, prior)), expires_ms: self.expires() }, true)
        };
        let written = self.change(&self.job(key), self.expected(claim.as_ref()), next).await;
        if let Ok((true, etag)) = written {
            self.claims.intended(key, &token);
            self.claims.versioned(key, etag);
            return Ok(Intent::Recorded(counted));
        }
        // Without a record there is no call that counts: an outage must not use up the day.
        if let (Some(quota), Some(call)) = (&self.quota, counted) {
            quota.take_back(call.day);
        }
        written.map(|_| Intent::ClaimLost)
    }

    /// Takes steps that are owed: that of this job, and some others. A call in doubt that was none, or a verdict that only this process knows, should not
    /// outlive an outage. Those of other jobs hold up none: one object that the store does not give must not stop all work.
    async fn settle(&self, key: &str) -> Result<(), LedgerError> {
        let ours = |step: &Step| match step {
            Step::Conclude(end) => end.key == key,
            Step::Release { key: owed, .. } => owed == key,
        };
        for _ in 0..MOST_SETTLED {
            let Some(step) = self.owed.next() else { break };
            if let Err(error) = self.take(&step).await {
                let is_ours = ours(&step);
                self.owed.put_last(step);
                if is_ours {
                    return Err(error);
                }
                break;
            }
        }
        while let Some(step) = self.owed.first(ours) {
            if let Err(error) = self.take(&step).await {
                self.owed.put_last(step);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn take(&self, step: &Step) -> Result<(), LedgerError> {
        match step {
            Step::Conclude(end) => {
                let Conclusion { key, object, result, superseded } = &**end;
                self.concluded(key, object.as_deref(), result, superseded.as_ref()).await.map(drop)
            }
            Step::Release { key, claim, paid } => self.released(key, claim, *paid).await,
        }
    }

    pub(super) async fn concluded(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
    ) -> Result<Option<Box<JobResult>>, LedgerError> {
        let claim = self.claims.of(key);
        let next = |entry: &Entry| {
            let ours = claim.as_ref().is_some_and(|claim| entry.is_held_by(&claim.token));
            match record::conclude(entry.record.as_ref(), result, superseded) {
                (Change::Put(_), _) => {
                    let changed = if ours { None } else { with_calls_of_others(result, entry.record.as_ref()) };
                    let end = changed.as_deref().unwrap_or(result);
                    Next::Write(Entry::ended(end, self.expires()), changed)
                }
                (_, standing) => Next::Leave(standing),
            }
        };
        let (standing, _) = self.change(&self.job(key), self.expected(claim.as_ref()), next).await?;
        if let Some(object) = object
            && standing.is_none()
        {
            self.remember(object, result).await?;
        }
        Ok(standing)
    }

    /// Keeps a verdict for other jobs on the same object. The first one stands: many jobs may end on one object at the same time.
    async fn remember(&self, object: &str, result: &JobResult) -> Result<(), LedgerError> {
        let entry = Entry::ended(result, self.expires());
        let next = |there: &Entry| match &there.record {
            Some(Record::Ended { .. }) => Next::Leave(()),
            _ => Next::Write(entry.clone(), ()),
        };
        self.change(&self.object(object), Some((Entry::default(), None)), next).await.map(drop)
    }

    /// What was known before the claim is known again; with `paid`, also the call that was made under it.
    pub(super) async fn released(&self, key: &str, claim: &claims::Claim, paid: bool) -> Result<(), LedgerError> {
        let next = |entry: &Entry| {
            if !entry.is_held_by(&claim.token) {
                return Next::Leave(());
            }
            let record = match &entry.record {
                Some(Record::Intent { calls }) if paid => Some(Record::Intent { calls: *calls }),
                Some(Record::Intent { .. }) if claim.prior > 0 => Some(Record::Intent { calls: claim.prior }),
                _ => None,
            };
            Next::Write(Entry { record, holder: None, expires_ms: entry.expires_ms }, ())
        };
        // As it is: a release keeps the time at which the record is forgotten, which this process does not know.
        let expected = if claim.prior == 0 && !paid { self.expected(Some(claim)) } else { None };
        self.change(&self.job(key), expected, next).await.map(drop)
    }
}

/// The result, where others have called without one since its worker lost the job: their calls are in doubt. Ours is one of them, unless it was answered.
fn with_calls_of_others(result: &JobResult, record: Option<&Record>) -> Option<Box<JobResult>> {
    let Some(Record::Intent { calls }) = record else { return None };
    let others = if result.is_verdict() { calls.saturating_sub(1) } else { *calls };
    if others <= result.report().check.in_doubt {
        return None;
    }
    let mut result = Box::new(result.clone());
    result.report_mut().check.in_doubt = others;
    Some(result)
}
