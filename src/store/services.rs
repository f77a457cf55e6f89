//! Services that an operator registered, for the file's short form.

use rusqlite::{Connection, params};

use super::columns::{json, text, to_json};
use super::environments::require;
use super::records::RegisteredService;
use super::{Store, StoreError};
use crate::ids::{EnvironmentRef, ServiceName};

impl Store {
    /// Registers a service, or replaces what is registered of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the environment does not exist.
    pub async fn put_service(&self, service: RegisteredService) -> Result<(), StoreError> {
        self.transact(move |c| {
            require(c, &service.environment)?;
            c.execute(
                "INSERT INTO services (project, environment, name, spec) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET spec = excluded.spec",
                params![
                    service.environment.project.as_str(),
                    service.environment.environment.as_str(),
                    service.name.as_str(),
                    to_json(&service.spec)?
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// The registered services of an environment, by name.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn services(&self, environment: &EnvironmentRef) -> Result<Vec<RegisteredService>, StoreError> {
        let id = environment.clone();
        self.query(move |c| known(c, &id)).await
    }

    /// Forgets a registered service; what runs goes on running.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it is not registered.
    pub async fn remove_service(&self, environment: &EnvironmentRef, name: &ServiceName) -> Result<(), StoreError> {
        let (id, name) = (environment.clone(), name.clone());
        self.transact(move |c| {
            let removed = c.execute(
                "DELETE FROM services WHERE project = ?1 AND environment = ?2 AND name = ?3",
                [id.project.as_str(), id.environment.as_str(), name.as_str()],
            )?;
            if removed == 0 {
                return Err(StoreError::NotFound(format!("a registered service {name} in {id}")));
            }
            Ok(())
        })
        .await
    }
}

/// The registered services of an environment.
pub(super) fn known(c: &Connection, id: &EnvironmentRef) -> Result<Vec<RegisteredService>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT name, spec FROM services WHERE project = ?1 AND environment = ?2 ORDER BY name")?;
    let rows = statement.query_map([id.project.as_str(), id.environment.as_str()], |row| {
        Ok(RegisteredService { environment: id.clone(), name: text(row, 0)?, spec: json(row, 1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
