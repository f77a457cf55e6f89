//! What a look at an environment rests on, read at once: looks come often, and each read of its own would cost a turn of
//! a reader.

use std::collections::BTreeMap;

use super::{Store, StoreError, bases, environments, health, projects, services};
use crate::drift::Base;
use crate::ids::{EnvironmentRef, ServiceName};
use crate::store::records::{Environment, Project, RegisteredService, ServiceHealth};

/// All that is stored of an environment and counts in a look at it, as of one moment.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its project; `None` where there is none of that name.
    pub project: Option<Project>,
    /// The environment; `None` where it is not there.
    pub environment: Option<Environment>,
    /// What the operator registered of its services, by name.
    pub services: Vec<RegisteredService>,
    /// What was last applied and verified.
    pub base: Base,
    /// How each service was last seen to be doing.
    pub healths: BTreeMap<ServiceName, ServiceHealth>,
}

impl Store {
    /// Everything that a look at an environment rests on.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn stored(&self, environment: &EnvironmentRef) -> Result<Stored, StoreError> {
        let id = environment.clone();
        self.query(move |c| {
            let healths = health::known(c, &id)?.into_iter().map(|(name, health, _)| (name, health));
            Ok(Stored {
                project: projects::known(c, &id.project)?,
                environment: environments::known(c, &id)?,
                services: services::known(c, &id)?,
                base: bases::known(c, &id)?,
                healths: healths.collect(),
            })
        })
        .await
    }
}
