//! A ledger in Redis or Valkey, shared by all workers. A step is one script, and so one round trip and no race.

mod fault;
mod keeping;
mod link;
mod scripts;

pub use keeping::Keeping;
pub use link::UrlError;

use super::claims::{Claims, Tokens};
use super::clock::{Clock, millis};
use super::owed::{self, Owed};
use super::record::{Record, write_end};
use super::refused::Refused;
use crate::settings::RedisUrl;
use antispoof_core::event::JobResult;
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, Ledger, LedgerError};
use fault::Fault;
use link::Link;
use redis::{FromRedisValue, ScriptInvocation};
use scripts::Scripts;
use std::time::Duration;

/// The answer about a record that another program has written.
const UNREADABLE: &[u8] = b"unreadable";

/// Whether an end gives way: to other ends and to the calls of others, to other ends only, to nothing.
const TOGETHER: u8 = 0;
const DESPITE_CALLS: u8 = 1;
const DESPITE_ALL: u8 = 2;

/// What the Redis backend needs to know.
#[derive(Clone, Copy, Debug)]
pub struct RedisOptions<'a> {
    /// `redis://` or `rediss://`, with user, password and database.
    pub url: &'a str,
    /// Start of every key.
    pub prefix: &'a str,
    /// How long ends are kept, and intents unless a claim lasts longer.
    pub ttl: Duration,
    /// How long a claim lasts that its worker does not renew: longer than the longest step between two renewals.
    pub claim_life: Duration,
    /// Limit for one step, connecting included.
    pub patience: Duration,
}

/// The Redis backend. Connects when it is first asked, and again whenever it has to.
#[derive(Debug)]
pub struct Redis {
    link: Link,
    scripts: Scripts,
    /// Within this process, no round trip is needed to know that another task has the job; and the tokens of the claims are here.
    claims: Claims,
    prefix: String,
    ttl_ms: u64,
    claim_ms: u64,
    /// Of an intent: no shorter than a claim, or it would be gone while its call is in progress.
    intent_ms: u64,
    /// How many calls a day may have, of all workers together; 0: they are not counted.
    daily_call_limit: u64,
    tokens: Tokens,
    owed: Owed<Step>,
}

/// A step that can be sent later.
#[derive(Debug)]
enum Step {
    Conclude { job: String, object: Option<String>, record: String, token: String, superseded: String, force: u8 },
    Release { job: String, token: String, paid: bool },
}

impl owed::Step for Step {
    fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Conclude { job, .. }, Self::Conclude { job: other, .. }) => job == other,
            (Self::Release { token, .. }, Self::Release { token: other, .. }) => token == other,
            _ => false,
        }
    }
}

impl Redis {
    /// Makes no connection yet.
    pub fn new(options: &RedisOptions<'_>, clock: Clock) -> Result<Self, UrlError> {
        Ok(Self {
            link: Link::new(options.url, options.patience)?,
            scripts: Scripts::new(),
            claims: Claims::new(clock),
            // The braces make a cluster keep all of it on one node, so that a script may touch two keys.
            prefix: format!("{{{}}}:ledger:", options.prefix),
            ttl_ms: millis(options.ttl),
            claim_ms: millis(options.claim_life),
            intent_ms: millis(options.ttl.max(options.claim_life)),
            daily_call_limit: 0,
            tokens: Tokens::new(),
            owed: Owed::default(),
        })
    }

    /// Follows the file of this URL: before each connection it is read again, and one that changes is used from the next step on.
    #[must_use]
    pub fn following(self, url: RedisUrl) -> Self {
        Self { link: self.link.following(url), ..self }
    }

    /// Counts calls, up to `limit` a day by the server's clock, of all workers together; 0: does not count.
    #[must_use]
    pub fn counting(self, limit: u64) -> Self {
        Self { daily_call_limit: limit, ..self }
    }

    /// Asks the server for a sign of life, and how well it keeps records.
    pub async fn look(&self) -> Result<Keeping, LedgerError> {
        let _: String = self.ask(&self.scripts.ping.prepare_invoke()).await?;
        Ok(Keeping::of(&self.link).await)
    }

    /// Claims a job that there is not, claims it again, begins its call and takes all of that back: every command that a job needs.
    pub async fn try_out(&self) -> Result<Keeping, Refused> {
        let refused = |fault: Fault| Refused {
            what: format!("the ledger at {}: {}", self.link.server(), fault.cause()),
            remedy: fault.remedy().to_owned(),
            passes: fault.passes(),
        };
        let (job, token) = (self.job(&format!("check-{:032x}", fastrand::u128(..))), self.tokens.next());
        let mut begin = self.scripts.begin.key(&job);
        begin.arg(&token).arg(self.claim_ms).arg(self.ttl_ms).arg(0);
        let mut intent = self.scripts.intent.key(&job);
        // Where it cannot be taken back, it goes soon.
        intent.key(self.calls()).arg(&token).arg(self.claim_ms).arg(self.claim_ms).arg(0);
        for _ in 0..2 {
            let _: Vec<u8> = self.link.ask(&begin).await.map_err(refused)?;
        }
        let _: Vec<u64> = self.link.ask(&intent).await.map_err(refused)?;
        self.say(&Step::Release { job, token, paid: false }).await.map_err(refused)?;
        Ok(Keeping::of(&self.link).await)
    }

    async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, LedgerError> {
        self.link.ask(script).await.map_err(|fault| self.error(&fault))
    }

    fn error(&self, fault: &Fault) -> LedgerError {
        LedgerError(format!("the ledger at {}: {fault}", self.link.server()))
    }

    async fn begun(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        self.settle().await?;
        let token = self.tokens.next();
        let Some(claim) = self.claims.take(key, token.clone()) else { return Ok(ClaimOutcome::Busy) };
        let mut answer = self.ask_for(key, &token, false).await?;
        if !matches!(answer.as_slice(), b"fresh" | b"busy" | UNREADABLE) && Record::read(&answer).is_err() {
            answer = self.ask_for(key, &token, true).await?;
        }
        match answer.as_slice() {
            b"fresh" => {
                claim.keep(0);
                Ok(ClaimOutcome::Fresh)
            }
            b"busy" => Ok(ClaimOutcome::Busy),
            UNREADABLE => {
                // Only this job is concerned.
                tracing::error!("the ledger held a record of a job that cannot be read: taken as a call in doubt");
                claim.keep(1);
                Ok(ClaimOutcome::InDoubt { calls: 1 })
            }
            record => match Record::read(record)? {
                Record::Intent { calls } => {
                    claim.keep(calls);
                    Ok(ClaimOutcome::InDoubt { calls })
                }
                Record::Ended { end, .. } => Ok(ClaimOutcome::Concluded(end)),
            },
        }
    }

    /// Asks for a claim; `whatever` is on record is claimed as a call in doubt.
    async fn ask_for(&self, key: &str, token: &str, whatever: bool) -> Result<Vec<u8>, LedgerError> {
        let mut script = self.scripts.begin.key(self.job(key));
        script.arg(token).arg(self.claim_ms).arg(self.intent_ms).arg(i32::from(whatever));
        self.ask(&script).await
    }

    fn job(&self, key: &str) -> String {
        format!("{}job:{key}", self.prefix)
    }

    /// The count of calls, of all workers with this prefix.
    fn calls(&self) -> String {
        format!("{}calls", self.prefix)
    }

    fn of_today(&self, day: u64, counted: u64) -> Option<DailyCalls> {
        (self.daily_call_limit > 0).then_some(DailyCalls { day, counted, limit: self.daily_call_limit })
    }

    fn object(&self, object: &str) -> String {
        format!("{}object:{object}", self.prefix)
    }

    /// An end that cannot be recorded now is recorded later, unless the job has ended by then.
    async fn send(&self, step: Step) -> Result<Vec<u8>, LedgerError> {
        let answer = self.say(&step).await;
        if answer.is_err() {
            self.owed.add(step);
        }
        answer.map_err(|fault| self.error(&fault))
    }

    async fn say(&self, step: &Step) -> Result<Vec<u8>, Fault> {
        let script = match step {
            Step::Conclude { job, object, record, token, superseded, force } => {
                let mut script = self.scripts.conclude.key(job);
                if let Some(object) = object {
                    script.key(object);
                }
                script.arg(record).arg(self.ttl_ms).arg(token).arg(superseded).arg(force);
                script
            }
            Step::Release { job, token, paid } => {
                let mut script = self.scripts.release.key(job);
                script.arg(token).arg(i32::from(*paid)).arg(self.ttl_ms);
                script
            }
        };
        self.link.ask(&script).await
    }

    /// Tells what is owed. A call in doubt that was none, or a verdict that only this process knows, should not outlive an outage.
    async fn settle(&self) -> Result<(), LedgerError> {
        while let Some(step) = self.owed.next() {
            if let Err(fault) = self.say(&step).await {
                self.owed.put_back(step);
                return Err(self.error(&fault));
            }
        }
        Ok(())
    }

    async fn concluded(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
        token: String,
    ) -> Result<Option<Box<JobResult>>, LedgerError> {
        let over = superseded.map(|end| write_end(end, false)).transpose()?;
        let over = over.as_deref().and_then(|over| over.find(",\"end\":").map(|at| &over[at..])).unwrap_or_default();
        let mut mine = result.clone();
        for force in [TOGETHER, DESPITE_CALLS, DESPITE_ALL] {
            let step = Step::Conclude {
                job: self.job(key),
                object: object.map(|object| self.object(object)),
                record: write_end(&mine, false)?,
                token: token.clone(),
                superseded: over.to_owned(),
                force,
            };
            let answer = self.send(step).await?;
            if answer.is_empty() {
                return Ok((mine != *result).then(|| Box::new(mine)));
            }
            match Record::read(&answer) {
                Ok(Record::Ended { end, .. }) => return Ok(Some(end)),
                // Another worker has taken the job over and called. Their calls are in doubt; ours is one of them, unless it was answered.
                Ok(Record::Intent { calls }) => {
                    let others = if mine.is_verdict() { calls.saturating_sub(1) } else { calls };
                    let check = &mut mine.report_mut().check;
                    check.in_doubt = check.in_doubt.max(others);
                }
                Err(error) => tracing::error!(%error, "a record in the way of an end is overwritten: {error}"),
            }
        }
        Err(LedgerError("an end could not be put on record: the record changes each time".to_owned()))
    }
}

impl Ledger for Redis {
    async fn begin(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        self.begun(key).await
    }

    async fn intent(&self, key: &str) -> Result<Intent, LedgerError> {
        let token = self.claims.of(key).map_or_else(|| self.tokens.next(), |claim| claim.token);
        let mut script = self.scripts.intent.key(self.job(key));
        script.key(self.calls()).arg(&token).arg(self.claim_ms).arg(self.intent_ms).arg(self.daily_call_limit);
        let answer: Vec<u64> = self.ask(&script).await?;
        match answer.as_slice() {
            [0] => Ok(Intent::ClaimLost),
            &[1, day, counted] => {
                self.claims.intended(key, &token);
                Ok(Intent::Recorded(self.of_today(day, counted)))
            }
            &[2, day, counted, left] => Ok(Intent::LimitReached {
                today: DailyCalls { day, counted, limit: self.daily_call_limit },
                resumes_in: Duration::from_millis(left),
            }),
            other => Err(LedgerError(format!("the ledger at {} answered {other:?}", self.link.server()))),
        }
    }

    async fn conclude(
        &self,
        key: &str,
        object: Option<&str>,
        result: &JobResult,
        superseded: Option<&JobResult>,
    ) -> Result<Option<Box<JobResult>>, LedgerError> {
        let token = self.claims.of(key).map_or_else(|| self.tokens.next(), |claim| claim.token);
        let object = object.filter(|_| result.is_verdict());
        let standing = self.concluded(key, object, result, superseded, token).await?;
        // Not after an error: the task that tries again still has the claim.
        drop(self.claims.give(key));
        Ok(standing)
    }

    /// That an event was confirmed changes nothing for a later delivery, and costs no round trip.
    async fn published(&self, key: &str, keep: bool) -> Result<(), LedgerError> {
        if keep {
            return Ok(());
        }
        self.ask(&self.scripts.forget.key(self.job(key))).await.map(|_: i64| ())
    }

    async fn release(&self, key: &str, paid: bool) -> Result<(), LedgerError> {
        let Some(claim) = self.claims.of(key) else { return Ok(()) };
        let answer = self.send(Step::Release { job: self.job(key), token: claim.token, paid }).await.map(drop);
        // Only now: until the server knows, another task of this process would take a dead claim for a busy job, or worse.
        drop(self.claims.give(key));
        answer
    }

    async fn unsent(&self, call: DailyCalls) -> Result<(), LedgerError> {
        let mut script = self.scripts.unsent.key(self.calls());
        script.arg(call.day);
        let answer = self.link.ask_no_more_than_once(&script).await;
        answer.map(|_: i64| ()).map_err(|fault| self.error(&fault))
    }

    async fn daily_calls(&self) -> Result<Option<DailyCalls>, LedgerError> {
        if self.daily_call_limit == 0 {
            return Ok(None);
        }
        let (day, counted) = self.ask(&self.scripts.today.key(self.calls())).await?;
        Ok(self.of_today(day, counted))
    }

    async fn recall(&self, object: &str) -> Result<Option<JobResult>, LedgerError> {
        let script = self.scripts.recall.key(self.object(object));
        let answer: Option<Vec<u8>> = self.ask(&script).await?;
        // What cannot be read is no verdict.
        Ok(match answer.as_deref().map(Record::read) {
            Some(Ok(Record::Ended { end, .. })) if end.is_verdict() => Some(*end),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
