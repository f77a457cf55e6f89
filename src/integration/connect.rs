//! The one registry of integrations: what is registered → how it is spoken to. A new provider is one line here.

use std::sync::Arc;

use crate::forge::api::SharedForge;
use crate::integration::memory::Memory;
use crate::integration::registry::Registry;
use crate::integration::scm::{self, Scm};
use crate::integration::{Asker, Connect, Integration, IntegrationProvider};
use crate::provider::docker::{DockerHost, Engines};
use crate::secret::Secrets;
use crate::store::records::Integration as Registered;

/// Connects integrations; cheap to clone.
#[derive(Clone, Debug)]
pub struct Connectors {
    secrets: Secrets,
    engines: Engines,
}

impl Connectors {
    /// With these secrets, sharing connections to Docker Engines with whoever else holds `engines`.
    pub fn new(secrets: Secrets, engines: Engines) -> Self {
        Connectors { secrets, engines }
    }

    /// A registered container registry, for listing tags and resolving digests; `None` where it is something else.
    pub fn registry(&self, registered: &Registered, actor: &str) -> Option<Registry> {
        match registered.provider {
            IntegrationProvider::Harbor | IntegrationProvider::Oci => {
                Some(Registry::new(registered.clone(), self.secrets.clone(), actor))
            }
            IntegrationProvider::Forge(_) | IntegrationProvider::DockerHost | IntegrationProvider::Memory => None,
        }
    }
}

impl Connectors {
    /// A registered forge, for whoever reports to it; nothing is asked yet.
    ///
    /// # Errors
    /// It is no forge, has no credentials, or some that the forge does not take.
    pub fn forge(&self, registered: &Registered) -> Result<SharedForge, String> {
        match registered.provider {
            IntegrationProvider::Forge(kind) => scm::forge(kind, registered, &self.secrets),
            other => Err(format!("integration {} is no forge but {other}", registered.name)),
        }
    }
}

impl Connect for Connectors {
    fn connect(&self, registered: &Registered, asker: &Asker<'_>) -> Result<Arc<dyn Integration>, String> {
        Ok(match registered.provider {
            IntegrationProvider::Harbor | IntegrationProvider::Oci => {
                Arc::new(Registry::new(registered.clone(), self.secrets.clone(), asker.actor))
            }
            IntegrationProvider::DockerHost => {
                Arc::new(DockerHost::at(&self.engines, &registered.endpoint, &registered.settings)?)
            }
            IntegrationProvider::Memory => Arc::new(Memory::new(registered)),
            IntegrationProvider::Forge(kind) => {
                Arc::new(Scm::connect(kind, registered, &self.secrets, asker.repository)?)
            }
        })
    }
}
