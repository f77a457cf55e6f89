//! What survives a restart: SQLite (WAL) in the state directory. One writer thread behind a channel, readers on their
//! own connections, one file per table family, migrations from `schema/sql`.
//!
//! Every method is durable when it returns. Must not know HTTP, Git or any provider.

mod audit;
mod bases;
mod columns;
mod commands;
mod connection;
mod deliveries;
mod drift_marks;
mod drift_told;
mod environments;
mod error;
mod events;
mod forge_users;
mod health;
mod heard;
mod integrations;
mod journal;
mod meta;
mod migrations;
mod outbox;
mod plans;
mod projects;
mod pull_reports;
mod pulls;
mod read_refs;
mod reads;
pub mod records;
mod releases;
mod retention;
mod run_lines;
mod runs;
mod services;
mod stored;
mod tokens;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

pub use commands::{COMMANDS_MAX, COMMANDS_WITHIN};
pub use deliveries::{InboxBound, SAME_BODY_WITHIN};
pub use error::StoreError;
pub use events::EVENTS_KEPT;
pub use retention::{
    AUDIT_KEPT, AUDIT_ROWS_MAX, DELIVERIES_BYTES_MAX, DELIVERIES_KEPT, DELIVERIES_ROWS_MAX, PLANS_KEPT,
    PULL_REPORTS_KEPT, REPORTS_KEPT, RUN_LINES_KEPT, RUNS_KEPT, RUNS_KEPT_MIN, Swept,
};
pub use run_lines::{LINE_BYTES_MAX, LINES_PER_RUN_MAX};
pub use runs::RunStart;
pub use stored::Stored;

use crate::store::connection::Opened;
use crate::store::deliveries::Waiting;
use crate::store::writer::Writer;

/// The database's file name within the state directory.
pub const DATABASE_FILE: &str = "trueup.db";

/// The most bytes that the database may take; beyond it, writes fail with [`StoreError::Full`] and nothing is lost.
pub const DATABASE_BYTES_MAX: u64 = 8 << 30;

/// Releases that are kept of each service.
pub const RELEASES_KEPT: usize = 20;

/// Reads that go on at once; each takes one connection and one blocking thread.
const READERS_MAX: usize = 4;
/// Connections that are kept open between reads.
const READERS_IDLE: usize = 2;

/// The open store; cheap to clone. The last clone's end waits for the writes that are under way and closes the file.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Writer,
    readers: Readers,
    /// What waits in the inbox, counted here so that accepting a delivery counts no rows.
    waiting: Arc<Waiting>,
}

/// Read-only connections, opened as they are needed.
struct Readers {
    source: connection::Source,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.readers.source.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or creates the database `trueup.db` in `directory` and migrates it.
    ///
    /// # Errors
    /// A database that cannot be opened, is in use by another daemon, is damaged, or was written by a newer Trueup.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_bounded(directory, DATABASE_BYTES_MAX)
    }

    /// As [`Store::open`], with another bound than [`DATABASE_BYTES_MAX`] on the database's size.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_bounded(directory: &Path, bytes_max: u64) -> Result<Self, StoreError> {
        let Opened { connection, lock, source } = connection::open(directory, bytes_max)?;
        let waiting = Arc::new(Waiting::of(&connection)?);
        let writer = Writer::spawn(connection, lock)?;
        let readers = Readers { source, idle: Mutex::default(), permits: Semaphore::new(READERS_MAX) };
        Ok(Store { inner: Arc::new(Inner { writer, readers, waiting }) })
    }

    /// Runs `work` in a write transaction of the writer thread; what it did is durable when this returns `Ok`, and
    /// undone where it returns `Err`.
    async fn transact<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.inner.writer.run(work).await
    }

    /// Runs `work` on a read-only connection, over one snapshot.
    async fn query<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let stopped = |_| StoreError::Database("the store is closing".into());
        let permit = inner.readers.permits.acquire().await.map_err(stopped)?;
        let task = {
            let inner = Arc::clone(&inner);
            tokio::task::spawn_blocking(move || inner.readers.run(work))
        };
        let result = task.await.map_err(|error| StoreError::Database(format!("a read did not end: {error}")))?;
        drop(permit);
        result
    }
}

impl Readers {
    fn run<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.source.reader()?,
        };
        let result = {
            let snapshot = connection.unchecked_transaction()?;
            work(&snapshot)
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS_IDLE {
            idle.push(connection);
        }
        result
    }
}
