//! Projects.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{nanos, optional_text, text, time};
use super::error::is_constraint;
use super::records::Project;
use super::{Store, StoreError};
use crate::ids::{IntegrationName, ProjectName};

const COLUMNS: &str =
    "name, url, auth, tracked, config_path, disabled, created_at, webhook_secret, integration, repository, user";

fn project(row: &Row<'_>) -> rusqlite::Result<Project> {
    Ok(Project {
        name: text(row, 0)?,
        url: row.get(1)?,
        auth: optional_text(row, 2)?,
        tracked: row.get(3)?,
        config_path: row.get(4)?,
        disabled: row.get(5)?,
        created_at: time(row, 6)?,
        webhook_secret: optional_text(row, 7)?,
        integration: optional_text(row, 8)?,
        repository: row.get(9)?,
        user: row.get(10)?,
    })
}

impl Store {
    /// Registers a project.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the name is taken or its integration does not exist.
    pub async fn add_project(&self, project: Project) -> Result<(), StoreError> {
        let at = nanos(project.created_at)?;
        self.transact(move |c| {
            registered(c, project.integration.as_ref())?;
            c.execute(
                "INSERT INTO projects (name, url, auth, tracked, config_path, disabled, created_at, webhook_secret,
                                       integration, repository, user)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    project.name.as_str(),
                    project.url,
                    project.auth.map(|auth| auth.to_string()),
                    project.tracked,
                    project.config_path,
                    project.disabled,
                    at,
                    project.webhook_secret.map(|secret| secret.to_string()),
                    project.integration.as_ref().map(IntegrationName::as_str),
                    project.repository,
                    project.user
                ],
            )
            .map_err(|error| match is_constraint(&error) {
                true => StoreError::Conflict(format!("project {} exists already", project.name)),
                false => error.into(),
            })?;
            Ok(())
        })
        .await
    }

    /// One project.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn project(&self, name: &ProjectName) -> Result<Option<Project>, StoreError> {
        let name = name.clone();
        self.query(move |c| known(c, &name)).await
    }

    /// Every project, by name.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        self.query(|c| {
            let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM projects ORDER BY name"))?;
            Ok(statement.query_map([], project)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Replaces what is registered of a project; its name and the time of its registration stay, and while a run of it is
    /// unfinished, which may still need a checkout, also where its repository is and how that is read.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that name; [`StoreError::Conflict`] where its integration does not
    /// exist, or where a run needs what would change.
    pub async fn update_project(&self, project: Project) -> Result<(), StoreError> {
        self.transact(move |c| {
            registered(c, project.integration.as_ref())?;
            let known = known(c, &project.name)?.ok_or_else(|| not_there(&project.name))?;
            if (&known.url, &known.auth, &known.user) != (&project.url, &project.auth, &project.user) {
                refuse_while_running(c, &project.name, None)?;
            }
            let changed = c.execute(
                "UPDATE projects SET url = ?2, auth = ?3, tracked = ?4, config_path = ?5, disabled = ?6,
                   webhook_secret = ?7, integration = ?8, repository = ?9, user = ?10 WHERE name = ?1",
                params![
                    project.name.as_str(),
                    project.url,
                    project.auth.map(|auth| auth.to_string()),
                    project.tracked,
                    project.config_path,
                    project.disabled,
                    project.webhook_secret.map(|secret| secret.to_string()),
                    project.integration.as_ref().map(IntegrationName::as_str),
                    project.repository,
                    project.user
                ],
            )?;
            found(changed, &project.name)
        })
        .await
    }

    /// Forgets a project. With `force` its environments go too, and with them their bases, plans and runs; what runs
    /// goes on running.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it has environments and `force` is not given, or where a run of one is unfinished;
    /// [`StoreError::NotFound`] where there is none of that name.
    pub async fn remove_project(&self, name: &ProjectName, force: bool) -> Result<(), StoreError> {
        let name = name.clone();
        self.transact(move |c| {
            if !force {
                let environments: i64 =
                    c.query_row("SELECT count(*) FROM environments WHERE project = ?1", [name.as_str()], |row| {
                        row.get(0)
                    })?;
                if environments > 0 {
                    return Err(StoreError::Conflict(format!(
                        "project {name} still has {environments} environment(s); remove them first, or force it"
                    )));
                }
            }
            refuse_while_running(c, &name, None)?;
            found(c.execute("DELETE FROM projects WHERE name = ?1", [name.as_str()])?, &name)
        })
        .await
    }
}

fn registered(c: &Connection, integration: Option<&IntegrationName>) -> Result<(), StoreError> {
    let Some(name) = integration else { return Ok(()) };
    let there: bool =
        c.query_row("SELECT EXISTS (SELECT 1 FROM integrations WHERE name = ?1)", [name.as_str()], |row| row.get(0))?;
    match there {
        true => Ok(()),
        false => Err(StoreError::Conflict(format!(
            "integration {name} does not exist; `trueup integration list` shows those that do"
        ))),
    }
}

pub(super) fn known(c: &Connection, name: &ProjectName) -> Result<Option<Project>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM projects WHERE name = ?1");
    Ok(c.prepare_cached(&sql)?.query_row([name.as_str()], project).optional()?)
}

fn found(changed: usize, name: &ProjectName) -> Result<(), StoreError> {
    if changed == 0 { Err(not_there(name)) } else { Ok(()) }
}

fn not_there(name: &ProjectName) -> StoreError {
    StoreError::NotFound(format!("project {name}"))
}

/// What an unfinished run works on must not be removed, with its permit and its journal, or changed from under it.
pub(super) fn refuse_while_running(
    c: &Connection,
    project: &ProjectName,
    environment: Option<&str>,
) -> Result<(), StoreError> {
    let running: Option<i64> = c
        .query_row(
            "SELECT id FROM runs WHERE state = 'running' AND project = ?1 AND (?2 IS NULL OR environment = ?2)",
            params![project.as_str(), environment],
            |row| row.get(0),
        )
        .optional()?;
    match running {
        Some(run) => Err(StoreError::Conflict(format!("run {run} is being carried out; wait until it ends"))),
        None => Ok(()),
    }
}
