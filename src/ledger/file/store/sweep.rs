//! Removing what is void, a few entries at a time: a walk along the keys that never ends.

use super::table::{Broken, Definition, EXPIRY_BYTES};
use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, TableError};

/// Entries that are looked at in one go, at least and at most: a fraction of a millisecond.
const FEWEST: u64 = 64;
const MOST: u64 = 1024;

/// A walk takes about this part of the time that entries are kept.
const WALKS_PER_TTL: u64 = 10;

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    table: usize,
    after: Option<String>,
}

impl Sweep {
    /// The next stretch. Returns how many entries it removed.
    pub(super) fn next(
        &mut self,
        database: &Database,
        tables: [Definition; 2],
        ttl_ms: u64,
        now: u64,
    ) -> Result<usize, Broken> {
        let definition = tables[self.table % tables.len()];
        let void = match self.look(database, definition, ttl_ms, now)? {
            Some(void) if !void.is_empty() => void,
            Some(_) | None => return Ok(0),
        };
        let write = database.begin_write()?;
        {
            let mut table = write.open_table(definition)?;
            for key in &void {
                table.remove(key.as_str())?;
            }
        }
        write.commit()?;
        Ok(void.len())
    }

    fn look(
        &mut self,
        database: &Database,
        definition: Definition,
        ttl_ms: u64,
        now: u64,
    ) -> Result<Option<Vec<String>>, Broken> {
        let read = database.begin_read()?;
        let table = match read.open_table(definition) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stretch = (table.len()?.saturating_mul(WALKS_PER_TTL) / (ttl_ms / 1000).max(1)).clamp(FEWEST, MOST);
        let mut entries = match &self.after {
            Some(after) => {
                table.range::<&str>((std::ops::Bound::Excluded(after.as_str()), std::ops::Bound::Unbounded))?
            }
            None => table.range::<&str>(..)?,
        };
        let mut void = Vec::new();
        for _ in 0..stretch {
            let Some(entry) = entries.next() else {
                self.after = None;
                self.table += 1;
                return Ok(Some(void));
            };
            let (key, value) = entry?;
            if value.value().first_chunk::<EXPIRY_BYTES>().is_none_or(|at| u64::from_be_bytes(*at) <= now) {
                void.push(key.value().to_owned());
            }
            self.after = Some(key.value().to_owned());
        }
        Ok(Some(void))
    }
}
