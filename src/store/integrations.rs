//! Integrations and how they are doing. Each change is stored together with the event that tells it.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{count, json, nanos, optional_text, text, time, to_json, to_word, word};
use super::error::is_constraint;
use super::records::{HealthCheck, Integration, IntegrationHealth, IntegrationStanding};
use super::{Store, StoreError, events};
use crate::events::event::{Event, NewEvent};
use crate::ids::{IntegrationName, ProjectName};

const COLUMNS: &str = "name, type, provider, endpoint, auth, settings, owner, created_at, updated_at";

fn integration(row: &Row<'_>) -> rusqlite::Result<Integration> {
    Ok(Integration {
        name: text(row, 0)?,
        kind: text(row, 1)?,
        provider: text(row, 2)?,
        endpoint: row.get(3)?,
        auth: optional_text(row, 4)?,
        settings: json(row, 5)?,
        owner: row.get(6)?,
        created_at: time(row, 7)?,
        updated_at: time(row, 8)?,
    })
}

fn standing(row: &Row<'_>) -> rusqlite::Result<IntegrationStanding> {
    Ok(IntegrationStanding {
        health: word(row, 0)?,
        reason: row.get(1)?,
        since: time(row, 2)?,
        checked_at: Some(time(row, 3)?),
        latency_ms: Some(count(row, 4)?),
    })
}

impl Store {
    /// Registers an integration, and keeps the event that tells it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the name is taken.
    pub async fn add_integration(&self, integration: Integration, event: NewEvent) -> Result<Event, StoreError> {
        let (created_at, updated_at) = (nanos(integration.created_at)?, nanos(integration.updated_at)?);
        let settings = to_json(&integration.settings)?;
        self.transact(move |c| {
            let Integration { name, kind, provider, endpoint, auth, owner, .. } = integration;
            c.execute(
                "INSERT INTO integrations (name, type, provider, endpoint, auth, settings, owner, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    name.as_str(),
                    kind.word(),
                    provider.word(),
                    endpoint,
                    auth.map(|auth| auth.to_string()),
                    settings,
                    owner,
                    created_at,
                    updated_at
                ],
            )
            .map_err(|error| match is_constraint(&error) {
                true => StoreError::Conflict(format!("integration {name} exists already")),
                false => error.into(),
            })?;
            events::insert(c, event)
        })
        .await
    }

    /// One integration.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn integration(&self, name: &IntegrationName) -> Result<Option<Integration>, StoreError> {
        let name = name.clone();
        self.query(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM integrations WHERE name = ?1");
            Ok(c.prepare_cached(&sql)?.query_row([name.as_str()], integration).optional()?)
        })
        .await
    }

    /// Every integration, by name.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn integrations(&self) -> Result<Vec<Integration>, StoreError> {
        self.query(|c| {
            let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM integrations ORDER BY name"))?;
            Ok(statement.query_map([], integration)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Replaces what is registered of an integration; its name, type, provider and time of registration stay. `before` is
    /// what the change was made from.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that name, [`StoreError::Conflict`] where it is no longer `before`:
    /// someone else's change would be lost.
    pub async fn update_integration(
        &self,
        before: Integration,
        after: Integration,
        event: NewEvent,
    ) -> Result<Event, StoreError> {
        let updated_at = nanos(after.updated_at)?;
        let settings = to_json(&after.settings)?;
        self.transact(move |c| {
            let Integration { name, endpoint, auth, owner, .. } = after;
            let sql = format!("SELECT {COLUMNS} FROM integrations WHERE name = ?1");
            let now = c.prepare_cached(&sql)?.query_row([name.as_str()], integration).optional()?;
            if now.is_some_and(|now| now != before) {
                return Err(StoreError::Conflict(format!(
                    "{name} was changed meanwhile; look at it again, and repeat what is still wanted"
                )));
            }
            let changed = c.execute(
                "UPDATE integrations SET endpoint = ?2, auth = ?3, settings = ?4, owner = ?5, updated_at = ?6
                 WHERE name = ?1",
                params![name.as_str(), endpoint, auth.map(|auth| auth.to_string()), settings, owner, updated_at],
            )?;
            found(changed, &name)?;
            if endpoint != before.endpoint {
                // The ids of one forge's accounts are other people's on another.
                c.execute("DELETE FROM forge_users WHERE integration = ?1", [name.as_str()])?;
            }
            events::insert(c, event)
        })
        .await
    }

    /// Forgets an integration.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] naming the projects that use it; [`StoreError::NotFound`].
    pub async fn remove_integration(&self, name: &IntegrationName, event: NewEvent) -> Result<Event, StoreError> {
        let name = name.clone();
        self.transact(move |c| {
            let users = users(c, &name)?;
            if !users.is_empty() {
                let names: Vec<&str> = users.iter().map(ProjectName::as_str).collect();
                return Err(StoreError::Conflict(format!(
                    "integration {name} is used by {}; point them elsewhere first (trueup project set PROJECT --no-integration)",
                    names.join(", ")
                )));
            }
            found(c.execute("DELETE FROM integrations WHERE name = ?1", [name.as_str()])?, &name)?;
            events::insert(c, event)
        })
        .await
    }

    /// The projects that use an integration, by name.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn integration_users(&self, name: &IntegrationName) -> Result<Vec<ProjectName>, StoreError> {
        let name = name.clone();
        self.query(move |c| users(c, &name)).await
    }

    /// How an integration is doing; `None` where nobody looked yet.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn integration_standing(
        &self,
        name: &IntegrationName,
    ) -> Result<Option<IntegrationStanding>, StoreError> {
        let name = name.clone();
        self.query(move |c| last(c, &name)).await
    }

    /// Notes how a check of an integration went. Where its health is another than before, `tell` makes the event of that
    /// from the health before, and it is kept.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it was forgotten meanwhile.
    pub async fn put_integration_check(
        &self,
        name: &IntegrationName,
        check: HealthCheck,
        tell: impl FnOnce(IntegrationHealth) -> NewEvent + Send + 'static,
    ) -> Result<Option<Event>, StoreError> {
        let name = name.clone();
        let at = nanos(check.at)?;
        let health = to_word(&check.health)?;
        self.transact(move |c| {
            let before = last(c, &name)?;
            let changed = before.as_ref().is_none_or(|before| before.health != check.health);
            let since = before.as_ref().filter(|_| !changed).map_or(Ok(at), |before| nanos(before.since))?;
            let latency = i64::try_from(check.latency_ms).unwrap_or(i64::MAX);
            c.prepare_cached(
                "INSERT INTO integration_healths (integration, health, reason, since, checked_at, latency_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (integration) DO UPDATE SET health = excluded.health, reason = excluded.reason,
                     since = excluded.since, checked_at = excluded.checked_at, latency_ms = excluded.latency_ms",
            )?
            .execute(params![name.as_str(), health, check.reason, since, at, latency])
            .map_err(|error| match is_constraint(&error) {
                true => StoreError::NotFound(format!("integration {name}")),
                false => error.into(),
            })?;
            let before = before.map_or(IntegrationHealth::Unknown, |before| before.health);
            if before == check.health {
                return Ok(None);
            }
            events::insert(c, tell(before)).map(Some)
        })
        .await
    }
}

fn last(c: &Connection, name: &IntegrationName) -> Result<Option<IntegrationStanding>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT health, reason, since, checked_at, latency_ms FROM integration_healths WHERE integration = ?1",
    )?;
    Ok(statement.query_row([name.as_str()], standing).optional()?)
}

fn users(c: &Connection, name: &IntegrationName) -> Result<Vec<ProjectName>, StoreError> {
    let mut statement = c.prepare_cached("SELECT name FROM projects WHERE integration = ?1 ORDER BY name")?;
    Ok(statement.query_map([name.as_str()], |row| text(row, 0))?.collect::<Result<_, _>>()?)
}

fn found(changed: usize, name: &IntegrationName) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::NotFound(format!("integration {name}"))) } else { Ok(()) }
}

impl Integration {
    /// How it stands before anyone looked.
    pub fn unchecked(&self) -> IntegrationStanding {
        let since: Timestamp = self.created_at;
        IntegrationStanding {
            health: IntegrationHealth::Unknown,
            reason: Some("it was not looked at yet".to_owned()),
            since,
            checked_at: None,
            latency_ms: None,
        }
    }
}
