//! What survives a restart: SQLite (WAL) in the state directory. One writer thread behind a channel, readers on their
//! own connections, one file per table family, migrations from `schema/sql`.
//!
//! Every method is durable when it returns. Must not know HTTP, Git or any provider.

pub mod records;

use std::path::Path;

use jiff::Timestamp;

use crate::authority::Actor;
use crate::ids::{CommitSha, EnvironmentRef, PlanDigest, RunId};
use crate::store::records::RunKind;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or is damaged.
    #[error("the database: {0}")]
    Database(String),
    /// The record does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The record exists already, or a rule of the data forbids the change.
    #[error("{0}")]
    Conflict(String),
}

/// The open store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {}

/// What a new run is begun with.
#[derive(Clone, Debug)]
pub struct RunStart {
    /// Which environment.
    pub environment: EnvironmentRef,
    /// The plan that was confirmed.
    pub plan: PlanDigest,
    /// The commit.
    pub commit: Option<CommitSha>,
    /// Sync or rollback.
    pub kind: RunKind,
    /// Who asked.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Opens or creates the database `trueup.db` in `directory` and migrates it.
    ///
    /// # Errors
    /// A database that cannot be opened, is damaged, or was written by a newer Trueup.
    pub fn open(_directory: &Path) -> Result<Self, StoreError> {
        Err(StoreError::Database("not built".into()))
    }

    /// Begins a run, unless another of the same environment is unfinished.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] naming the unfinished run.
    pub async fn begin_run(&self, _start: RunStart) -> Result<RunId, StoreError> {
        Err(StoreError::Database("not built".into()))
    }
}
