//! A job's object, as it is written: what is known of the job, who has it, and until when all of that counts.

use crate::ledger::record::{Record, is_sound};
use antispoof_core::event::JobResult;
use antispoof_core::ports::LedgerError;
use serde::{Deserialize, Serialize};

/// What an object says. An object that is not there says the same as [`Entry::default`]: nothing is deleted, because no store deletes under a condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) record: Option<Record>,
    pub(super) holder: Option<Holder>,
    /// After this (milliseconds since 1970, by the store's clock) the record is forgotten.
    pub(super) expires_ms: u64,
}

/// Who has claimed the job, or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The fencing token: no two claims have the same.
    pub(super) by: String,
    /// By the store's clock, as above.
    pub(super) until_ms: u64,
    /// Calls that were in doubt before the claim.
    pub(super) prior: u32,
}

#[derive(Serialize, Deserialize)]
struct Written<E> {
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    until: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    prior: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    calls: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    expires: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<E>,
}

const NOTHING: &str = "none";
const CLAIMED: &str = "claimed";
const INTENT: &str = "intent";
const VERDICT: &str = "verdict";
const FAILURE: &str = "failure";

impl Entry {
    pub(super) fn ended(result: &JobResult, expires_ms: u64) -> Self {
        Self { record: Some(Record::ended(result)), holder: None, expires_ms }
    }

    /// Compact JSON, the state first.
    pub(super) fn write(&self) -> Result<Vec<u8>, LedgerError> {
        let (state, calls, end) = match &self.record {
            None if self.holder.is_none() => (NOTHING, 0, None),
            None => (CLAIMED, 0, None),
            Some(Record::Intent { calls }) => (INTENT, *calls, None),
            Some(Record::Ended { end, .. }) => (if end.is_verdict() { VERDICT } else { FAILURE }, 0, Some(&**end)),
        };
        let holder = self.holder.as_ref();
        let written = Written {
            state: state.to_owned(),
            by: holder.map(|holder| holder.by.clone()),
            until: holder.map_or(0, |holder| holder.until_ms),
            prior: holder.map_or(0, |holder| holder.prior),
            calls,
            expires: self.expires_ms,
            end,
        };
        serde_json::to_vec(&written).map_err(|error| LedgerError(format!("write a record: {error}")))
    }

    /// Reads what [`Entry::write`] wrote, also with more fields in it.
    pub(super) fn read(body: &[u8]) -> Result<Self, LedgerError> {
        let unreadable = |why: &str| LedgerError(format!("the ledger holds a record that cannot be read: {why}"));
        let written: Written<Box<JobResult>> =
            serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))?;
        let Written { state, by, until, prior, calls, expires, end } = written;
        let holder = by.map(|by| Holder { by, until_ms: until, prior });
        let (record, holder) = match (state.as_str(), end) {
            (NOTHING, _) => (None, None),
            (CLAIMED, _) if holder.is_some() => (None, holder),
            (INTENT, _) => (Some(Record::Intent { calls: calls.max(1) }), holder),
            (VERDICT | FAILURE, Some(end)) if is_sound(&end) && end.is_verdict() == (state == VERDICT) => {
                (Some(Record::Ended { published: false, end }), None)
            }
            (state, _) => return Err(unreadable(&format!("its state is {state:?}"))),
        };
        Ok(Self { record, holder, expires_ms: expires })
    }

    /// As it counts at that time: a record that is too old is none.
    pub(super) fn at(self, now_ms: u64) -> Self {
        let record = self.record.filter(|_| now_ms < self.expires_ms);
        Self { record, ..self }
    }

    /// Whether the claim is this one, run out or not.
    pub(super) fn is_held_by(&self, token: &str) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.by == token)
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::conformance::{failure, verdict};

    fn holder(prior: u32) -> Holder {
        Holder { by: "5f.1".to_owned(), until_ms: 1_796_000_000_000, prior }
    }

    #[test]
    fn each_state_reads_back() {
        let intent = |calls| Some(Record::Intent { calls });
        for (entry, begins) in [
            (Entry::default(), r#"{"state":"none"}"#),
            (
                Entry { holder: Some(holder(0)), ..Entry::default() },
                r#"{"state":"claimed","by":"5f.1","until":1796000000000}"#,
            ),
            (
                Entry { record: intent(2), holder: Some(holder(1)), expires_ms: 7 },
                r#"{"state":"intent","by":"5f.1","until":1796000000000,"prior":1,"calls":2,"expires":7}"#,
            ),
            (Entry { record: intent(1), holder: None, expires_ms: 7 }, r#"{"state":"intent","calls":1,"expires":7}"#),
            (Entry::ended(&verdict(0.25), 9), r#"{"state":"verdict","expires":9,"end":{"#),
            (Entry::ended(&failure(1), 9), r#"{"state":"failure","expires":9,"end":{"#),
        ] {
            let written = entry.write().expect("written");
            let text = String::from_utf8(written.clone()).expect("text");
            assert!(text.starts_with(begins), "{text}");
            assert_eq!(Entry::read(&written), Ok(entry));
        }
        assert_eq!(Entry::read(br#"{"state":"intent","later":true}"#).expect("read").record, intent(1));
    }

    #[test]
    fn what_no_version_wrote_is_an_error() {
        let forged = String::from_utf8(Entry::ended(&verdict(0.25), 9).write().expect("written")).expect("text");
        let forged = forged.replace("0.25", "7.5");
        for body in ["", "x", "{}", r#"{"state":"verdict"}"#, r#"{"state":"claimed"}"#, r#"{"state":"other"}"#, &forged]
        {
            let error = Entry::read(body.as_bytes()).expect_err(body).to_string();
            assert!(error.contains("cannot be read"), "{error}");
        }
    }

    #[test]
    fn time_ends_records() {
        let entry =
            Entry { record: Some(Record::Intent { calls: 1 }), holder: Some(holder(0)), expires_ms: 1_796_000_500_000 };
        assert_eq!(entry.clone().at(1_796_000_499_999), entry);
        let old = entry.at(1_796_000_500_000);
        assert_eq!((old.is_held_by("5f.1"), old.is_held_by("5f.2"), old.record), (true, false, None));
    }
}
