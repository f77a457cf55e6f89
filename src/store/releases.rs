//! Releases: what each run left of each service, and what the environment was as of a run.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{count, optional_json, run_number, text};
use super::records::Release;
use super::runs::{RUN_COLUMNS, run_row};
use super::{RELEASES_KEPT, Store, StoreError};
use crate::drift::BaseService;
use crate::ids::{EnvironmentRef, RunId, ServiceName};

impl Store {
    /// The newest runs that left a release to which the environment can still be rolled back, newest first.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn releases(&self, environment: &EnvironmentRef, limit: usize) -> Result<Vec<Release>, StoreError> {
        let id = environment.clone();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query(move |c| {
            let sql = format!(
                "SELECT {RUN_COLUMNS} FROM runs WHERE project = ?1 AND environment = ?2 AND id >= ?3
                   AND id IN (SELECT run FROM releases WHERE project = ?1 AND environment = ?2)
                 ORDER BY id DESC LIMIT ?4"
            );
            let from = run_number(RunId(horizon(c, &id)?));
            let mut runs = c.prepare_cached(&sql)?;
            let runs =
                runs.query_map(params![id.project.as_str(), id.environment.as_str(), from, limit], run_row)?;
            let mut services = c.prepare_cached(
                "SELECT service FROM releases WHERE run = ?1 AND project = ?2 AND environment = ?3 AND body IS NOT NULL",
            )?;
            let mut releases = Vec::new();
            for run in runs {
                let run = run?;
                let names = services
                    .query_map(params![run_number(run.id), id.project.as_str(), id.environment.as_str()], |row| {
                        text::<ServiceName>(row, 0)
                    })?
                    .collect::<Result<BTreeSet<_>, _>>()?;
                releases.push(Release { run, services: names });
            }
            Ok(releases)
        })
        .await
    }

    /// Every service as it was once `run` had ended: each one's latest release at or before it, without those that had
    /// been deleted by then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the run released nothing, [`StoreError::Conflict`] where a service's releases of
    /// that time are no longer kept.
    pub async fn release(
        &self,
        environment: &EnvironmentRef,
        run: RunId,
    ) -> Result<BTreeMap<ServiceName, BaseService>, StoreError> {
        let id = environment.clone();
        self.query(move |c| {
            let released = c
                .prepare_cached("SELECT 1 FROM releases WHERE run = ?1 AND project = ?2 AND environment = ?3")?
                .exists(params![run_number(run), id.project.as_str(), id.environment.as_str()])?;
            let lost = lost_at(c, &id, run)?;
            if let Some(service) = lost {
                return Err(StoreError::Conflict(format!(
                    "release {run} of {id} is no longer kept in full: only the last {RELEASES_KEPT} releases of {service} are"
                )));
            }
            if !released {
                return Err(StoreError::NotFound(format!("a release of {id} by run {run}")));
            }
            let mut statement = c.prepare_cached(
                "SELECT service, body, max(run) FROM releases
                 WHERE project = ?1 AND environment = ?2 AND run <= ?3 GROUP BY service",
            )?;
            let rows = statement.query_map(
                params![id.project.as_str(), id.environment.as_str(), run_number(run)],
                |row| Ok((text::<ServiceName>(row, 0)?, optional_json::<BaseService>(row, 1)?)),
            )?;
            let mut services = BTreeMap::new();
            for row in rows {
                if let (service, Some(base)) = row? {
                    services.insert(service, base);
                }
            }
            Ok(services)
        })
        .await
    }
}

/// Records what `run` left of a service (`None`: it deleted it, which never takes back what it released) and lets go of releases beyond [`RELEASES_KEPT`].
pub(super) fn append(
    c: &Connection,
    id: &EnvironmentRef,
    service: &ServiceName,
    run: RunId,
    body: Option<&str>,
) -> Result<(), StoreError> {
    let (project, environment) = (id.project.as_str(), id.environment.as_str());
    c.prepare_cached(
        "INSERT INTO releases (project, environment, service, run, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET body = coalesce(excluded.body, body)",
    )?
    .execute(params![project, environment, service.as_str(), run_number(run), body])?;
    let beyond: Option<i64> = c
        .prepare_cached(
            "SELECT run FROM releases WHERE project = ?1 AND environment = ?2 AND service = ?3
             ORDER BY run DESC LIMIT 1 OFFSET ?4",
        )?
        .query_row(params![project, environment, service.as_str(), RELEASES_KEPT as i64], |row| row.get(0))
        .optional()?;
    if let Some(beyond) = beyond {
        c.execute(
            "DELETE FROM releases WHERE project = ?1 AND environment = ?2 AND service = ?3 AND run <= ?4",
            params![project, environment, service.as_str(), beyond],
        )?;
        c.execute(
            "INSERT INTO release_horizons (project, environment, service, run) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET run = excluded.run",
            params![project, environment, service.as_str(), beyond],
        )?;
    }
    Ok(())
}

/// The environment's unfinished run.
pub(super) fn unfinished_run(c: &Connection, id: &EnvironmentRef) -> Result<Option<RunId>, StoreError> {
    let run = c
        .prepare_cached("SELECT id FROM runs WHERE project = ?1 AND environment = ?2 AND state = 'running'")?
        .query_row([id.project.as_str(), id.environment.as_str()], |row| count(row, 0))
        .optional()?;
    Ok(run.map(RunId))
}

/// The first run as of which every service is still known.
fn horizon(c: &Connection, id: &EnvironmentRef) -> Result<u64, StoreError> {
    let from: Option<i64> = c
        .prepare_cached(
            "SELECT max(first) FROM (
               SELECT min(r.run) AS first FROM releases r JOIN release_horizons h USING (project, environment, service)
               WHERE r.project = ?1 AND r.environment = ?2 GROUP BY service)",
        )?
        .query_row([id.project.as_str(), id.environment.as_str()], |row| row.get(0))?;
    Ok(from.and_then(|from| u64::try_from(from).ok()).unwrap_or(0))
}

/// A service of which it is no longer known what `run` found or left.
fn lost_at(c: &Connection, id: &EnvironmentRef, run: RunId) -> Result<Option<String>, StoreError> {
    Ok(c.prepare_cached(
        "SELECT h.service FROM release_horizons h WHERE h.project = ?1 AND h.environment = ?2 AND NOT EXISTS (
           SELECT 1 FROM releases r WHERE r.project = h.project AND r.environment = h.environment
             AND r.service = h.service AND r.run <= ?3)
         ORDER BY h.service LIMIT 1",
    )?
    .query_row(params![id.project.as_str(), id.environment.as_str(), run_number(run)], |row| row.get(0))
    .optional()?)
}
