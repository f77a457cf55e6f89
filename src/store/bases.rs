//! What was last applied and verified, per service. Recording a base is also recording a release.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{json, text, to_json};
use super::environments::require;
use super::releases::{append, unfinished_run};
use super::{Store, StoreError};
use crate::drift::{Base, BaseService};
use crate::ids::{EnvironmentRef, ServiceName};

impl Store {
    /// What was last applied and verified in an environment; empty where nothing was.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn base(&self, environment: &EnvironmentRef) -> Result<Base, StoreError> {
        let id = environment.clone();
        self.query(move |c| known(c, &id)).await
    }

    /// Records a service as it was verified; where a run did it, also as that run's release. The last
    /// [`super::RELEASES_KEPT`] releases of each service are kept.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn record_base(
        &self,
        environment: &EnvironmentRef,
        service: &ServiceName,
        base: BaseService,
    ) -> Result<(), StoreError> {
        let (id, service) = (environment.clone(), service.clone());
        self.transact(move |c| {
            require(c, &id)?;
            let body = to_json(&base)?;
            c.prepare_cached(
                "INSERT INTO bases (project, environment, service, body) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET body = excluded.body",
            )?
            .execute(params![id.project.as_str(), id.environment.as_str(), service.as_str(), body])?;
            match base.run {
                Some(run) => append(c, &id, &service, run, Some(&body)),
                None => Ok(()),
            }
        })
        .await
    }

    /// Forgets a service's base, because it was deleted. Its releases stay; the run of the environment that is unfinished is
    /// recorded as the one that deleted it, and no release that was recorded is ever taken back. Forgetting what has no
    /// base is done already.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn forget_base(&self, environment: &EnvironmentRef, service: &ServiceName) -> Result<(), StoreError> {
        let (id, service) = (environment.clone(), service.clone());
        self.transact(move |c| {
            let (project, name) = (id.project.as_str(), id.environment.as_str());
            let removed = c.execute(
                "DELETE FROM bases WHERE project = ?1 AND environment = ?2 AND service = ?3",
                [project, name, service.as_str()],
            )?;
            let last: Option<(i64, bool)> = c
                .query_row(
                    "SELECT run, body IS NULL FROM releases WHERE project = ?1 AND environment = ?2 AND service = ?3
                     ORDER BY run DESC LIMIT 1",
                    [project, name, service.as_str()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            match (last, unfinished_run(c, &id)?) {
                // Only what was released can be deleted in the record of releases, and only once.
                (Some((_, false)), Some(run)) if removed > 0 => append(c, &id, &service, run, None),
                _ => Ok(()),
            }
        })
        .await
    }
}

/// An environment's base.
pub(super) fn known(c: &Connection, id: &EnvironmentRef) -> Result<Base, StoreError> {
    let mut statement = c.prepare_cached("SELECT service, body FROM bases WHERE project = ?1 AND environment = ?2")?;
    let rows = statement.query_map([id.project.as_str(), id.environment.as_str()], |row| {
        Ok((text::<ServiceName>(row, 0)?, json::<BaseService>(row, 1)?))
    })?;
    Ok(Base { services: rows.collect::<Result<_, _>>()? })
}
