//! Steps as transactions.
//!
//! ```text
//!   steps ──> journal (appended, one commit for many steps) ──> jobs, objects (by key, some hundred records at a time)
//!       └───> recent: what the journal says, in memory
//! ```
//!
//! Keys are hashes, so every record has a page of its own to write, and its branches. The journal's records share theirs, which makes a durable step
//! cost a third of what it would.

mod calls;
mod line;
mod sweep;
mod table;

pub(super) use table::{Broken, Definition};

use crate::ledger::clock::millis;
use crate::ledger::daily::Tally;
use crate::ledger::record::{self, Change, Record};
use antispoof_core::event::JobResult;
use antispoof_core::ports::{ClaimOutcome, DailyCalls, Intent, LedgerError};
use line::{Place, Recent, read_line, write_line};
use redb::{Database, ReadableDatabase as _, TableDefinition, TableError};
use std::collections::HashMap;
use std::time::Duration;
use sweep::Sweep;
use table::EXPIRY_BYTES;

pub(super) const JOBS: Definition = TableDefinition::new("jobs");
const OBJECTS: Definition = TableDefinition::new("objects");
/// By number, what has not been moved to the other tables yet: a line each.
pub(super) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");

/// The journal is moved when it has this many lines: some milliseconds of work.
const MOVED_AT: usize = 1024;

/// What is asked of the file.
#[derive(Debug)]
pub(super) enum Step {
    Begin {
        key: String,
    },
    Intent {
        key: String,
        prior: Option<u32>,
        limit: Option<LimitNow>,
    },
    Conclude {
        key: String,
        object: Option<String>,
        end: Box<JobResult>,
        superseded: Option<Box<JobResult>>,
    },
    Published {
        key: String,
        keep: bool,
    },
    Revert {
        key: String,
        prior: u32,
    },
    Recall {
        object: String,
    },
    /// A call of that day was not sent.
    Unsent {
        day: u64,
    },
    /// How many calls are counted.
    Calls {
        limit: LimitNow,
    },
}

/// How many calls a day may have, and which moment it is by the clock for that.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitNow {
    pub(super) calls: u64,
    pub(super) now_ms: u64,
}

/// What the file answers.
#[derive(Debug, PartialEq)]
pub(super) enum StepResult {
    Claim(ClaimOutcome),
    Intent(Intent),
    Verdict(Option<Box<JobResult>>),
    /// The end that stands instead, if one does.
    Standing(Option<Box<JobResult>>),
    Calls(DailyCalls),
    Done,
}

/// An open file, and what of it is in memory.
pub(super) struct Store {
    database: Database,
    ttl_ms: u64,
    sweep: Sweep,
    /// What the journal says, by place.
    recent: HashMap<Place, Recent>,
    /// Lines that no task waits for; they go with the next commit. Their loss is no harm.
    unwritten: Vec<Vec<u8>>,
    lines: usize,
    next: u64,
    /// The count of calls, and what of it is in the file.
    calls: Tally,
    calls_written: Tally,
}

impl Store {
    /// Reads the journal.
    pub(super) fn open(database: Database, ttl: Duration) -> Result<Self, Broken> {
        let mut store = Self {
            database,
            ttl_ms: millis(ttl),
            sweep: Sweep::default(),
            recent: HashMap::new(),
            unwritten: Vec::new(),
            lines: 0,
            next: 0,
            calls: Tally::default(),
            calls_written: Tally::default(),
        };
        let read = store.database.begin_read()?;
        store.calls = calls::read(&read)?;
        store.calls_written = store.calls;
        let journal = match read.open_table(JOURNAL) {
            Ok(journal) => journal,
            Err(TableError::TableDoesNotExist(_)) => return Ok(store),
            Err(error) => return Err(error.into()),
        };
        for entry in journal.range(0..)? {
            let (number, line) = entry?;
            let (place, recent) = read_line(line.value()).map_err(Broken)?;
            store.recent.insert(place, recent);
            store.next = number.value() + 1;
            store.lines += 1;
        }
        Ok(store)
    }

    /// Takes the steps in their order, all or none; what was answered is durable.
    pub(super) fn write<'a>(
        &mut self,
        steps: impl Iterator<Item = &'a Step>,
        now: u64,
    ) -> Result<Vec<Result<StepResult, LedgerError>>, Broken> {
        let mut lines = std::mem::take(&mut self.unwritten);
        let mut answers = Vec::new();
        for step in steps {
            answers.push(self.step(step, now, &mut lines)?);
        }
        if lines.is_empty() && self.calls == self.calls_written {
            return Ok(answers);
        }
        let write = self.database.begin_write()?;
        if self.calls != self.calls_written {
            calls::write(&write, self.calls)?;
        }
        if !lines.is_empty() {
            let mut journal = write.open_table(JOURNAL)?;
            for line in &lines {
                journal.insert(self.next, line.as_slice())?;
                self.next += 1;
            }
        }
        write.commit()?;
        self.calls_written = self.calls;
        self.lines += lines.len();
        Ok(answers)
    }

    /// Takes steps that only look.
    pub(super) fn look<'a>(
        &mut self,
        steps: impl Iterator<Item = &'a Step>,
        now: u64,
    ) -> Result<Vec<Result<StepResult, LedgerError>>, Broken> {
        let mut nothing = Vec::new();
        steps.map(|step| self.step(step, now, &mut nothing)).collect()
    }

    /// Takes a step without an answer. It is durable some time later.
    pub(super) fn note(&mut self, step: &Step, now: u64) -> Result<(), Broken> {
        let mut lines = std::mem::take(&mut self.unwritten);
        drop(self.step(step, now, &mut lines)?);
        self.unwritten = lines;
        Ok(())
    }

    /// Moves what the journal says to where it is found by key, when there is enough of it.
    pub(super) fn tidy(&mut self, now: u64) -> Result<(), Broken> {
        if self.lines >= MOVED_AT { self.settle(now) } else { Ok(()) }
    }

    /// As [`Store::tidy`], whether or not it is much.
    pub(super) fn settle(&mut self, now: u64) -> Result<(), Broken> {
        if self.recent.is_empty() && self.lines == 0 {
            return Ok(());
        }
        let mut recent: Vec<_> = self.recent.iter().collect();
        // In the order of the pages.
        recent.sort_by(|a, b| a.0.cmp(b.0));
        let write = self.database.begin_write()?;
        {
            let (mut jobs, mut objects) = (write.open_table(JOBS)?, write.open_table(OBJECTS)?);
            for (place, recent) in recent {
                let (table, key) = match place {
                    Place::Job(key) => (&mut jobs, key),
                    Place::Object(key) => (&mut objects, key),
                };
                match recent.record.as_ref().filter(|_| recent.void_at > now) {
                    Some(record) => {
                        let json = record.write().map_err(|error| Broken(error.to_string()))?;
                        let value = [&recent.void_at.to_be_bytes()[..], json.as_bytes()].concat();
                        table.insert(key.as_str(), value.as_slice())?;
                    }
                    None => drop(table.remove(key.as_str())?),
                }
            }
        }
        write.delete_table(JOURNAL)?;
        write.commit()?;
        self.recent.clear();
        self.unwritten.clear();
        self.lines = 0;
        Ok(())
    }

    /// Looks at the next few entries and removes those that are void. Called about once a second.
    pub(super) fn sweep(&mut self, now: u64) -> Result<usize, Broken> {
        self.sweep.next(&self.database, [JOBS, OBJECTS], self.ttl_ms, now)
    }

    /// The inner error is the step's own and harms no other.
    fn step(
        &mut self,
        step: &Step,
        now: u64,
        lines: &mut Vec<Vec<u8>>,
    ) -> Result<Result<StepResult, LedgerError>, Broken> {
        let place = match step {
            Step::Recall { object } => Place::Object(object.clone()),
            other => Place::Job(other.key().to_owned()),
        };
        let record = self.known(&place, now)?;
        let (said, change) = match step {
            Step::Begin { .. } => (StepResult::Claim(record::begin(record)), Change::Keep),
            Step::Intent { prior, limit, .. } => match record::intent(record.as_ref(), *prior) {
                None => (StepResult::Intent(Intent::ClaimLost), Change::Keep),
                Some(change) => self.counted(*limit, change),
            },
            Step::Conclude { end, object, superseded, .. } => {
                if let Some(object) = object {
                    let put = Change::Put(Record::ended(end));
                    if let Err(error) = self.change(Place::Object(object.clone()), put, now, Some(&mut *lines)) {
                        return Ok(Err(error));
                    }
                }
                let (change, standing) = record::conclude(record.as_ref(), end, superseded.as_deref());
                (StepResult::Standing(standing), change)
            }
            // A later delivery publishes the result again in any case: not worth a line.
            Step::Published { keep: true, .. } => {
                let change = record::published(record, true);
                return Ok(self.change(place, change, now, None).map(|()| StepResult::Done));
            }
            Step::Published { keep: false, .. } => (StepResult::Done, record::published(record, false)),
            Step::Revert { prior, .. } => (StepResult::Done, record::revert(record.as_ref(), *prior)),
            Step::Recall { .. } => (verdict(record), Change::Keep),
            Step::Unsent { day } => {
                self.calls.take_back(*day);
                (StepResult::Done, Change::Keep)
            }
            Step::Calls { limit } => (StepResult::Calls(self.calls.on(limit.now_ms).of(limit.calls)), Change::Keep),
        };
        Ok(self.change(place, change, now, Some(lines)).map(|()| said))
    }

    /// A call that is about to be made is counted where there is a limit, and made unless that is reached.
    fn counted(&mut self, limit: Option<LimitNow>, change: Change) -> (StepResult, Change) {
        let intent = match limit {
            Some(limit) => self.calls.count(limit.calls, limit.now_ms),
            None => Intent::Recorded(None),
        };
        let change = if let Intent::Recorded(_) = intent { change } else { Change::Keep };
        (StepResult::Intent(intent), change)
    }

    fn change(
        &mut self,
        place: Place,
        change: Change,
        now: u64,
        lines: Option<&mut Vec<Vec<u8>>>,
    ) -> Result<(), LedgerError> {
        let record = match change {
            Change::Keep => return Ok(()),
            Change::Put(record) => Some(record),
            Change::Remove => None,
        };
        let recent = Recent { record, void_at: now.saturating_add(self.ttl_ms) };
        if let Some(lines) = lines {
            lines.push(write_line(&place, &recent)?);
        }
        self.recent.insert(place, recent);
        Ok(())
    }

    fn known(&self, place: &Place, now: u64) -> Result<Option<Record>, Broken> {
        if let Some(recent) = self.recent.get(place) {
            return Ok(recent.record.clone().filter(|_| recent.void_at > now));
        }
        let (definition, key) = match place {
            Place::Job(key) => (JOBS, key),
            Place::Object(key) => (OBJECTS, key),
        };
        let read = self.database.begin_read()?;
        let table = match read.open_table(definition) {
            Ok(table) => table,
            // Nothing has been moved there yet.
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(value) = table.get(key.as_str())? else { return Ok(None) };
        Ok(match value.value().split_first_chunk::<EXPIRY_BYTES>() {
            Some((void_at, _)) if u64::from_be_bytes(*void_at) <= now => None,
            Some((_, json)) => place.record(json),
            None => place.record(&[]),
        })
    }
}

impl Step {
    pub(super) fn only_looks(&self) -> bool {
        matches!(self, Self::Begin { .. } | Self::Recall { .. } | Self::Calls { .. })
    }

    pub(super) fn key(&self) -> &str {
        match self {
            Self::Begin { key }
            | Self::Intent { key, .. }
            | Self::Conclude { key, .. }
            | Self::Published { key, .. }
            | Self::Revert { key, .. } => key,
            Self::Recall { object } => object,
            // About no job: no step has to wait for them.
            Self::Unsent { .. } | Self::Calls { .. } => "",
        }
    }
}

fn verdict(record: Option<Record>) -> StepResult {
    match record {
        Some(Record::Ended { end, .. }) if end.is_verdict() => StepResult::Verdict(Some(end)),
        Some(Record::Ended { .. } | Record::Intent { .. }) | None => StepResult::Verdict(None),
    }
}
