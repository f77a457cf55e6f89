//! Environments.

use rusqlite::{OptionalExtension, Row, params};

use super::columns::{json, nanos, text, time, to_json, word};
use super::projects::refuse_while_running;
use super::records::Environment;
use super::{Store, StoreError};
use crate::ids::{EnvironmentRef, ProjectName};

const COLUMNS: &str = "project, name, provider, settings, tracked, secrets, template_values, allow_host_paths, \
                       allow_untracked, run_as, created_at, report_detail, plan_forks, drift_issue, comment_commands";

fn environment(row: &Row<'_>) -> rusqlite::Result<Environment> {
    Ok(Environment {
        id: EnvironmentRef { project: text(row, 0)?, environment: text(row, 1)? },
        provider: row.get(2)?,
        settings: json(row, 3)?,
        tracked: row.get(4)?,
        secrets: json(row, 5)?,
        values: json(row, 6)?,
        allow_host_paths: json(row, 7)?,
        allow_untracked: row.get(8)?,
        run_as: row.get(9)?,
        created_at: time(row, 10)?,
        report_detail: text(row, 11)?,
        plan_forks: row.get(12)?,
        drift_issue: row.get(13)?,
        comment_commands: word(row, 14)?,
    })
}

impl Store {
    /// Registers an environment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where its project does not exist, [`StoreError::Conflict`] where the name is taken.
    pub async fn add_environment(&self, environment: Environment) -> Result<(), StoreError> {
        let at = nanos(environment.created_at)?;
        self.transact(move |c| {
            let id = &environment.id;
            let known = c.prepare_cached("SELECT 1 FROM projects WHERE name = ?1")?.exists([id.project.as_str()])?;
            if !known {
                return Err(StoreError::NotFound(format!("project {}", id.project)));
            }
            let taken = c
                .prepare_cached("SELECT 1 FROM environments WHERE project = ?1 AND name = ?2")?
                .exists([id.project.as_str(), id.environment.as_str()])?;
            if taken {
                return Err(StoreError::Conflict(format!("environment {id} exists already")));
            }
            c.execute(
                "INSERT INTO environments (project, name, provider, settings, tracked, secrets, template_values,
                    allow_host_paths, allow_untracked, run_as, created_at, report_detail, plan_forks, drift_issue,
                    comment_commands)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                params![
                    id.project.as_str(),
                    id.environment.as_str(),
                    environment.provider,
                    to_json(&environment.settings)?,
                    environment.tracked,
                    to_json(&environment.secrets)?,
                    to_json(&environment.values)?,
                    to_json(&environment.allow_host_paths)?,
                    environment.allow_untracked,
                    environment.run_as,
                    at,
                    environment.report_detail.word(),
                    environment.plan_forks,
                    environment.drift_issue,
                    environment.comment_commands.word()
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// One environment.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn environment(&self, id: &EnvironmentRef) -> Result<Option<Environment>, StoreError> {
        let id = id.clone();
        self.query(move |c| known(c, &id)).await
    }

    /// The environments of one project or of all, by project and name.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn environments(&self, project: Option<&ProjectName>) -> Result<Vec<Environment>, StoreError> {
        let project = project.cloned();
        self.query(move |c| {
            let sql =
                format!("SELECT {COLUMNS} FROM environments WHERE ?1 IS NULL OR project = ?1 ORDER BY project, name");
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement.query_map([project.as_ref().map(ProjectName::as_str)], environment)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Replaces what is registered of an environment; its name and the time of its registration stay. `before` is what
    /// the change was made from. What an unfinished run works with (the provider's settings, the secrets, the user) stays
    /// as it is until the run ends.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that name, [`StoreError::Conflict`] where it is no longer `before`
    /// (someone else's change would be lost), or a run needs what would change.
    pub async fn update_environment(&self, before: Environment, after: Environment) -> Result<(), StoreError> {
        self.transact(move |c| {
            let id = &after.id;
            let now = known(c, id)?.ok_or_else(|| not_there(id))?;
            if now != before {
                return Err(StoreError::Conflict(format!(
                    "{id} was changed meanwhile; look at it again, and repeat what is still wanted"
                )));
            }
            let in_use = |one: &Environment| {
                (one.provider.clone(), one.settings.clone(), one.secrets.clone(), one.run_as.clone())
            };
            if in_use(&now) != in_use(&after) {
                refuse_while_running(c, &id.project, Some(id.environment.as_str()))?;
            }
            let changed = c.execute(
                "UPDATE environments SET provider = ?3, settings = ?4, tracked = ?5, secrets = ?6, template_values = ?7,
                    allow_host_paths = ?8, allow_untracked = ?9, run_as = ?10, report_detail = ?11, plan_forks = ?12,
                    drift_issue = ?13, comment_commands = ?14
                 WHERE project = ?1 AND name = ?2",
                params![
                    id.project.as_str(),
                    id.environment.as_str(),
                    after.provider,
                    to_json(&after.settings)?,
                    after.tracked,
                    to_json(&after.secrets)?,
                    to_json(&after.values)?,
                    to_json(&after.allow_host_paths)?,
                    after.allow_untracked,
                    after.run_as,
                    after.report_detail.word(),
                    after.plan_forks,
                    after.drift_issue,
                    after.comment_commands.word()
                ],
            )?;
            found(changed, id)
        })
        .await
    }

    /// Forgets an environment with its base, plans and runs; what runs goes on running.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while a run of it is unfinished, [`StoreError::NotFound`] where there is none.
    pub async fn remove_environment(&self, id: &EnvironmentRef) -> Result<(), StoreError> {
        let id = id.clone();
        self.transact(move |c| {
            refuse_while_running(c, &id.project, Some(id.environment.as_str()))?;
            let changed = c.execute(
                "DELETE FROM environments WHERE project = ?1 AND name = ?2",
                [id.project.as_str(), id.environment.as_str()],
            )?;
            found(changed, &id)
        })
        .await
    }
}

pub(super) fn known(c: &rusqlite::Connection, id: &EnvironmentRef) -> Result<Option<Environment>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM environments WHERE project = ?1 AND name = ?2");
    let mut statement = c.prepare_cached(&sql)?;
    Ok(statement.query_row([id.project.as_str(), id.environment.as_str()], environment).optional()?)
}

fn found(changed: usize, id: &EnvironmentRef) -> Result<(), StoreError> {
    if changed == 0 { Err(not_there(id)) } else { Ok(()) }
}

fn not_there(id: &EnvironmentRef) -> StoreError {
    StoreError::NotFound(format!("environment {id}"))
}

/// Refuses where the environment does not exist, before a foreign key says so in its own words.
pub(super) fn require(c: &rusqlite::Connection, id: &EnvironmentRef) -> Result<(), StoreError> {
    let known = c
        .prepare_cached("SELECT 1 FROM environments WHERE project = ?1 AND name = ?2")?
        .exists([id.project.as_str(), id.environment.as_str()])?;
    found(usize::from(known), id)
}
