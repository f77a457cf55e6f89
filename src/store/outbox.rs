//! The outbox: what is to be said on forges, durable before anyone says it. Of several texts on one topic the newest wins.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{count, nanos, optional_text, optional_time, text, time, to_word, word};
use super::records::{NewReport, PostEnd, Posted, ReportFilter, ReportRow, ReportState};
use super::{Store, StoreError};
use crate::ids::ProjectName;

const COLUMNS: &str = "id, project, environment, pull, commit_id, kind, topic, payload, state, attempts, due_at, error, \
                       heard_at, created_at, ended_at, by_hand";

fn report(row: &Row<'_>) -> rusqlite::Result<ReportRow> {
    Ok(ReportRow {
        id: count(row, 0)?,
        project: text(row, 1)?,
        environment: optional_text(row, 2)?,
        pull: row.get::<_, Option<i64>>(3)?.and_then(|number| u64::try_from(number).ok()),
        commit: optional_text(row, 4)?,
        kind: row.get(5)?,
        topic: row.get(6)?,
        payload: row.get(7)?,
        state: word(row, 8)?,
        attempts: count(row, 9)?,
        due_at: time(row, 10)?,
        error: row.get(11)?,
        heard_at: optional_time(row, 12)?,
        created_at: time(row, 13)?,
        ended_at: optional_time(row, 14)?,
        by_hand: row.get(15)?,
    })
}

impl Store {
    /// Puts a report into the outbox. One that waits on the same topic is superseded; nothing is put where the same text
    /// waits already, is being posted, stands on the forge and nothing else is being posted, or was refused for good just
    /// before. Returns the number that waits now, if any.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the project does not exist.
    pub async fn put_report(&self, new: NewReport) -> Result<Option<u64>, StoreError> {
        let (at, heard_at) = (nanos(new.at)?, new.heard_at.map(nanos).transpose()?);
        self.transact(move |c| {
            let waiting: Option<(u64, Vec<u8>)> = c
                .prepare_cached("SELECT id, sha256 FROM outbox WHERE topic = ?1 AND state = 'waiting'")?
                .query_row([&new.topic], |row| Ok((count(row, 0)?, row.get(1)?)))
                .optional()?;
            if let Some((id, sha256)) = &waiting
                && *sha256 == new.sha256
            {
                return Ok(Some(*id));
            }
            let posting: Option<Vec<u8>> = c
                .prepare_cached("SELECT sha256 FROM outbox WHERE topic = ?1 AND state = 'posting'")?
                .query_row([&new.topic], |row| row.get(0))
                .optional()?;
            let stands: Option<Vec<u8>> = c
                .prepare_cached("SELECT sha256 FROM posted WHERE topic = ?1")?
                .query_row([&new.topic], |row| row.get(0))
                .optional()?;
            if let Some((id, _)) = waiting {
                supersede(c, id, at)?;
            }
            // What the forge refused for good is refused again: it waits for another text, or for someone to post it.
            let refused: bool = c
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM outbox WHERE id = (SELECT max(id) FROM outbox WHERE topic = ?1)
                                      AND state = 'failed' AND sha256 = ?2)",
                )?
                .query_row(params![new.topic, new.sha256], |row| row.get(0))?;
            if refused {
                return Ok(None);
            }
            // What is just being posted is what counts: it says the same, or it takes the place of what stands.
            if posting.or(stands).as_deref() == Some(&new.sha256[..]) {
                return Ok(None);
            }
            c.prepare_cached(
                "INSERT INTO outbox (project, environment, pull, commit_id, kind, topic, payload, sha256, state, attempts,
                                     due_at, heard_at, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'waiting', 0, ?9, ?10, ?9)",
            )?
            .execute(params![
                new.project.as_str(),
                new.environment.as_ref().map(|name| name.as_str()),
                new.pull.and_then(|number| i64::try_from(number).ok()),
                new.commit.as_ref().map(|commit| commit.as_str()),
                new.kind,
                new.topic,
                new.payload,
                new.sha256,
                at,
                heard_at,
            ])
            .map_err(|error| match super::error::is_constraint(&error) {
                true => StoreError::NotFound(format!("project {}", new.project)),
                false => error.into(),
            })?;
            Ok(u64::try_from(c.last_insert_rowid()).ok())
        })
        .await
    }

    /// What is due as of `now`, oldest first; of a topic that is being posted, nothing.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn due_reports(&self, now: Timestamp, limit: usize) -> Result<Vec<ReportRow>, StoreError> {
        let now = nanos(now)?;
        self.query(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM outbox AS due WHERE state = 'waiting' AND due_at <= ?1
                   AND NOT EXISTS (SELECT 1 FROM outbox WHERE topic = due.topic AND state = 'posting')
                 ORDER BY due_at, id LIMIT ?2"
            );
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_map(params![now, limit as i64], report)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// When the next report is due; `None` where none waits.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn next_report_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.query(|c| {
            Ok(c.prepare_cached("SELECT min(due_at) FROM outbox WHERE state = 'waiting'")?
                .query_row([], |row| optional_time(row, 0))?)
        })
        .await
    }

    /// Has a waiting report wait until `due_at`; that is no attempt.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn postpone_report(&self, id: u64, due_at: Timestamp, why: &str) -> Result<(), StoreError> {
        let (id, due_at, why) = (number(id), nanos(due_at)?, why.to_owned());
        self.transact(move |c| {
            c.prepare_cached("UPDATE outbox SET due_at = ?2, error = ?3 WHERE id = ?1 AND state = 'waiting'")?
                .execute(params![id, due_at, why])?;
            Ok(())
        })
        .await
    }

    /// Notes that a report is about to be posted; `None` where it does not wait any more. Returns where the topic stands
    /// on the forge, where it does.
    ///
    /// # Errors
    /// A database that refuses; it must not be posted then.
    pub async fn begin_report(&self, id: u64) -> Result<Option<Option<Posted>>, StoreError> {
        let id = number(id);
        self.transact(move |c| {
            let topic: Option<String> = c
                .prepare_cached(
                    "UPDATE outbox SET state = 'posting', attempts = attempts + 1 WHERE id = ?1 AND state = 'waiting'
                     RETURNING topic",
                )?
                .query_row([id], |row| row.get(0))
                .optional()?;
            let Some(topic) = topic else { return Ok(None) };
            let stands = c
                .prepare_cached("SELECT remote_id, url, posted_at FROM posted WHERE topic = ?1")?
                .query_row([topic], |row| Ok(Posted { remote_id: row.get(0)?, url: row.get(1)?, at: time(row, 2)? }))
                .optional()?;
            Ok(Some(stands))
        })
        .await
    }

    /// Notes what became of a report that was being posted. One that is to be tried again, while a newer one waits, is
    /// superseded.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn end_report(&self, id: u64, end: PostEnd, at: Timestamp) -> Result<(), StoreError> {
        let (id, at) = (number(id), nanos(at)?);
        self.transact(move |c| match end {
            PostEnd::Posted { remote_id, url } => {
                c.execute(
                    "INSERT INTO posted (topic, project, remote_id, url, sha256, posted_at)
                         SELECT topic, project, ?2, ?3, sha256, ?4 FROM outbox WHERE id = ?1
                         ON CONFLICT (topic) DO UPDATE SET remote_id = excluded.remote_id, url = excluded.url,
                             sha256 = excluded.sha256, posted_at = excluded.posted_at",
                    params![id, remote_id, url, at],
                )?;
                finish(c, id, ReportState::Posted, None, at)
            }
            PostEnd::Again { due_at, error } => {
                let newer: bool = c.query_row(
                    "SELECT EXISTS (SELECT 1 FROM outbox AS newer JOIN outbox AS this ON this.topic = newer.topic
                                        WHERE this.id = ?1 AND newer.state = 'waiting')",
                    [id],
                    |row| row.get(0),
                )?;
                if newer {
                    return finish(c, id, ReportState::Superseded, Some(error), at);
                }
                c.execute(
                    "UPDATE outbox SET state = 'waiting', due_at = ?2, error = ?3 WHERE id = ?1 AND state = 'posting'",
                    params![id, nanos(due_at)?, error],
                )?;
                Ok(())
            }
            PostEnd::Failed { error } => finish(c, id, ReportState::Failed, Some(error), at),
            PostEnd::Skipped { error } => finish(c, id, ReportState::Skipped, Some(error), at),
        })
        .await
    }

    /// What an earlier process was posting when it ended waits again: whether it was posted is looked up on the forge.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn release_reports(&self, at: Timestamp) -> Result<(), StoreError> {
        let at = nanos(at)?;
        self.transact(move |c| {
            c.execute(
                "UPDATE outbox SET state = 'superseded', ended_at = ?1 WHERE state = 'posting'
                   AND EXISTS (SELECT 1 FROM outbox AS newer WHERE newer.topic = outbox.topic AND newer.state = 'waiting')",
                [at],
            )?;
            c.execute("UPDATE outbox SET state = 'waiting', due_at = ?1 WHERE state = 'posting'", [at])?;
            Ok(())
        })
        .await
    }

    /// Lets a report that was skipped, or failed for good, wait again: someone asked for it by hand.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where it was posted, waits, or a newer one took its place.
    pub async fn retry_report(&self, id: u64, at: Timestamp) -> Result<(), StoreError> {
        let (key, at) = (number(id), nanos(at)?);
        self.transact(move |c| {
            let found: Option<(ReportState, String)> = c
                .query_row("SELECT state, topic FROM outbox WHERE id = ?1", [key], |row| {
                    Ok((word(row, 0)?, row.get(1)?))
                })
                .optional()?;
            let Some((state, topic)) = found else { return Err(StoreError::NotFound(format!("report {id}"))) };
            let refuse = |why: &str| Err(StoreError::Conflict(format!("report {id} {why}")));
            match state {
                ReportState::Failed | ReportState::Skipped => {}
                ReportState::Waiting | ReportState::Posting => return refuse("waits to be posted already"),
                ReportState::Posted => return refuse("was posted already"),
                ReportState::Superseded => return refuse("was superseded by a newer one on the same topic"),
            }
            let newer: bool = c.query_row(
                "SELECT EXISTS (SELECT 1 FROM outbox WHERE topic = ?1 AND id > ?2)",
                params![topic, key],
                |row| row.get(0),
            )?;
            if newer {
                return refuse("is older than another one on the same topic; post that one");
            }
            c.execute(
                "UPDATE outbox SET state = 'waiting', due_at = ?2, ended_at = NULL, by_hand = 1 WHERE id = ?1",
                params![key, at],
            )?;
            Ok(())
        })
        .await
    }

    /// What stands on the forge on a topic; `None` where nothing does, or something waits to be said.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn standing(&self, topic: &str) -> Result<Option<Posted>, StoreError> {
        let topic = topic.to_owned();
        self.query(move |c| {
            let sql = "SELECT remote_id, url, posted_at FROM posted WHERE topic = ?1 AND NOT EXISTS
                         (SELECT 1 FROM outbox WHERE topic = ?1 AND state IN ('waiting', 'posting'))";
            let posted = |row: &Row<'_>| Ok(Posted { remote_id: row.get(0)?, url: row.get(1)?, at: time(row, 2)? });
            Ok(c.prepare_cached(sql)?.query_row([topic], posted).optional()?)
        })
        .await
    }

    /// Forgets what stands on a topic: it is gone from the forge.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn forget_standing(&self, topic: &str) -> Result<(), StoreError> {
        let topic = topic.to_owned();
        self.transact(move |c| {
            c.execute("DELETE FROM posted WHERE topic = ?1", [topic])?;
            Ok(())
        })
        .await
    }

    /// Whether anything was ever to be said on a topic, so far as that is kept.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn has_topic(&self, topic: &str) -> Result<bool, StoreError> {
        let topic = topic.to_owned();
        self.query(move |c| {
            let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE topic = ?1) OR EXISTS (SELECT 1 FROM posted WHERE topic = ?1)";
            Ok(c.prepare_cached(sql)?.query_row([topic], |row| row.get(0))?)
        })
        .await
    }

    /// One report.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn report(&self, id: u64) -> Result<Option<ReportRow>, StoreError> {
        let id = number(id);
        self.query(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1");
            Ok(c.prepare_cached(&sql)?.query_row([id], report).optional()?)
        })
        .await
    }

    /// Reports, newest first.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn reports(&self, filter: ReportFilter) -> Result<Vec<ReportRow>, StoreError> {
        let state = filter.state.as_ref().map(to_word).transpose()?;
        self.query(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM outbox WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR state = ?2)
                 ORDER BY id DESC LIMIT ?3"
            );
            let mut statement = c.prepare_cached(&sql)?;
            let project = filter.project.as_ref().map(ProjectName::as_str);
            Ok(statement.query_map(params![project, state, filter.limit as i64], report)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many reports wait, and since when the oldest does.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn outbox_depth(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        self.query(|c| {
            let sql = "SELECT count(*), min(created_at) FROM outbox WHERE state IN ('waiting', 'posting')";
            Ok(c.prepare_cached(sql)?.query_row([], |row| Ok((count(row, 0)?, optional_time(row, 1)?)))?)
        })
        .await
    }
}

fn supersede(c: &Connection, id: u64, at: i64) -> Result<(), StoreError> {
    finish(c, number(id), ReportState::Superseded, None, at)
}

fn finish(c: &Connection, id: i64, state: ReportState, error: Option<String>, at: i64) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE outbox SET state = ?2, error = ?3, ended_at = ?4 WHERE id = ?1")?.execute(params![
        id,
        to_word(&state)?,
        error,
        at
    ])?;
    Ok(())
}

fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
