//! Commands in comments: one row a comment, so that each is carried out at most once, whatever happens.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::columns::{count, nanos, optional_text, run_number, text, time, word};
use super::records::{CommandRow, Heard, NewCommand};
use super::{Store, StoreError};
use crate::ids::{EnvironmentRef, PlanDigest, RunId};

/// The most comments of one project that are looked at within [`COMMANDS_WITHIN`].
pub const COMMANDS_MAX: usize = 60;
/// The time over which they are counted.
pub const COMMANDS_WITHIN: SignedDuration = SignedDuration::from_hours(1);

const COLUMNS: &str =
    "id, project, integration, repository, pull, comment_id, state, actor, environment, plan, run, outcome, heard_at";

fn command(row: &Row<'_>) -> rusqlite::Result<CommandRow> {
    let run: Option<i64> = row.get(10)?;
    Ok(CommandRow {
        id: count(row, 0)?,
        project: text(row, 1)?,
        integration: text(row, 2)?,
        repository: row.get(3)?,
        pull: count(row, 4)?,
        comment_id: count(row, 5)?,
        state: word(row, 6)?,
        actor: row.get(7)?,
        environment: optional_text(row, 8)?,
        plan: optional_text(row, 9)?,
        run: run.and_then(|run| u64::try_from(run).ok()).map(RunId),
        outcome: row.get(11)?,
        heard_at: time(row, 12)?,
    })
}

fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store {
    /// Writes down that a comment may be a command, once. Nothing is written where no environment takes any, or too many
    /// came lately.
    ///
    /// # Errors
    /// A database that refuses, or a project that is gone.
    pub async fn want_command(&self, new: NewCommand) -> Result<Heard, StoreError> {
        let at = nanos(new.at)?;
        let from = nanos(new.at.saturating_sub(COMMANDS_WITHIN).unwrap_or(Timestamp::MIN)).unwrap_or(i64::MIN);
        self.transact(move |c| {
            let on = "SELECT EXISTS (SELECT 1 FROM environments WHERE project = ?1 AND comment_commands <> 'off')";
            let on: bool = c.prepare_cached(on)?.query_row([new.project.as_str()], |row| row.get(0))?;
            if !on {
                return Ok(Heard::Off);
            }
            let known = c
                .prepare_cached(
                    "SELECT 1 FROM comment_commands
                     WHERE project = ?1 AND integration = ?2 AND repository = ?3 AND comment_id = ?4",
                )?
                .exists(params![new.project.as_str(), new.integration.as_str(), new.repository, key(new.comment_id)])?;
            if known {
                return Ok(Heard::Known);
            }
            let lately = "SELECT count(*) FROM comment_commands WHERE project = ?1 AND heard_at > ?2";
            let lately = c.prepare_cached(lately)?.query_row(params![new.project.as_str(), from], |row| count(row, 0))?;
            if lately >= COMMANDS_MAX as u64 {
                return Ok(Heard::TooMany);
            }
            c.prepare_cached(
                "INSERT INTO comment_commands (project, integration, repository, pull, comment_id, state, due_at, heard_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?6)",
            )?
            .execute(params![
                new.project.as_str(),
                new.integration.as_str(),
                new.repository,
                key(new.pull),
                key(new.comment_id),
                at
            ])?;
            Ok(Heard::New)
        })
        .await
    }

    /// The commands that are not over and due as of `now`, oldest first.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn due_commands(&self, now: Timestamp) -> Result<Vec<CommandRow>, StoreError> {
        let now = nanos(now)?;
        self.query(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM comment_commands WHERE state <> 'done' AND due_at <= ?1 ORDER BY id LIMIT 500"
            );
            let mut statement = c.prepare_cached(&sql)?;
            Ok(statement.query_map([now], command)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// When the next command is due; `None` where all are over.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn next_command_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.query(|c| {
            let sql = "SELECT due_at FROM comment_commands WHERE state <> 'done' ORDER BY due_at LIMIT 1";
            Ok(c.prepare_cached(sql)?.query_row([], |row| time(row, 0)).optional()?)
        })
        .await
    }

    /// Has a command looked at again at `due_at`.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn postpone_command(&self, id: u64, due_at: Timestamp) -> Result<(), StoreError> {
        let due_at = nanos(due_at)?;
        self.transact(move |c| {
            c.prepare_cached("UPDATE comment_commands SET due_at = ?2 WHERE id = ?1 AND state <> 'done'")?
                .execute([key(id), due_at])?;
            Ok(())
        })
        .await
    }

    /// Takes a command up: it waited until now, and is never begun again from here on. Whether it is the caller's to
    /// carry out.
    ///
    /// # Errors
    /// A database that refuses; it must not be carried out then.
    pub async fn take_command(
        &self,
        id: u64,
        actor: &str,
        environment: &EnvironmentRef,
        plan: &PlanDigest,
    ) -> Result<bool, StoreError> {
        let (actor, environment, plan) = (actor.to_owned(), environment.environment.clone(), plan.clone());
        self.transact(move |c| {
            let taken = c
                .prepare_cached(
                    "UPDATE comment_commands SET state = 'taken', actor = ?2, environment = ?3, plan = ?4
                     WHERE id = ?1 AND state = 'waiting'",
                )?
                .execute(params![key(id), actor, environment.as_str(), plan.as_str()])?;
            Ok(taken == 1)
        })
        .await
    }

    /// Notes a command's run.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn running_command(&self, id: u64, run: RunId) -> Result<(), StoreError> {
        self.transact(move |c| {
            c.prepare_cached(
                "UPDATE comment_commands SET state = 'running', run = ?2 WHERE id = ?1 AND state = 'taken'",
            )?
            .execute([key(id), run_number(run)])?;
            Ok(())
        })
        .await
    }

    /// Notes what came of a command.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn end_command(&self, id: u64, outcome: &str, at: Timestamp) -> Result<(), StoreError> {
        let (outcome, at) = (outcome.to_owned(), nanos(at)?);
        self.transact(move |c| {
            c.prepare_cached("UPDATE comment_commands SET state = 'done', outcome = ?2, ended_at = ?3 WHERE id = ?1")?
                .execute(params![key(id), outcome, at])?;
            Ok(())
        })
        .await
    }

    /// The run that was begun in this very name; where a command was taken up and nobody noted its run, this says whether
    /// there is one.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn run_of(&self, environment: &EnvironmentRef, actor: &str) -> Result<Option<RunId>, StoreError> {
        let (id, actor) = (environment.clone(), actor.to_owned());
        self.query(move |c| {
            let sql =
                "SELECT id FROM runs WHERE project = ?1 AND environment = ?2 AND actor = ?3 ORDER BY id DESC LIMIT 1";
            let found = c
                .prepare_cached(sql)?
                .query_row([id.project.as_str(), id.environment.as_str(), &actor], |row| count(row, 0))
                .optional()?;
            Ok(found.map(RunId))
        })
        .await
    }
}
