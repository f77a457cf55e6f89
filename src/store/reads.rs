//! How the last read of each environment's file went.

use rusqlite::{OptionalExtension, Row, params};

use super::columns::{nanos, optional_text, optional_time, text, time, to_word, word};
use super::environments::require;
use super::records::ReadStatus;
use super::{Store, StoreError};
use crate::ids::EnvironmentRef;

fn status(row: &Row<'_>, from: usize) -> rusqlite::Result<ReadStatus> {
    Ok(ReadStatus {
        state: word(row, from)?,
        reason: row.get(from + 1)?,
        commit: optional_text(row, from + 2)?,
        checked_at: time(row, from + 3)?,
        stale_since: optional_time(row, from + 4)?,
    })
}

impl Store {
    /// Records how a read went, in place of the one before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn put_read(&self, environment: &EnvironmentRef, read: &ReadStatus) -> Result<(), StoreError> {
        let (id, read) = (environment.clone(), read.clone());
        let (checked, stale) = (nanos(read.checked_at)?, read.stale_since.map(nanos).transpose()?);
        self.transact(move |c| {
            require(c, &id)?;
            c.prepare_cached(
                "INSERT OR REPLACE INTO reads (project, environment, state, reason, commit_id, checked_at, stale_since)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                id.project.as_str(),
                id.environment.as_str(),
                to_word(&read.state)?,
                read.reason,
                read.commit.as_ref().map(|commit| commit.as_str()),
                checked,
                stale
            ])?;
            Ok(())
        })
        .await
    }

    /// How the last read went; `None` where none was tried yet.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn read(&self, environment: &EnvironmentRef) -> Result<Option<ReadStatus>, StoreError> {
        let id = environment.clone();
        self.query(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT state, reason, commit_id, checked_at, stale_since FROM reads
                 WHERE project = ?1 AND environment = ?2",
            )?;
            let found = statement.query_row([id.project.as_str(), id.environment.as_str()], |row| status(row, 0));
            Ok(found.optional()?)
        })
        .await
    }

    /// Every environment's last read, by project and environment.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn reads(&self) -> Result<Vec<(EnvironmentRef, ReadStatus)>, StoreError> {
        self.query(|c| {
            let mut statement = c.prepare_cached(
                "SELECT project, environment, state, reason, commit_id, checked_at, stale_since FROM reads
                 ORDER BY project, environment",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((EnvironmentRef { project: text(row, 0)?, environment: text(row, 1)? }, status(row, 2)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
