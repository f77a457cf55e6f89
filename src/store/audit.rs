//! The audit log's table. What is written there is `crate::audit`'s to say.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::columns::{count, nanos, time};
use super::records::{AuditEntry, AuditLine};
use super::{Store, StoreError};

impl Store {
    /// Appends to the audit log.
    ///
    /// # Errors
    /// A database that refuses: what was to be audited must then not be done.
    pub async fn append_audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let at = nanos(entry.at)?;
        self.transact(move |c| insert(c, &entry, at)).await
    }

    /// Appends to the audit log; where the same actor did the same to the same with the same outcome less than `within`
    /// ago, that line counts one more instead. For what is done over and over, such as resolving the secrets of a pass.
    ///
    /// # Errors
    /// As [`Store::append_audit`].
    pub async fn append_audit_folded(&self, entry: AuditEntry, within: SignedDuration) -> Result<(), StoreError> {
        let at = nanos(entry.at)?;
        let from = nanos(entry.at.saturating_sub(within).unwrap_or(Timestamp::MIN)).unwrap_or(i64::MIN);
        self.transact(move |c| {
            let line: Option<i64> = c
                .prepare_cached(
                    "SELECT id FROM audit WHERE operation = ?1 AND target = ?2 AND actor = ?3 AND outcome = ?4 AND at >= ?5
                     ORDER BY id DESC LIMIT 1",
                )?
                .query_row(params![entry.operation, entry.target, entry.actor, entry.outcome, from], |row| row.get(0))
                .optional()?;
            match line {
                Some(id) => {
                    c.prepare_cached("UPDATE audit SET times = times + 1, last_at = max(last_at, ?2) WHERE id = ?1")?
                        .execute([id, at])?;
                    Ok(())
                }
                None => insert(c, &entry, at),
            }
        })
        .await
    }

    /// The newest lines of the audit log, newest first.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn audit(&self, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT at, actor, operation, target, outcome, last_at, times FROM audit ORDER BY id DESC LIMIT ?1",
            )?;
            let rows = statement.query_map([limit], |row| {
                let entry = AuditEntry {
                    at: time(row, 0)?,
                    actor: row.get(1)?,
                    operation: row.get(2)?,
                    target: row.get(3)?,
                    outcome: row.get(4)?,
                };
                Ok(AuditLine { entry, last_at: time(row, 5)?, times: count(row, 6)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn insert(c: &rusqlite::Connection, entry: &AuditEntry, at: i64) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO audit (at, last_at, times, actor, operation, target, outcome) VALUES (?1, ?1, 1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![at, entry.actor, entry.operation, entry.target, entry.outcome])?;
    Ok(())
}
