//! Why the store could not do what was asked.

use rusqlite::ErrorCode;

/// Why the store could not do what was asked. After any of these, what was stored before is as it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("the database: {0}")]
    Database(String),
    /// There is no room: the file system is full, or the database reached its bound.
    #[error("the database has no room ({0}); free space where the state directory is, nothing that was stored is lost")]
    Full(String),
    /// The file is no database, or is damaged.
    #[error(
        "the database {path} is damaged ({why}); stop the daemon, move the file away and put a backup in its place (see docs/operations.md, Backup)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What SQLite said.
        why: String,
    },
    /// A newer Trueup has written the database.
    #[error(
        "the database {path} has format {found}, this Trueup knows formats up to {known}; install the Trueup that wrote it, or a newer one"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// Another process has the state directory.
    #[error(
        "the state directory {path} is in use by another Trueup; stop that one first, or name another with --state"
    )]
    InUse {
        /// The directory.
        path: String,
    },
    /// The record does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The record exists already, or a rule of the data forbids the change.
    #[error("{0}")]
    Conflict(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full(error.to_string()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged { path: super::DATABASE_FILE.into(), why: error.to_string() }
            }
            _ => StoreError::Database(error.to_string()),
        }
    }
}

impl StoreError {
    /// The same error, naming the whole path where it names a file.
    pub(super) fn of(self, file: &std::path::Path) -> Self {
        match self {
            StoreError::Damaged { why, .. } => StoreError::Damaged { path: file.display().to_string(), why },
            other => other,
        }
    }
}

/// Whether SQLite refused because a rule of the tables (unique, foreign key) forbids it.
pub(super) fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
