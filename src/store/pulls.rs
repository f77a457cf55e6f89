//! Pull requests that are reported on: what is to be planned, and when.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::columns::{count, nanos, optional_time, text, time, to_word, word};
use super::records::{PullRow, PullStage};
use super::{Store, StoreError};
use crate::ids::ProjectName;

const COLUMNS: &str = "project, number, stage, facts, due_at, heard_at, planned_at, failures";

fn pull(row: &Row<'_>) -> rusqlite::Result<PullRow> {
    Ok(PullRow {
        project: text(row, 0)?,
        number: count(row, 1)?,
        stage: word(row, 2)?,
        facts: row.get(3)?,
        due_at: optional_time(row, 4)?,
        heard_at: optional_time(row, 5)?,
        planned_at: optional_time(row, 6)?,
        failures: count(row, 7)?,
    })
}

fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store {
    /// Notes that something about a pull request was heard of at `at`: it is to be read and planned at once. Newest news
    /// of several wins; a request that was done with is taken up again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the project does not exist.
    pub async fn want_pull(&self, project: &ProjectName, number: u64, at: Timestamp) -> Result<(), StoreError> {
        let (project, at) = (project.clone(), nanos(at)?);
        self.transact(move |c| {
            c.prepare_cached(
                "INSERT INTO pulls (project, number, stage, due_at, heard_at, failures) VALUES (?1, ?2, 'open', ?3, ?3, 0)
                 ON CONFLICT DO UPDATE SET due_at = excluded.due_at, failures = 0,
                   heard_at = coalesce(heard_at, excluded.heard_at)",
            )?
            .execute(params![project.as_str(), key(number), at])
            .map_err(|error| match super::error::is_constraint(&error) {
                true => StoreError::NotFound(format!("project {project}")),
                false => error.into(),
            })?;
            Ok(())
        })
        .await
    }

    /// Has every request of a project that is not done with planned again, each not before `pause` after it was planned
    /// last. Returns how many wait for that.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn want_pulls_again(
        &self,
        project: &ProjectName,
        now: Timestamp,
        pause: jiff::SignedDuration,
    ) -> Result<usize, StoreError> {
        let (project, now) = (project.clone(), nanos(now)?);
        let pause = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
        self.transact(move |c| {
            Ok(c.prepare_cached(
                "UPDATE pulls SET due_at = max(?2, coalesce(planned_at, 0) + ?3)
                 WHERE project = ?1 AND stage <> 'done' AND due_at IS NULL",
            )?
            .execute(params![project.as_str(), now, pause])?)
        })
        .await
    }

    /// The requests that are due as of `now`, oldest first.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn due_pulls(&self, now: Timestamp, limit: usize) -> Result<Vec<PullRow>, StoreError> {
        let now = nanos(now)?;
        self.query(move |c| {
            let sql =
                format!("SELECT {COLUMNS} FROM pulls WHERE due_at <= ?1 ORDER BY due_at, project, number LIMIT ?2");
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_map(params![now, limit as i64], pull)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// When the next request is due; `None` where none is.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn next_pull_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.query(|c| {
            let sql = "SELECT due_at FROM pulls WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";
            Ok(c.prepare_cached(sql)?.query_row([], |row| time(row, 0)).optional()?)
        })
        .await
    }

    /// Notes that a request was read and planned as of `seen` (when it was taken up): what was heard of since keeps it due.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn planned_pull(
        &self,
        taken: &PullRow,
        stage: PullStage,
        facts: String,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (project, number) = (taken.project.clone(), key(taken.number));
        let due = taken.due_at.map(nanos).transpose()?;
        let (stage, at) = (to_word(&stage)?, nanos(at)?);
        self.transact(move |c| {
            c.prepare_cached(
                "UPDATE pulls SET stage = ?3, facts = ?4, planned_at = ?5, failures = 0,
                   heard_at = CASE WHEN due_at IS ?6 THEN NULL ELSE heard_at END,
                   due_at = CASE WHEN due_at IS ?6 THEN NULL ELSE due_at END
                 WHERE project = ?1 AND number = ?2",
            )?
            .execute(params![project.as_str(), number, stage, facts, at, due])?;
            Ok(())
        })
        .await
    }

    /// Notes that a request could not be read or planned: it is due again at `again`, or not at all.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn unplanned_pull(&self, taken: &PullRow, again: Option<Timestamp>) -> Result<(), StoreError> {
        let (project, number) = (taken.project.clone(), key(taken.number));
        let due = taken.due_at.map(nanos).transpose()?;
        let again = again.map(nanos).transpose()?;
        self.transact(move |c| {
            c.prepare_cached(
                "UPDATE pulls SET failures = failures + 1, due_at = CASE WHEN due_at IS ?3 THEN ?4 ELSE due_at END
                 WHERE project = ?1 AND number = ?2",
            )?
            .execute(params![project.as_str(), number, due, again])?;
            Ok(())
        })
        .await
    }

    /// The requests of a project that are reported on, by number; those that are done with too.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn pulls(&self, project: &ProjectName) -> Result<Vec<PullRow>, StoreError> {
        let project = project.clone();
        self.query(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM pulls WHERE project = ?1 ORDER BY number");
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_map([project.as_str()], pull)?.collect::<Result<_, _>>()?)
        })
        .await
    }
}
