//! Lines of the journal.

use crate::ledger::record::Record;
use antispoof_core::ports::LedgerError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Where a record belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    Job(String),
    Object(String),
}

impl Place {
    /// The record that is kept here. One that cannot be read (another version wrote it) concerns only its own job, which may have been paid for; and it is
    /// no verdict on an object.
    pub(super) fn record(&self, written: &[u8]) -> Option<Record> {
        match (Record::read(written), self) {
            (Ok(record), _) => Some(record),
            (Err(error), Self::Job(_)) => {
                tracing::error!(%error, "{error}: taken as a call in doubt");
                Some(Record::Intent { calls: 1 })
            }
            (Err(_), Self::Object(_)) => None,
        }
    }
}

/// A record as the journal has it; `None`: there is none any more.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) record: Option<Record>,
    pub(super) void_at: u64,
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    job: Option<Cow<'a, str>>,
    #[serde(borrow)]
    object: Option<Cow<'a, str>>,
    void_at: u64,
    /// The record as it is written elsewhere. Absent: it is gone.
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

pub(super) fn write_line(place: &Place, recent: &Recent) -> Result<Vec<u8>, LedgerError> {
    let failed = |error: serde_json::Error| LedgerError(format!("write a line of the ledger: {error}"));
    let record = match &recent.record {
        Some(record) => Some(RawValue::from_string(record.write()?).map_err(failed)?),
        None => None,
    };
    let (job, object) = match place {
        Place::Job(key) => (Some(key.into()), None),
        Place::Object(key) => (None, Some(key.into())),
    };
    let line = Line { job, object, void_at: recent.void_at, record: record.as_deref() };
    serde_json::to_vec(&line).map_err(failed)
}

pub(super) fn read_line(line: &[u8]) -> Result<(Place, Recent), String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| format!("a line of the journal: {error}"))?;
    let place = match (line.job, line.object) {
        (Some(key), _) => Place::Job(key.into_owned()),
        (None, Some(key)) => Place::Object(key.into_owned()),
        (None, None) => return Err("a line of the journal is about nothing".to_owned()),
    };
    let record = line.record.and_then(|record| place.record(record.get().as_bytes()));
    Ok((place, Recent { record, void_at: line.void_at }))
}
