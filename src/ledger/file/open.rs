//! Opening the file: made private, locked, looked through, and never made anew over something that cannot be read.

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, StorageError, TableDefinition, TableHandle as _};
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The layout of the tables. Raised when an older program could not read what this one writes, or the other way round.
pub(super) const SCHEMA: u64 = 1;

/// Numbers about the file itself.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Enough for the upper levels of the trees; the rest is the system's page cache.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// The file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "open ledger.path = {path}: another process has it open. A ledger file belongs to one process: give every worker a \
         file of its own, or use ledger.backend = \"redis\" to share one"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be trusted any more.
    #[error(
        "open ledger.path = {path}: the file is damaged ({why}). Restore it from a backup; or move it away to start with an empty \
         ledger, and then jobs that are delivered again are paid for again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is something else.
    #[error("open ledger.path = {path}: the file is no ledger ({why}). Name another path")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The system does not let us.
    #[error("open ledger.path = {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl OpenError {
    /// True when the file is sound, as far as that can be seen, and another process has it.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }
}

/// Opens or makes the file. `check` looks at every page of it.
pub(super) fn open(path: &Path, check: bool) -> Result<Database, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let file = private(path).map_err(failed)?;
    let ours = file.try_clone().map_err(failed)?;
    // A damaged file can make the database panic instead of saying so.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let backend = FileBackend::new(file)?;
        from_backend(backend, check)
    }));
    let database = match opened {
        Ok(database) => database.map_err(|error| explain(path, error))?,
        Err(_) => return Err(damaged(path, "reading it failed")),
    };
    match catch_unwind(AssertUnwindSafe(|| schema(&database))) {
        Ok(Ok(Some(SCHEMA))) => {
            // Only now: what turns out to be another program's file stays as it is.
            close_to_others(&ours, path).map_err(failed)?;
            Ok(database)
        }
        Ok(Ok(Some(other))) => {
            let why = format!("it has layout {other}, this version of antispoofd reads layout {SCHEMA}");
            Err(OpenError::Foreign { path: path.to_owned(), why })
        }
        Ok(Ok(None)) => {
            Err(OpenError::Foreign { path: path.to_owned(), why: "it is a database of another program".to_owned() })
        }
        Ok(Err(error)) => Err(damaged(path, &error.to_string())),
        Err(_) => Err(damaged(path, "reading it failed")),
    }
}

/// As the settings of a file are, on anything.
pub(super) fn from_backend(backend: impl redb::StorageBackend, check: bool) -> Result<Database, DatabaseError> {
    Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check).create_with_backend(backend)
}

/// The layout's number; an empty database gets ours. `None`: it has tables, but not that one.
pub(super) fn schema(database: &Database) -> Result<Option<u64>, redb::Error> {
    let read = database.begin_read()?;
    let tables: Vec<String> = read.list_tables()?.map(|table| table.name().to_owned()).collect();
    if tables.is_empty() {
        let write = database.begin_write()?;
        write.open_table(META)?.insert("schema", SCHEMA)?;
        write.commit()?;
        return Ok(Some(SCHEMA));
    }
    if !tables.iter().any(|name| name == META.name()) {
        return Ok(None);
    }
    Ok(read.open_table(META)?.get("schema")?.map(|number| number.value()))
}

/// A new or empty file is for this user only, and in its folder for good when this returns.
fn private(path: &Path) -> io::Result<fs::File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() == 0 {
        close_to_others(&file, path)?;
        if let Some(folder) = path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            fs::File::open(folder)?.sync_all()?;
        }
    }
    Ok(file)
}

fn close_to_others(file: &fs::File, path: &Path) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
        tracing::warn!("the ledger {} could be read by others: it is now for its owner only", path.display());
    }
    Ok(())
}

fn explain(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path },
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            io::ErrorKind::InvalidData => OpenError::Foreign { path, why: error.to_string() },
            io::ErrorKind::UnexpectedEof => OpenError::Damaged { path, why: error.to_string() },
            _ => OpenError::Io { path, source: error },
        },
        DatabaseError::UpgradeRequired(version) => {
            OpenError::Foreign { path, why: format!("its format, version {version}, is too old") }
        }
        other => OpenError::Damaged { path, why: other.to_string() },
    }
}

fn damaged(path: &Path, why: &str) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), why: why.to_owned() }
}
