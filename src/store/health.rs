//! How each service was last seen to be doing, and since when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::columns::{json, nanos, text, time, to_json};
use super::environments::require;
use super::records::ServiceHealth;
use super::{Store, StoreError};
use crate::ids::{EnvironmentRef, ServiceName};
use crate::live::Health;

impl Store {
    /// Records how one service is doing, without a word on its replicas: what holds for it holds for each. Otherwise as
    /// [`Store::put_healths`].
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
        let (id, service, at) = (environment.clone(), service.clone(), nanos(at)?);
        self.transact(move |c| {
            require(c, &id)?;
            put(c, &id, &service, &ServiceHealth { health, replicas: Vec::new() }, at)
        })
        .await
    }

    /// Records how every service of an environment is doing; those not named are forgotten. `since` moves when the word of
    /// the service's state does; another reason for the same state, or another replica, replaces only that.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn put_healths(
        &self,
        environment: &EnvironmentRef,
        now: BTreeMap<ServiceName, ServiceHealth>,
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
    ) -> Result<Vec<(ServiceName, ServiceHealth, Timestamp)>, StoreError> {
        let id = environment.clone();
        self.query(move |c| known(c, &id)).await
    }
}

/// How each service of an environment is doing.
pub(super) fn known(
    c: &Connection,
    id: &EnvironmentRef,
) -> Result<Vec<(ServiceName, ServiceHealth, Timestamp)>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT service, health, replicas, since FROM healths WHERE project = ?1 AND environment = ?2
         ORDER BY service",
    )?;
    let rows = statement.query_map([id.project.as_str(), id.environment.as_str()], |row| {
        let health = ServiceHealth { health: json(row, 1)?, replicas: json(row, 2)? };
        Ok((text(row, 0)?, health, time(row, 3)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn put(
    c: &Connection,
    id: &EnvironmentRef,
    service: &ServiceName,
    ServiceHealth { health, replicas }: &ServiceHealth,
    at: i64,
) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO healths (project, environment, service, health, replicas, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET health = excluded.health, replicas = excluded.replicas,
           since = CASE WHEN health ->> 'state' = excluded.health ->> 'state' THEN since ELSE excluded.since END",
    )?
    .execute(params![
        id.project.as_str(),
        id.environment.as_str(),
        service.as_str(),
        to_json(health)?,
        to_json(replicas)?,
        at
    ])?;
    Ok(())
}
