//! What was told of what was changed outside Trueup, so that it is told once.

use rusqlite::{OptionalExtension, params};

use super::columns::{json, nanos, to_json};
use super::environments::require;
use super::events::insert;
use super::{Store, StoreError};
use crate::events::event::{Event, NewEvent};
use crate::ids::EnvironmentRef;
use crate::report::pull::PublicService;

impl Store {
    /// What was last told of an environment; empty where nothing is to be told.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn drift_told(&self, environment: &EnvironmentRef) -> Result<Vec<PublicService>, StoreError> {
        let id = environment.clone();
        self.query(move |c| {
            let mut statement =
                c.prepare_cached("SELECT services FROM drift_told WHERE project = ?1 AND environment = ?2")?;
            let told =
                statement.query_row([id.project.as_str(), id.environment.as_str()], |row| json(row, 0)).optional()?;
            Ok(told.unwrap_or_default())
        })
        .await
    }

    /// Keeps what is told of an environment together with the event that tells it: both, or neither.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn tell_drift(
        &self,
        environment: &EnvironmentRef,
        services: Vec<PublicService>,
        event: NewEvent,
    ) -> Result<Event, StoreError> {
        let (id, at) = (environment.clone(), nanos(event.at)?);
        self.transact(move |c| {
            require(c, &id)?;
            let (project, name) = (id.project.as_str(), id.environment.as_str());
            if services.is_empty() {
                c.execute("DELETE FROM drift_told WHERE project = ?1 AND environment = ?2", [project, name])?;
            } else {
                c.execute(
                    "INSERT INTO drift_told (project, environment, services, told_at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET services = excluded.services, told_at = excluded.told_at",
                    params![project, name, to_json(&services)?, at],
                )?;
            }
            insert(c, event)
        })
        .await
    }
}
