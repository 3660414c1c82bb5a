//! What is kept of a job, and what a step makes of it. The memory and the file backend share these rules; the scripts of the Redis backend are
//! the same rules again, held to them by the conformance suite.

use antispoof_core::event::{JobResult, VerdictResult};
use antispoof_core::ports::{ClaimOutcome, LedgerError};
use antispoof_core::verdict::Outcome;
use serde::Deserialize;

/// A job that is not forgotten. (Who is at work on it is known by [`Claims`](super::claims::Claims).)
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    /// Calls may have been paid for.
    Intent { calls: u32 },
    /// It has ended.
    Ended { published: bool, end: Box<JobResult> },
}

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Keep,
    Put(Record),
    Remove,
}

/// As it is written. An unknown field is of a later version and no harm.
#[derive(Deserialize)]
struct Written {
    state: String,
    #[serde(default)]
    calls: u32,
    #[serde(default, rename = "announced")]
    published: bool,
    end: Option<Box<JobResult>>,
}

impl Record {
    pub(super) fn ended(result: &JobResult) -> Self {
        Self::Ended { published: false, end: Box::new(result.clone()) }
    }

    /// Compact JSON, the state first, so that it is known by its first bytes.
    pub(super) fn write(&self) -> Result<String, LedgerError> {
        match self {
            Self::Intent { calls } => Ok(format!(r#"{{"state":"intent","calls":{calls}}}"#)),
            Self::Ended { published, end } => write_end(end, *published),
        }
    }

    /// Reads what [`Record::write`] wrote, also with more fields in it.
    pub(super) fn read(text: &[u8]) -> Result<Self, LedgerError> {
        let unreadable = |why: &str| LedgerError(format!("the ledger holds a record that cannot be read: {why}"));
        let written: Written = serde_json::from_slice(text).map_err(|error| unreadable(&error.to_string()))?;
        match (written.state.as_str(), written.end) {
            ("intent", _) => Ok(Self::Intent { calls: written.calls.max(1) }),
            ("verdict" | "failure", Some(end)) if is_sound(&end) => {
                Ok(Self::Ended { published: written.published, end })
            }
            (state, _) => Err(unreadable(&format!("its state is {state:?}"))),
        }
    }
}

/// What the vendor can have said: any client of the ledger may have written the record.
pub(super) fn is_sound(end: &JobResult) -> bool {
    match end {
        JobResult::Verdict(VerdictResult { verdict, outcome, .. }) => {
            let agrees = match outcome {
                Outcome::Live => !verdict.spoof_detected,
                Outcome::Spoof => verdict.spoof_detected,
                Outcome::Review => true,
            };
            agrees && (0.0..=1.0).contains(&verdict.accuracy)
        }
        JobResult::Failure(_) => true,
    }
}

/// The record of an end.
pub(super) fn write_end(end: &JobResult, published: bool) -> Result<String, LedgerError> {
    let state = if end.is_verdict() { "verdict" } else { "failure" };
    let end = serde_json::to_string(end).map_err(|error| LedgerError(format!("write the end of a job: {error}")))?;
    Ok(format!(r#"{{"state":"{state}","announced":{published},"end":{end}}}"#))
}

/// What a job is known as when it is claimed.
pub(super) fn begin(record: Option<Record>) -> ClaimOutcome {
    match record {
        None => ClaimOutcome::Fresh,
        Some(Record::Intent { calls }) => ClaimOutcome::InDoubt { calls },
        Some(Record::Ended { end, .. }) => ClaimOutcome::Concluded(end),
    }
}

/// What becomes of the record when a call is about to be made; `None` when it must not be. `prior` is what was in doubt before the claim; `None`: there is
/// no claim.
pub(super) fn intent(record: Option<&Record>, prior: Option<u32>) -> Option<Change> {
    match (record, prior) {
        (Some(Record::Ended { .. }), _) | (Some(Record::Intent { .. }), None) => None,
        (None | Some(Record::Intent { .. }), prior) => {
            Some(Change::Put(Record::Intent { calls: prior.unwrap_or_default().saturating_add(1) }))
        }
    }
}

/// A result that the claimant finds, and that is not the superseded one, is that of a worker that took the job over: it stands, and is returned.
pub(super) fn conclude(
    record: Option<&Record>,
    result: &JobResult,
    superseded: Option<&JobResult>,
) -> (Change, Option<Box<JobResult>>) {
    match record {
        Some(Record::Ended { end, .. }) if **end == *result => (Change::Keep, None),
        Some(Record::Ended { end, .. }) if superseded != Some(&**end) => (Change::Keep, Some(end.clone())),
        _ => (Change::Put(Record::ended(result)), None),
    }
}

pub(super) fn published(record: Option<Record>, keep: bool) -> Change {
    match record {
        Some(Record::Ended { .. }) if !keep => Change::Remove,
        Some(Record::Ended { published: false, end }) => Change::Put(Record::Ended { published: true, end }),
        _ => Change::Keep,
    }
}

/// After a claim whose call was not paid for: what was known before.
pub(super) fn revert(record: Option<&Record>, prior: u32) -> Change {
    match record {
        Some(Record::Intent { .. }) if prior == 0 => Change::Remove,
        Some(Record::Intent { .. }) => Change::Put(Record::Intent { calls: prior }),
        Some(Record::Ended { .. }) | None => Change::Keep,
    }
}
