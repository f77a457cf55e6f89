//! The inbox: deliveries of webhooks, durable before anyone acts on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{
    count, json, nanos, optional_json, optional_text, optional_time, text, time, to_json, to_word, word,
};
use super::error::is_constraint;
use super::records::{Accepted, Delivery, DeliveryFilter, DeliveryState, NewDelivery, WaitingDelivery};
use super::{Store, StoreError};

/// What may wait in the inbox; beyond it, no delivery is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxBound {
    /// Deliveries.
    pub rows: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Default for InboxBound {
    fn default() -> Self {
        InboxBound { rows: 50_000, bytes: 256 << 20 }
    }
}

/// How long an equal body counts as the same delivery, where the forge gave it no id.
pub const SAME_BODY_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What waits in the inbox.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Waiting {
    pub(super) fn of(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM deliveries WHERE state = 'received'";
        let (rows, bytes) = connection.query_row(sql, [], |row| Ok((count(row, 0)?, count(row, 1)?)))?;
        Ok(Waiting { rows: rows.into(), bytes: bytes.into() })
    }

    fn has_room(&self, bytes: u64, bound: InboxBound) -> bool {
        self.rows.load(Ordering::Relaxed) < bound.rows && self.bytes.load(Ordering::Relaxed) + bytes <= bound.bytes
    }

    /// Counts anew: a transaction that failed at its very end leaves one too many.
    pub(super) fn count_again(&self, connection: &Connection) -> Result<(), StoreError> {
        let Waiting { rows, bytes } = Waiting::of(connection)?;
        self.rows.store(rows.into_inner(), Ordering::Relaxed);
        self.bytes.store(bytes.into_inner(), Ordering::Relaxed);
        Ok(())
    }

    fn came(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn went(&self, rows: u64, bytes: u64) {
        for (counter, by) in [(&self.rows, rows), (&self.bytes, bytes)] {
            // Never below nothing: what is counted anew meanwhile may already leave out what goes now.
            let left = |now: u64| Some(now.saturating_sub(by));
            if let Err(unchanged) = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
                tracing::error!(unchanged, "what waits in the inbox could not be counted");
            }
        }
    }
}

const COLUMNS: &str = "id, forge, project, delivery_id, bytes, headers, state, error, replays, received_at, settled_at";

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: count(row, 0)?,
        forge: text(row, 1)?,
        project: optional_text(row, 2)?,
        delivery_id: row.get(3)?,
        bytes: count(row, 4)?,
        headers: json(row, 5)?,
        state: word(row, 6)?,
        error: row.get(7)?,
        replays: count(row, 8)?,
        received_at: time(row, 9)?,
        settled_at: optional_time(row, 10)?,
    })
}

impl Store {
    /// Takes a delivery into the inbox. The same one a second time is found by its id, or by its body within
    /// [`SAME_BODY_WITHIN`] where the forge gave it none.
    ///
    /// # Errors
    /// [`StoreError::Full`] where the database has no room; [`StoreError::NotFound`] where the project is gone.
    pub async fn accept_delivery(&self, new: NewDelivery, bound: InboxBound) -> Result<Accepted, StoreError> {
        let bytes = new.body.len() as u64;
        if !self.inner.waiting.has_room(bytes, bound) {
            return Ok(Accepted::Full);
        }
        let waiting = Arc::clone(&self.inner.waiting);
        self.transact(move |c| {
            let accepted = insert(c, &new)?;
            // Counted before anyone can see the row, and so before anyone can settle it.
            if let Accepted::New(_) = accepted {
                waiting.came(1, bytes);
            }
            Ok(accepted)
        })
        .await
    }

    /// Deliveries that wait, from the oldest after `after` on, with their bodies: as many as have `bytes_max` bytes
    /// together, but at least one.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn waiting_deliveries(&self, after: u64, bytes_max: u64) -> Result<Vec<WaitingDelivery>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.query(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT id, forge, project, headers, bytes, body, via FROM deliveries INDEXED BY deliveries_waiting
                 JOIN delivery_bodies ON delivery = id WHERE state = 'received' AND id > ?1 ORDER BY id LIMIT 512",
            )?;
            let mut rows = statement.query([after])?;
            let (mut waiting, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                bytes += count(row, 4)?;
                if bytes > bytes_max && !waiting.is_empty() {
                    break;
                }
                waiting.push(WaitingDelivery {
                    id: count(row, 0)?,
                    forge: text(row, 1)?,
                    project: optional_text(row, 2)?,
                    via: optional_json(row, 6)?.unwrap_or_default(),
                    headers: json(row, 3)?,
                    body: row.get(5)?,
                });
            }
            Ok(waiting)
        })
        .await
    }

    /// Notes what became of deliveries that waited: taken in, or set aside for a reason. All of them or none.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn settle_deliveries(
        &self,
        settled: Vec<(u64, Result<(), String>)>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let now = nanos(at)?;
        let (rows, bytes) = self
            .transact(move |c| {
                let mut statement = c.prepare_cached(
                    "UPDATE deliveries SET state = ?2, error = ?3, settled_at = ?4
                     WHERE id = ?1 AND state = 'received' RETURNING bytes",
                )?;
                let (mut rows, mut bytes) = (0, 0);
                for (id, result) in settled {
                    let (state, error) = match result {
                        Ok(()) => (DeliveryState::Done, None),
                        Err(why) => (DeliveryState::SetAside, Some(why)),
                    };
                    let id = i64::try_from(id).unwrap_or(i64::MAX);
                    let found = statement
                        .query_row(params![id, to_word(&state)?, error, now], |row| count(row, 0))
                        .optional()?;
                    rows += u64::from(found.is_some());
                    bytes += found.unwrap_or(0);
                }
                Ok((rows, bytes))
            })
            .await?;
        self.inner.waiting.went(rows, bytes);
        Ok(())
    }

    /// How many deliveries wait to be taken in.
    pub fn inbox_depth(&self) -> u64 {
        self.inner.waiting.rows.load(Ordering::Relaxed)
    }

    /// When the oldest delivery that waits came; `None` where none waits.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn inbox_oldest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.query(|c| {
            let sql = "SELECT received_at FROM deliveries INDEXED BY deliveries_waiting WHERE state = 'received'
                       ORDER BY id LIMIT 1";
            Ok(c.prepare_cached(sql)?.query_row([], |row| time(row, 0)).optional()?)
        })
        .await
    }

    /// Deliveries, newest first.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        let before = filter.before.map_or(i64::MAX, |id| i64::try_from(id).unwrap_or(i64::MAX));
        let state = filter.state.map(|state| to_word(&state)).transpose()?;
        let project = filter.project.map(|project| project.to_string());
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        self.query(move |c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM deliveries WHERE id < ?1 AND (?2 IS NULL OR state = ?2)
                   AND (?3 IS NULL OR project = ?3) ORDER BY id DESC LIMIT ?4"
            ))?;
            Ok(statement.query_map(params![before, state, project, limit], delivery)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// One delivery.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that id, or not any more.
    pub async fn delivery(&self, id: u64) -> Result<Delivery, StoreError> {
        self.query(move |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM deliveries WHERE id = ?1"))?;
            let number = i64::try_from(id).unwrap_or(i64::MAX);
            statement.query_row([number], delivery).optional()?.ok_or_else(|| missing(id))
        })
        .await
    }

    /// What was sent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no delivery of that id, or not any more.
    pub async fn delivery_body(&self, id: u64) -> Result<Vec<u8>, StoreError> {
        self.query(move |c| {
            let mut statement = c.prepare_cached("SELECT body FROM delivery_bodies WHERE delivery = ?1")?;
            let number = i64::try_from(id).unwrap_or(i64::MAX);
            statement.query_row([number], |row| row.get(0)).optional()?.ok_or_else(|| missing(id))
        })
        .await
    }

    /// Puts a delivery that was taken in or set aside back into the inbox.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that id, [`StoreError::Conflict`] where it still waits.
    pub async fn replay_delivery(&self, id: u64) -> Result<(), StoreError> {
        let number = i64::try_from(id).unwrap_or(i64::MAX);
        let waiting = Arc::clone(&self.inner.waiting);
        self.transact(move |c| {
            let found = c
                .prepare_cached(
                    "UPDATE deliveries SET state = 'received', error = NULL, settled_at = NULL, replays = replays + 1
                     WHERE id = ?1 AND state <> 'received' RETURNING bytes",
                )?
                .query_row([number], |row| count(row, 0))
                .optional()?;
            let there = c.prepare_cached("SELECT 1 FROM deliveries WHERE id = ?1")?.exists([number])?;
            match (found, there) {
                (Some(bytes), _) => {
                    waiting.came(1, bytes);
                    Ok(())
                }
                (None, true) => Err(StoreError::Conflict(format!("delivery {id} still waits to be taken in"))),
                (None, false) => Err(missing(id)),
            }
        })
        .await
    }
}

fn missing(id: u64) -> StoreError {
    StoreError::NotFound(format!("delivery {id}"))
}

fn insert(c: &Connection, new: &NewDelivery) -> Result<Accepted, StoreError> {
    let at = nanos(new.received_at)?;
    let project = new.project.as_ref().map(|project| project.as_str());
    if let Some(same) = same_as(c, new, project)? {
        return Ok(Accepted::Duplicate(same));
    }
    let bytes = i64::try_from(new.body.len()).unwrap_or(i64::MAX);
    let via = if new.via.is_empty() { None } else { Some(to_json(&new.via)?) };
    c.prepare_cached(
        "INSERT INTO deliveries (forge, project, delivery_id, sha256, bytes, headers, state, received_at, via)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'received', ?7, ?8)",
    )?
    .execute(params![new.forge.word(), project, new.delivery_id, new.sha256, bytes, to_json(&new.headers)?, at, via])
    .map_err(|error| match is_constraint(&error) {
        true => StoreError::NotFound("the project".into()),
        false => error.into(),
    })?;
    let id = c.last_insert_rowid();
    c.prepare_cached("INSERT INTO delivery_bodies (delivery, body) VALUES (?1, ?2)")?
        .execute(params![id, &new.body[..]])?;
    Ok(Accepted::New(u64::try_from(id).unwrap_or_default()))
}

fn same_as(c: &Connection, new: &NewDelivery, project: Option<&str>) -> Result<Option<u64>, StoreError> {
    let forge = new.forge.word();
    let id = |row: &Row<'_>| count(row, 0);
    let found = match (&new.delivery_id, project) {
        (Some(delivery_id), Some(project)) => c
            .prepare_cached("SELECT id FROM deliveries WHERE project = ?1 AND forge = ?2 AND delivery_id = ?3")?
            .query_row(params![project, forge, delivery_id], id)
            .optional()?,
        (Some(delivery_id), None) => c
            .prepare_cached("SELECT id FROM deliveries WHERE project IS NULL AND forge = ?1 AND delivery_id = ?2")?
            .query_row(params![forge, delivery_id], id)
            .optional()?,
        (None, _) => {
            let since = nanos(new.received_at.saturating_sub(SAME_BODY_WITHIN).unwrap_or(Timestamp::MIN))?;
            c.prepare_cached(
                "SELECT id FROM deliveries WHERE delivery_id IS NULL AND sha256 = ?1 AND forge = ?2 AND project IS ?3
                   AND received_at > ?4 LIMIT 1",
            )?
            .query_row(params![new.sha256, forge, project, since], id)
            .optional()?
        }
    };
    Ok(found)
}
