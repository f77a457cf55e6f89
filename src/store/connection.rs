//! Opening the database: one owner of the state directory, small caches, nothing trusted that was not checked.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, limits::Limit};

use super::{DATABASE_FILE, StoreError, migrations};

/// Held for as long as the store is open: a second daemon on the same state would act on what it cannot see.
const LOCK_FILE: &str = "trueup.lock";
/// Databases up to this size are checked page by page on opening; larger ones are checked as they are read.
const CHECKED_BYTES_MAX: u64 = 32 << 20;
/// The page size of a new database (SQLite's own default).
const PAGE_BYTES: u64 = 4096;
/// The longest text of one column.
const VALUE_BYTES_MAX: i32 = 256 << 20;

/// A database that is open for writing.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) lock: File,
    pub(super) source: Source,
}

/// Where readers are opened from.
pub(super) struct Source {
    pub(super) path: PathBuf,
}

/// Opens, checks and migrates the database of a state directory.
pub(super) fn open(directory: &Path, bytes_max: u64) -> Result<Opened, StoreError> {
    let cannot = |what: &str, error: std::io::Error| {
        StoreError::Database(format!("{what} {} cannot be opened for writing: {error}", directory.display()))
    };
    if !directory.is_dir() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(directory).map_err(|error| cannot("the state directory", error))?;
    }
    let private = |name: &str| {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(directory.join(name))
    };
    let lock = private(LOCK_FILE).map_err(|error| cannot("the lock file in", error))?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(StoreError::InUse { path: directory.display().to_string() });
        }
        Err(error) => return Err(cannot("the lock file in", error.into())),
    }
    // Created here, so that it is private from its first byte; SQLite gives its WAL the same mode.
    let file = private(DATABASE_FILE).map_err(|error| cannot("the database in", error))?;
    let bytes = file.metadata().map_err(|error| cannot("the database in", error))?.len();
    drop(file);

    let path = directory.join(DATABASE_FILE);
    let connection = prepare(&path, bytes, bytes_max).map_err(|error| error.of(&path))?;
    Ok(Opened { connection, lock, source: Source { path } })
}

fn prepare(path: &Path, bytes: u64, bytes_max: u64) -> Result<Connection, StoreError> {
    let mut connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    tune(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a committed transaction survives the loss of power, not only of the process.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    let pages = i64::try_from((bytes_max / PAGE_BYTES).max(1)).unwrap_or(i64::MAX);
    connection.pragma_update(None, "max_page_count", pages)?;
    if bytes > 0 && bytes <= CHECKED_BYTES_MAX {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(StoreError::Damaged { path: path.display().to_string(), why: verdict });
        }
    }
    migrations::migrate(&mut connection, path)?;
    Ok(connection)
}

impl Source {
    /// A read-only connection.
    pub(super) fn reader(&self) -> Result<Connection, StoreError> {
        let connection = Connection::open_with_flags(&self.path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))
            .map_err(|error| StoreError::from(error).of(&self.path))?;
        tune(&connection)?;
        Ok(connection)
    }
}

fn flags(mode: OpenFlags) -> OpenFlags {
    // NO_MUTEX: each connection is used by one thread at a time; Rust's types see to it.
    mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}

fn tune(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // KiB. The kernel's page cache holds the file already; a daemon that mostly idles should not hold it twice.
    connection.pragma_update(None, "cache_size", -512)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}
