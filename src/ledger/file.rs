//! A ledger in a file: lasts, and belongs to one process at a time.
//!
//! ```text
//!   jobs ── steps ──> channel ──> writer thread ── one transaction for all that waits, one fsync ──> file
//!    ^                                │
//!    └────────── answers ─────────────┘
//! ```
//!
//! Claims live in this process only: those of a dead one are void, and an intent that it left is in doubt as soon as the file is opened again.

mod open;
mod store;
mod writer;

pub use open::OpenError;

use super::claims::Claims;
use super::clock::Clock;
use super::daily::DailyLimit;
use antispoof_core::event::JobResult;
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, Ledger, LedgerError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{LimitNow, Step, StepResult};
use tokio::time::timeout;
use writer::Writer;

/// The file backend.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    claims: Claims,
    writer: Writer,
    patience: Duration,
    limit: Option<DailyLimit>,
}

impl File {
    /// Opens the file, or makes one with mode 0600. What is kept is kept for `ttl`; a step takes at most `patience`. Checks the whole file.
    pub async fn open(path: &Path, ttl: Duration, patience: Duration, clock: Clock) -> Result<Self, OpenError> {
        let claims = Claims::new(clock.clone());
        let writer = Writer::start(path.to_owned(), ttl, clock).await?;
        Ok(Self { path: path.to_owned(), claims, writer, patience, limit: None })
    }

    /// Counts calls, up to `limit` a day of that clock; 0: does not count.
    #[must_use]
    pub fn counting(self, limit: u64, clock: Clock) -> Self {
        Self { limit: DailyLimit::new(limit, clock), ..self }
    }

    /// Writes what can wait until now, and closes the file. Steps fail from here on.
    pub async fn close(&self) {
        if timeout(self.patience, self.writer.close()).await.is_err() {
            tracing::warn!("the ledger {} could not be closed within {:?}", self.path.display(), self.patience);
        }
    }

    /// Ends when no step can be taken any more: after [`Self::close`], or when the thread or the task behind it has ended.
    pub async fn writer_ended(&self) {
        self.writer.ended().await;
    }

    async fn begun(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        let Some(taken) = self.claims.take(key, String::new()) else { return Ok(ClaimOutcome::Busy) };
        let StepResult::Claim(known) = self.ask(Step::Begin { key: key.to_owned() }).await? else {
            return Err(self.confused());
        };
        match &known {
            ClaimOutcome::Fresh => taken.keep(0),
            ClaimOutcome::InDoubt { calls } => taken.keep(*calls),
            ClaimOutcome::Concluded(_) | ClaimOutcome::Busy => {}
        }
        Ok(known)
    }

    async fn ask(&self, step: Step) -> Result<StepResult, LedgerError> {
        match timeout(self.patience, self.writer.ask(step)).await {
            Ok(answer) => answer,
            Err(_) => Err(LedgerError(format!(
                "the ledger {} does not take a step within {:?}",
                self.path.display(),
                self.patience
            ))),
        }
    }

    fn limit_now(&self) -> Option<LimitNow> {
        self.limit.as_ref().map(|limit| LimitNow { calls: limit.calls, now_ms: limit.now_ms() })
    }

    fn confused(&self) -> LedgerError {
        LedgerError(format!("the ledger {} answered another question", self.path.display()))
    }
}

impl Ledger for File {
    async fn begin(&self, key: &str) -> Result<ClaimOutcome, LedgerError> {
        self.begun(key).await
    }

    async fn intent(&self, key: &str) -> Result<Intent, LedgerError> {
        let prior = self.claims.of(key).map(|claim| claim.prior);
        // Before the step: one that is not waited for to its end may be taken all the same, and a release must undo it.
        if prior.is_some() {
            self.claims.intended(key, "");
        }
        let StepResult::Intent(intent) =
            self.ask(Step::Intent { key: key.to_owned(), prior, limit: self.limit_now() }).await?
        else {
            return Err(self.confused());
        };
        if let Intent::Recorded(_) = intent {
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
        let step = Step::Conclude {
            key: key.to_owned(),
            object: object.filter(|_| result.is_verdict()).map(str::to_owned),
            end: Box::new(result.clone()),
            superseded: superseded.map(|end| Box::new(end.clone())),
        };
        let answer = self.ask(step).await?;
        // Not after an error: the task that tries again still has the claim.
        drop(self.claims.give(key));
        match answer {
            StepResult::Standing(end) => Ok(end),
            StepResult::Claim(_)
            | StepResult::Intent(_)
            | StepResult::Verdict(_)
            | StepResult::Calls(_)
            | StepResult::Done => Err(self.confused()),
        }
    }

    async fn published(&self, key: &str, keep: bool) -> Result<(), LedgerError> {
        self.writer.send(Step::Published { key: key.to_owned(), keep })
    }

    async fn release(&self, key: &str, paid: bool) -> Result<(), LedgerError> {
        // Not waited for: the steps of the next delivery queue behind it.
        let sent = match self.claims.of(key) {
            Some(claim) if claim.intent && !paid => {
                self.writer.send(Step::Revert { key: key.to_owned(), prior: claim.prior })
            }
            Some(_) | None => Ok(()),
        };
        drop(self.claims.give(key));
        sent
    }

    async fn unsent(&self, call: DailyCalls) -> Result<(), LedgerError> {
        self.writer.send(Step::Unsent { day: call.day })
    }

    async fn daily_calls(&self) -> Result<Option<DailyCalls>, LedgerError> {
        let Some(limit) = self.limit_now() else { return Ok(None) };
        match self.ask(Step::Calls { limit }).await? {
            StepResult::Calls(today) => Ok(Some(today)),
            StepResult::Claim(_)
            | StepResult::Intent(_)
            | StepResult::Verdict(_)
            | StepResult::Standing(_)
            | StepResult::Done => Err(self.confused()),
        }
    }

    async fn recall(&self, object: &str) -> Result<Option<JobResult>, LedgerError> {
        match self.ask(Step::Recall { object: object.to_owned() }).await? {
            StepResult::Verdict(verdict) => Ok(verdict.map(|verdict| *verdict)),
            StepResult::Claim(_)
            | StepResult::Intent(_)
            | StepResult::Standing(_)
            | StepResult::Calls(_)
            | StepResult::Done => Err(self.confused()),
        }
    }
}

#[cfg(test)]
mod tests;
