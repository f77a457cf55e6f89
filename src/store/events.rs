//! The newest events, and up to where notification webhooks were served.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{count, json, nanos, optional_time, text, time, to_json};
use super::records::NotifyCursor;
use super::{Store, StoreError};
use crate::events::event::{Event, NewEvent};

/// Events that are kept; the oldest go as new ones come.
pub const EVENTS_KEPT: u64 = 10_000;

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event { id: count(row, 0)?, at: time(row, 1)?, kind: text(row, 2)?, subject: row.get(3)?, data: json(row, 4)? })
}

/// Keeps an event within a transaction that changes what it speaks of.
pub(super) fn insert(c: &Connection, event: NewEvent) -> Result<Event, StoreError> {
    let NewEvent { at, kind, subject, data } = event;
    c.prepare_cached("INSERT INTO events (at, type, subject, data) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        nanos(at)?,
        kind.word(),
        subject,
        to_json(&data)?
    ])?;
    let id = c.last_insert_rowid();
    c.prepare_cached("DELETE FROM events WHERE id <= ?1")?.execute([id.saturating_sub_unsigned(EVENTS_KEPT)])?;
    Ok(Event { id: id.cast_unsigned(), at, kind, subject, data })
}

fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

impl Store {
    /// Keeps an event.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn add_event(&self, event: NewEvent) -> Result<Event, StoreError> {
        self.transact(move |c| insert(c, event)).await
    }

    /// The events after a number, in order, at most `limit`.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn events_after(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query(move |c| {
            let mut statement =
                c.prepare_cached("SELECT id, at, type, subject, data FROM events WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            Ok(statement.query_map([number(after), limit], event)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The number after which the last `count` kept events come; that of the newest one for a count of 0.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn event_before_last(&self, count: usize) -> Result<u64, StoreError> {
        let skip = i64::try_from(count).unwrap_or(i64::MAX);
        self.query(move |c| {
            let found: Option<i64> = c
                .prepare_cached("SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?1")?
                .query_row([skip], |row| row.get(0))
                .optional()?;
            Ok(found.map_or(0, i64::cast_unsigned))
        })
        .await
    }

    /// Up to where a notification webhook was served; `None` for one that is new.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn notify_cursor(&self, target: &str) -> Result<Option<NotifyCursor>, StoreError> {
        let target = target.to_owned();
        self.query(move |c| {
            let mut statement =
                c.prepare_cached("SELECT event, attempts, retry_at, last_error FROM notify_cursors WHERE target = ?1")?;
            let cursor = statement.query_row([&target], |row| {
                Ok(NotifyCursor {
                    event: count(row, 0)?,
                    attempts: count(row, 1)?,
                    retry_at: optional_time(row, 2)?,
                    last_error: row.get(3)?,
                })
            });
            Ok(cursor.optional()?)
        })
        .await
    }

    /// Notes up to where a notification webhook was served.
    ///
    /// # Errors
    /// A database that refuses: what was delivered is then delivered again.
    pub async fn put_notify_cursor(&self, target: &str, cursor: NotifyCursor) -> Result<(), StoreError> {
        let target = target.to_owned();
        let retry_at = cursor.retry_at.map(nanos).transpose()?;
        self.transact(move |c| {
            c.prepare_cached(
                "INSERT INTO notify_cursors (target, event, attempts, retry_at, last_error) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (target) DO UPDATE SET event = excluded.event, attempts = excluded.attempts,
                     retry_at = excluded.retry_at, last_error = excluded.last_error",
            )?
            .execute(params![
                target,
                number(cursor.event),
                number(cursor.attempts),
                retry_at,
                cursor.last_error
            ])?;
            Ok(())
        })
        .await
    }

    /// Forgets the notification webhooks that are not among these: one that is configured again later begins anew.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn keep_notify_cursors(&self, targets: &[String]) -> Result<(), StoreError> {
        let targets = to_json(targets)?;
        self.transact(move |c| {
            c.execute("DELETE FROM notify_cursors WHERE target NOT IN (SELECT value FROM json_each(?1))", [targets])?;
            Ok(())
        })
        .await
    }
}
