//! When deliveries last told of a move in projects' repositories: whom the forge tells, and who has to be asked about.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::columns::{nanos, text, time};
use super::{Store, StoreError};
use crate::ids::ProjectName;

impl Store {
    /// Notes that a delivery told of a move; nothing where the project is gone.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn hear_of(&self, project: &ProjectName, at: Timestamp) -> Result<(), StoreError> {
        let (project, at) = (project.clone(), nanos(at)?);
        self.transact(move |c| {
            c.prepare_cached(
                "INSERT INTO heard (project, at) SELECT name, ?2 FROM projects WHERE name = ?1
                 ON CONFLICT (project) DO UPDATE SET at = excluded.at",
            )?
            .execute(params![project.as_str(), at])?;
            Ok(())
        })
        .await
    }

    /// When a delivery last told of a move in a project's repository.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn heard_of(&self, project: &ProjectName) -> Result<Option<Timestamp>, StoreError> {
        let project = project.clone();
        self.query(move |c| {
            let mut statement = c.prepare_cached("SELECT at FROM heard WHERE project = ?1")?;
            Ok(statement.query_row([project.as_str()], |row| time(row, 0)).optional()?)
        })
        .await
    }

    /// The projects in whose repositories a delivery told of a move since.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn heard_since(&self, since: Timestamp) -> Result<BTreeSet<ProjectName>, StoreError> {
        let since = nanos(since)?;
        self.query(move |c| {
            let mut statement = c.prepare_cached("SELECT project FROM heard WHERE at >= ?1")?;
            Ok(statement.query_map([since], |row| text(row, 0))?.collect::<Result<_, _>>()?)
        })
        .await
    }
}
