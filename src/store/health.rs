//! How each service was last seen to be doing, and since when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::columns::{json, nanos, text, time, to_json};
use super::environments::require;
use super::{Store, StoreError};
use crate::ids::{EnvironmentRef, ServiceName};
use crate::live::Health;

impl Store {
    /// Records how one service is doing. `since` moves when the state's word does; another reason for the same state
    /// replaces the reason only.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn put_health(
        &self,
        environment: &EnvironmentRef,
        service: &ServiceName,
        health: Health,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let known = self.healths(environment).await?;
        let same = |(name, was, _): &(ServiceName, Health, Timestamp)| name == service && *was == health;
        if known.iter().any(same) {
            return Ok(());
        }
        let (id, service, at) = (environment.clone(), service.clone(), nanos(at)?);
        self.transact(move |c| {
            require(c, &id)?;
            put(c, &id, &service, &health, at)
        })
        .await
    }

    /// Records how every service of an environment is doing; those not named are forgotten.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn put_healths(
        &self,
        environment: &EnvironmentRef,
        now: BTreeMap<ServiceName, Health>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let known = self.healths(environment).await?;
        let unchanged = known.len() == now.len() && known.iter().all(|(name, was, _)| now.get(name) == Some(was));
        if unchanged {
            return Ok(());
        }
        let (id, at) = (environment.clone(), nanos(at)?);
        self.transact(move |c| {
            require(c, &id)?;
            for (gone, _, _) in known.iter().filter(|(name, _, _)| !now.contains_key(name)) {
                c.execute(
                    "DELETE FROM healths WHERE project = ?1 AND environment = ?2 AND service = ?3",
                    [id.project.as_str(), id.environment.as_str(), gone.as_str()],
                )?;
            }
            for (service, health) in &now {
                put(c, &id, service, health, at)?;
            }
            Ok(())
        })
        .await
    }

    /// How each service of an environment is doing and since when, by name.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn healths(
        &self,
        environment: &EnvironmentRef,
    ) -> Result<Vec<(ServiceName, Health, Timestamp)>, StoreError> {
        let id = environment.clone();
        self.query(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT service, health, since FROM healths WHERE project = ?1 AND environment = ?2 ORDER BY service",
            )?;
            let rows = statement.query_map([id.project.as_str(), id.environment.as_str()], |row| {
                Ok((text(row, 0)?, json(row, 1)?, time(row, 2)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn put(c: &Connection, id: &EnvironmentRef, service: &ServiceName, health: &Health, at: i64) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO healths (project, environment, service, health, since) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET health = excluded.health,
           since = CASE WHEN health ->> 'state' = excluded.health ->> 'state' THEN since ELSE excluded.since END",
    )?
    .execute(params![id.project.as_str(), id.environment.as_str(), service.as_str(), to_json(health)?, at])?;
    Ok(())
}
