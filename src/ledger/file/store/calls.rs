//! The count of calls in the file: in the table of the layout's number, beside it, so that a version that does not count reads the file as well.

use super::table::Broken;
use crate::ledger::daily::Tally;
use crate::ledger::file::open::META;
use redb::{ReadTransaction, TableError, WriteTransaction};

const DAY: &str = "calls.day";
const COUNTED: &str = "calls.counted";

pub(super) fn read(read: &ReadTransaction) -> Result<Tally, Broken> {
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Tally::default()),
        Err(error) => return Err(error.into()),
    };
    let number = |key| Ok::<_, Broken>(meta.get(key)?.map_or(0, |number| number.value()));
    Ok(Tally { day: number(DAY)?, counted: number(COUNTED)? })
}

pub(super) fn write(write: &WriteTransaction, calls: Tally) -> Result<(), Broken> {
    let mut meta = write.open_table(META)?;
    meta.insert(DAY, calls.day)?;
    meta.insert(COUNTED, calls.counted)?;
    Ok(())
}
