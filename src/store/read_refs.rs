//! What each environment's tracked ref was when its file was read last.

use rusqlite::{OptionalExtension, params};

use super::columns::{optional_json, text, to_json};
use super::environments::require;
use super::records::ReadRef;
use super::{Store, StoreError};
use crate::ids::EnvironmentRef;

impl Store {
    /// Records what a ref was, in place of what it was before; writes nothing where that is the same.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn put_read_ref(&self, environment: &EnvironmentRef, read: ReadRef) -> Result<(), StoreError> {
        if self.read_ref(environment).await?.as_ref() == Some(&read) {
            return Ok(());
        }
        let id = environment.clone();
        self.transact(move |c| {
            require(c, &id)?;
            c.prepare_cached(
                "INSERT OR REPLACE INTO read_refs (project, environment, reference, full_name, commit_id, version)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id.project.as_str(),
                id.environment.as_str(),
                read.reference,
                read.full_name,
                read.commit.as_str(),
                read.version.as_ref().map(to_json).transpose()?
            ])?;
            Ok(())
        })
        .await
    }

    /// What an environment's tracked ref was; `None` where its file was never read.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn read_ref(&self, environment: &EnvironmentRef) -> Result<Option<ReadRef>, StoreError> {
        let id = environment.clone();
        self.query(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT reference, full_name, commit_id, version FROM read_refs WHERE project = ?1 AND environment = ?2",
            )?;
            let found = statement.query_row([id.project.as_str(), id.environment.as_str()], |row| {
                Ok(ReadRef {
                    reference: row.get(0)?,
                    full_name: row.get(1)?,
                    commit: text(row, 2)?,
                    version: optional_json(row, 3)?,
                })
            });
            Ok(found.optional()?)
        })
        .await
    }
}
