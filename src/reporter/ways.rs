//! The way from a project to its forge: the integration, the sign-in that is kept, the repository's name there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::forge::RepositoryPath;
use crate::forge::api::SharedForge;
use crate::ids::{IntegrationName, ProjectName};
use crate::integration::{Connectors, repository};
use crate::outbox::{Forges, Unposted};
use crate::store::Store;
use crate::store::records::{Integration, Project};

/// From a registration to its forge.
type Open = dyn Fn(&Integration) -> Result<SharedForge, String> + Send + Sync;

/// Finds ways, and keeps forges signed in to while their integration stands as it is: limits count over all that goes
/// through one.
pub struct Ways {
    store: Store,
    open: Box<Open>,
    kept: Mutex<BTreeMap<IntegrationName, (Timestamp, SharedForge)>>,
}

/// How a project is reported on.
#[derive(Clone, Debug)]
pub struct Way {
    /// Through which integration.
    pub integration: IntegrationName,
    /// The forge, signed in to.
    pub forge: SharedForge,
    /// The repository's name there.
    pub repository: RepositoryPath,
}

impl Way {
    /// What carries every log line of something that is done through it: `prNumber` and `commitSha` are recorded by whoever
    /// knows them.
    pub fn span(&self, project: &ProjectName, operation: &'static str) -> tracing::Span {
        let Way { integration, forge, repository: _ } = self;
        tracing::info_span!(
            "forge", integrationId = %integration, provider = forge.kind().word(), operation, project = %project,
            prNumber = tracing::field::Empty, commitSha = tracing::field::Empty,
        )
    }
}

impl std::fmt::Debug for Ways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ways { .. }")
    }
}

impl Ways {
    /// Ways through registered integrations.
    pub fn new(store: Store, connectors: Connectors) -> Arc<Self> {
        Self::through(store, move |integration| connectors.forge(integration))
    }

    /// Ways through whatever `open` makes of an integration.
    pub fn through(
        store: Store,
        open: impl Fn(&Integration) -> Result<SharedForge, String> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Ways { store, open: Box::new(open), kept: Mutex::default() })
    }

    /// How a project is reported on; `None` where it has no integration, and so is not.
    ///
    /// # Errors
    /// [`Unposted::NoWay`] saying what is missing.
    pub async fn to(&self, project: &ProjectName) -> Result<Option<Way>, Unposted> {
        let Some(project) = self.store.project(project).await? else { return Ok(None) };
        let Some(name) = &project.integration else { return Ok(None) };
        let Some(integration) = self.store.integration(name).await? else {
            return Err(Unposted::NoWay(format!(
                "integration {name} is gone: trueup project set {} --integration NAME",
                project.name
            )));
        };
        let repository = repository_of(&project, &integration)?;
        let forge = self.forge(&integration).map_err(Unposted::NoWay)?;
        Ok(Some(Way { integration: integration.name, forge, repository }))
    }

    /// Whether another project is reported on in the same repository.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn is_shared(&self, project: &ProjectName, way: &Way) -> Result<bool, Unposted> {
        let Some(integration) = self.store.integration(&way.integration).await? else { return Ok(false) };
        let here = |other: &Project| {
            other.name != *project
                && other.integration.as_ref() == Some(&way.integration)
                && repository_of(other, &integration).is_ok_and(|repository| repository == way.repository)
        };
        Ok(self.store.projects().await?.iter().any(here))
    }

    fn forge(&self, integration: &Integration) -> Result<SharedForge, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, forge)) = kept.get(&integration.name)
            && *at == integration.updated_at
        {
            return Ok(Arc::clone(forge));
        }
        let forge = (self.open)(integration)?;
        kept.insert(integration.name.clone(), (integration.updated_at, Arc::clone(&forge)));
        Ok(forge)
    }
}

#[async_trait]
impl Forges for Ways {
    async fn of(&self, project: &ProjectName) -> Result<(IntegrationName, SharedForge), Unposted> {
        let none = || {
            Unposted::NoWay(format!("{project} has no integration: trueup project set {project} --integration NAME"))
        };
        self.to(project).await?.map(|way| (way.integration, way.forge)).ok_or_else(none)
    }
}

fn repository_of(project: &Project, integration: &Integration) -> Result<RepositoryPath, Unposted> {
    let name = project
        .repository
        .clone()
        .or_else(|| repository::derived(integration.provider, &integration.endpoint, &project.url))
        .ok_or_else(|| {
            Unposted::NoWay(format!(
                "the URL of {0} does not say what its repository is called on the forge: trueup project set {0} --repository OWNER/NAME",
                project.name
            ))
        })?;
    name.parse().map_err(|error: crate::forge::InvalidRepositoryPath| Unposted::NoWay(error.to_string()))
}
