//! The journal of each run: intent before the deed, outcome after it.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::columns::{count, json, nanos, optional_json, optional_text, optional_time, run_number, time, to_json};
use super::records::JournalEntry;
use super::{Store, StoreError};
use crate::ids::{RunId, ServiceName};

impl Store {
    /// Writes down what is about to be done. The deed may begin once this has returned.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the run is not being carried out: nothing may be done under it any more.
    pub async fn journal_intent(
        &self,
        run: RunId,
        service: Option<&ServiceName>,
        intent: serde_json::Value,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let (service, at) = (service.cloned(), nanos(at)?);
        self.transact(move |c| {
            require_running(c, run)?;
            let seq: i64 = c
                .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM journal WHERE run = ?1")?
                .query_row([run_number(run)], |row| row.get(0))?;
            c.prepare_cached("INSERT INTO journal (run, seq, service, intent, begun_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    run_number(run),
                    seq,
                    service.as_ref().map(ServiceName::as_str),
                    to_json(&intent)?,
                    at
                ])?;
            u64::try_from(seq).map_err(|_| StoreError::Database("a step's number is negative".into()))
        })
        .await
    }

    /// Writes down how a step went.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where no such step was begun, [`StoreError::Conflict`] where its outcome is known already.
    pub async fn journal_outcome(
        &self,
        run: RunId,
        seq: u64,
        outcome: serde_json::Value,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (number, at) = (i64::try_from(seq).unwrap_or(i64::MAX), nanos(at)?);
        self.transact(move |c| {
            let known: Option<bool> = c
                .prepare_cached("SELECT outcome IS NOT NULL FROM journal WHERE run = ?1 AND seq = ?2")?
                .query_row(params![run_number(run), number], |row| row.get(0))
                .optional()?;
            match known {
                None => return Err(StoreError::NotFound(format!("step {seq} of run {run}"))),
                Some(true) => {
                    return Err(StoreError::Conflict(format!(
                        "the outcome of step {seq} of run {run} is known already"
                    )));
                }
                Some(false) => {}
            }
            c.prepare_cached("UPDATE journal SET outcome = ?3, ended_at = ?4 WHERE run = ?1 AND seq = ?2")?
                .execute(params![run_number(run), number, to_json(&outcome)?, at])?;
            Ok(())
        })
        .await
    }

    /// A run's steps, in the order in which they were begun.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn journal(&self, run: RunId) -> Result<Vec<JournalEntry>, StoreError> {
        self.query(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT seq, service, intent, outcome, begun_at, ended_at FROM journal WHERE run = ?1 ORDER BY seq",
            )?;
            let rows = statement.query_map([run_number(run)], |row| {
                Ok(JournalEntry {
                    seq: count(row, 0)?,
                    service: optional_text(row, 1)?,
                    intent: json(row, 2)?,
                    outcome: optional_json(row, 3)?,
                    begun_at: time(row, 4)?,
                    ended_at: optional_time(row, 5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn require_running(c: &rusqlite::Connection, run: RunId) -> Result<(), StoreError> {
    let running =
        c.prepare_cached("SELECT 1 FROM runs WHERE id = ?1 AND state = 'running'")?.exists([run_number(run)])?;
    if running { Ok(()) } else { Err(StoreError::Conflict(format!("run {run} is not being carried out"))) }
}
