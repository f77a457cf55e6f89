//! Container registries: any that speaks the OCI distribution specification, and Harbor, which says more of itself.

mod harbor;

use std::time::Duration;

use async_trait::async_trait;

use crate::integration::settings::{TEST_REPOSITORY, TOKEN_HOSTS, USERNAME};
use crate::integration::{Examination, Integration, IntegrationProvider};
use crate::live::image::ContentDigest;
use crate::oci::{Login, RegistryClient, RegistryError, RegistryPlace};
use crate::secret::Secrets;
use crate::store::records::Integration as Registered;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A registered container registry.
pub struct Registry {
    registered: Registered,
    secrets: Secrets,
    actor: String,
}

impl Registry {
    /// A registry; nothing is asked and no secret resolved yet. `actor` is who asks, for the audit log.
    pub fn new(registered: Registered, secrets: Secrets, actor: &str) -> Self {
        Registry { registered, secrets, actor: actor.to_owned() }
    }

    /// The tags of a repository.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub async fn tags(&self, repository: &str) -> Result<Vec<String>, String> {
        self.client().await?.tags(repository).await.map_err(|error| self.explain(&error))
    }

    /// The digest that a tag of a repository means now.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn digest(&self, repository: &str, tag: &str) -> Result<ContentDigest, String> {
        self.client().await?.digest(repository, tag).await.map_err(|error| self.explain(&error))
    }

    async fn client(&self) -> Result<RegistryClient, String> {
        let Registered { name, endpoint, auth, settings, .. } = &self.registered;
        let login = match (settings.get(USERNAME), auth) {
            (Some(username), Some(auth)) => {
                let purpose = format!("integration {name}");
                let password = self.secrets.resolve(auth, &purpose, &self.actor).await.map_err(|e| e.to_string())?;
                Some(Login { username: username.clone(), password })
            }
            (Some(_), None) | (None, _) => None,
        };
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
        let hosts = settings.get(TOKEN_HOSTS).into_iter().flat_map(|hosts| hosts.split(','));
        let place = RegistryPlace {
            host: host.to_owned(),
            plain: scheme == "http",
            typed: true,
            token_hosts: hosts.map(|host| host.trim().to_owned()).collect(),
        };
        RegistryClient::new(place, login, LIMIT).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &RegistryError) -> String {
        format!("the registry {}: {error}", self.registered.endpoint)
    }

    async fn look(&self) -> Result<Examination, String> {
        let client = self.client().await?;
        client.check().await.map_err(|error| self.explain(&error))?;
        let who = self.registered.settings.get(USERNAME).map_or("anyone".to_owned(), |name| format!("`{name}`"));
        let mut found = Examination::default().ok(format!("{} lets {who} in", self.registered.endpoint));
        if let Some(repository) = self.registered.settings.get(TEST_REPOSITORY) {
            found = match client.tags(repository).await {
                Ok(tags) => found.ok(format!("{repository} has {} tags", tags.len())),
                Err(RegistryError::Missing) => found.warning(
                    format!("{repository} is not there, or not shown to {who}"),
                    "push something to it, correct test_repository, or let that user pull from it",
                ),
                Err(RegistryError::Denied { .. }) => {
                    found.missing_scopes.push(format!("repository:{repository}:pull"));
                    found
                }
                Err(error) => return Err(self.explain(&error)),
            };
        }
        if self.registered.provider == IntegrationProvider::Harbor {
            found = harbor::look(&self.registered.endpoint, LIMIT, found).await;
        }
        Ok(found)
    }
}

#[async_trait]
impl Integration for Registry {
    async fn test_connection(&self) -> Examination {
        self.look().await.unwrap_or_else(|why| Examination::default().error(why, None))
    }
}
