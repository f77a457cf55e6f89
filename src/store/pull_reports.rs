//! The newest report on each pull request: what a comment's link leads to.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::columns::{json, nanos, time, to_json};
use super::{Store, StoreError};
use crate::ids::ProjectName;
use crate::report::pull::PullReport;

/// A pull request's number as it is stored. One too large for SQLite is no pull request's.
fn number_of(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store {
    /// Keeps the newest report on a pull request, in place of the one before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where its project does not exist.
    pub async fn put_pull_report(&self, report: &PullReport, at: Timestamp) -> Result<(), StoreError> {
        let (project, number, body, at) =
            (report.project.clone(), number_of(report.number), to_json(report)?, nanos(at)?);
        self.transact(move |c| {
            let known = c.prepare_cached("SELECT 1 FROM projects WHERE name = ?1")?.exists([project.as_str()])?;
            if !known {
                return Err(StoreError::NotFound(format!("project {project}")));
            }
            c.prepare_cached(
                "INSERT INTO pull_reports (project, number, body, made_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (project, number) DO UPDATE SET body = excluded.body, made_at = excluded.made_at",
            )?
            .execute(params![project.as_str(), number, body, at])?;
            Ok(())
        })
        .await
    }

    /// The newest report on a pull request, and when it was made.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn pull_report(
        &self,
        project: &ProjectName,
        number: u64,
    ) -> Result<Option<(PullReport, Timestamp)>, StoreError> {
        let (project, number) = (project.clone(), number_of(number));
        self.query(move |c| {
            Ok(c.prepare_cached("SELECT body, made_at FROM pull_reports WHERE project = ?1 AND number = ?2")?
                .query_row(params![project.as_str(), number], |row| Ok((json(row, 0)?, time(row, 1)?)))
                .optional()?)
        })
        .await
    }
}
