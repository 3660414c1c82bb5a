//! What all tables of records have in common.

use redb::TableDefinition;

/// The value begins with so many bytes: when the record is void, big endian, in milliseconds since 1970.
pub(super) const EXPIRY_BYTES: usize = 8;

/// By key: the expiry, then the record as JSON.
pub(in crate::ledger::file) type Definition = TableDefinition<'static, &'static str, &'static [u8]>;

/// The database failed. It has to be opened again before anything else.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::ledger::file) struct Broken(pub(super) String);

impl<E> From<E> for Broken
where
    redb::Error: From<E>,
{
    fn from(error: E) -> Self {
        Self(redb::Error::from(error).to_string())
    }
}
