//! Runs. Their rows are the permits that outlive the process, and the lock that outlives it too.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{nanos, optional_text, optional_time, run_id, run_number, text, time, to_word, word};
use super::environments::require;
use super::records::{Run, RunKind, RunState};
use super::{Store, StoreError};
use crate::authority::Actor;
use crate::ids::{CommitSha, EnvironmentRef, PlanDigest, RunId};

/// What a new run is begun with.
#[derive(Clone, Debug)]
pub struct RunStart {
    /// Which environment.
    pub environment: EnvironmentRef,
    /// The plan that was confirmed.
    pub plan: PlanDigest,
    /// The commit.
    pub commit: Option<CommitSha>,
    /// Sync or rollback.
    pub kind: RunKind,
    /// Who asked.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

pub(super) const RUN_COLUMNS: &str =
    "id, project, environment, plan, commit_id, kind, actor, state, summary, started_at, finished_at";

pub(super) fn run_row(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: run_id(row, 0)?,
        environment: EnvironmentRef { project: text(row, 1)?, environment: text(row, 2)? },
        plan: text(row, 3)?,
        commit: optional_text(row, 4)?,
        kind: word(row, 5)?,
        actor: row.get(6)?,
        state: word(row, 7)?,
        summary: row.get(8)?,
        started_at: time(row, 9)?,
        finished_at: optional_time(row, 10)?,
    })
}

fn refuse_unfinished(c: &Connection, id: &EnvironmentRef) -> Result<(), StoreError> {
    let unfinished = c
        .prepare_cached("SELECT id FROM runs WHERE project = ?1 AND environment = ?2 AND state = 'running'")?
        .query_row([id.project.as_str(), id.environment.as_str()], |row| run_id(row, 0))
        .optional()?;
    match unfinished {
        None => Ok(()),
        Some(run) => {
            Err(StoreError::Conflict(format!("run {run} of {id} is not finished; `trueup show {run}` shows it")))
        }
    }
}

impl Store {
    /// Begins a run, unless another of the same environment is unfinished.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] naming the unfinished run, [`StoreError::NotFound`] where the environment does not exist.
    pub async fn begin_run(&self, start: RunStart) -> Result<RunId, StoreError> {
        let at = nanos(start.at)?;
        self.transact(move |c| {
            let id = &start.environment;
            require(c, id)?;
            refuse_unfinished(c, id)?;
            // The unique index on unfinished runs would refuse too, were this check ever wrong.
            c.execute(
                "INSERT INTO runs (project, environment, plan, commit_id, kind, actor, role, state, started_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'running', ?8)",
                params![
                    id.project.as_str(),
                    id.environment.as_str(),
                    start.plan.as_str(),
                    start.commit.as_ref().map(CommitSha::as_str),
                    to_word(&start.kind)?,
                    start.actor.name,
                    start.actor.role.word(),
                    at
                ],
            )?;
            u64::try_from(c.last_insert_rowid())
                .map(RunId)
                .map_err(|_| StoreError::Database("a run's number is negative".into()))
        })
        .await
    }

    /// Refuses where the environment has a run that is not finished: what it did is not settled yet.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] names the run.
    pub async fn require_settled(&self, id: &EnvironmentRef) -> Result<(), StoreError> {
        let id = id.clone();
        self.query(move |c| refuse_unfinished(c, &id)).await
    }

    /// Ends a run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such run, [`StoreError::Conflict`] where it has ended already or
    /// `state` is no end.
    pub async fn finish_run(
        &self,
        run: RunId,
        state: RunState,
        summary: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (summary, at) = (summary.to_owned(), nanos(at)?);
        self.transact(move |c| {
            if state == RunState::Running {
                return Err(StoreError::Conflict(format!("run {run} cannot end as running")));
            }
            let changed = c.execute(
                "UPDATE runs SET state = ?2, summary = ?3, finished_at = ?4 WHERE id = ?1 AND state = 'running'",
                params![run_number(run), to_word(&state)?, summary, at],
            )?;
            if changed == 0 {
                let known = c.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?.exists([run_number(run)])?;
                return Err(match known {
                    true => StoreError::Conflict(format!("run {run} has ended already")),
                    false => StoreError::NotFound(format!("run {run}")),
                });
            }
            Ok(())
        })
        .await
    }

    /// One run.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn run(&self, run: RunId) -> Result<Option<Run>, StoreError> {
        self.query(move |c| {
            let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE id = ?1");
            Ok(c.prepare_cached(&sql)?.query_row([run_number(run)], run_row).optional()?)
        })
        .await
    }

    /// The newest runs of an environment, newest first.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn runs(&self, environment: &EnvironmentRef, limit: usize) -> Result<Vec<Run>, StoreError> {
        let id = environment.clone();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query(move |c| {
            let sql = format!(
                "SELECT {RUN_COLUMNS} FROM runs WHERE project = ?1 AND environment = ?2 ORDER BY id DESC LIMIT ?3"
            );
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement.query_map(params![id.project.as_str(), id.environment.as_str(), limit], run_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Every run that has not ended, oldest first: after a start, those that a crash interrupted.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn unfinished_runs(&self) -> Result<Vec<Run>, StoreError> {
        self.query(|c| {
            let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE state = 'running' ORDER BY id");
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement.query_map([], run_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
