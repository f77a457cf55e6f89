//! Since when each leaf has been seen to drift.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::params;

use super::columns::{nanos, text, time, to_word, word};
use super::environments::require;
use super::records::DriftMark;
use super::{Store, StoreError};
use crate::drift::Cause;
use crate::ids::{EnvironmentRef, ServiceName};
use crate::live::field::FieldPath;

impl Store {
    /// Replaces an environment's marks with what drifts now. A leaf that drifted before for the same cause keeps its
    /// `since`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn update_drift_marks(
        &self,
        environment: &EnvironmentRef,
        drifting: Vec<(ServiceName, FieldPath, Cause)>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let known: BTreeMap<_, _> = self
            .drift_marks(environment)
            .await?
            .into_iter()
            .map(|mark| ((mark.service, mark.field), mark.cause))
            .collect();
        let now: BTreeMap<_, _> =
            drifting.into_iter().map(|(service, field, cause)| ((service, field), cause)).collect();
        if known == now {
            return Ok(());
        }
        let (id, at) = (environment.clone(), nanos(at)?);
        self.transact(move |c| {
            require(c, &id)?;
            let (project, name) = (id.project.as_str(), id.environment.as_str());
            let mut remove = c.prepare_cached(
                "DELETE FROM drift_marks WHERE project = ?1 AND environment = ?2 AND service = ?3 AND field = ?4",
            )?;
            for (service, field) in known.keys().filter(|leaf| !now.contains_key(leaf)) {
                remove.execute(params![project, name, service.as_str(), field.to_string()])?;
            }
            let mut put = c.prepare_cached(
                "INSERT INTO drift_marks (project, environment, service, field, cause, since)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET cause = excluded.cause, since = excluded.since WHERE cause <> excluded.cause",
            )?;
            for ((service, field), cause) in &now {
                put.execute(params![project, name, service.as_str(), field.to_string(), to_word(cause)?, at])?;
            }
            Ok(())
        })
        .await
    }

    /// An environment's drifting leaves, by service and in field order.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn drift_marks(&self, environment: &EnvironmentRef) -> Result<Vec<DriftMark>, StoreError> {
        let id = environment.clone();
        self.query(move |c| {
            let mut statement = c.prepare_cached(
                "SELECT service, field, cause, since FROM drift_marks WHERE project = ?1 AND environment = ?2",
            )?;
            let rows = statement.query_map([id.project.as_str(), id.environment.as_str()], |row| {
                Ok(DriftMark {
                    service: text(row, 0)?,
                    field: text(row, 1)?,
                    cause: word(row, 2)?,
                    since: time(row, 3)?,
                })
            })?;
            let mut marks: Vec<DriftMark> = rows.collect::<Result<_, _>>()?;
            marks.sort_by(|a, b| (&a.service, &a.field).cmp(&(&b.service, &b.field)));
            Ok(marks)
        })
        .await
    }
}
