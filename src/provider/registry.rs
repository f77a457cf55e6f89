//! The one registry of providers: an environment's word and settings → its provider. A new provider is one line here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::git::{Git, Remote, ResolvedRef};
use crate::ids::{CommitSha, EnvironmentRef};
use crate::provider::docker::{DockerProvider, Engines};
use crate::provider::local::{Checkout, LocalProvider};
use crate::provider::{Connect, SharedProvider};
use crate::secret::Secrets;
use crate::store::records::{Environment, Project};

/// The providers there are, by their words.
pub const PROVIDERS: &[&str] = &["docker", "local"];

/// Connects environments to their providers and keeps them connected while their settings stand.
pub struct Registry {
    git: Git,
    secrets: Secrets,
    supervisor: PathBuf,
    engines: Engines,
    connected: Mutex<BTreeMap<EnvironmentRef, Connected>>,
}

struct Connected {
    project: Project,
    environment: Environment,
    provider: SharedProvider,
}

impl Registry {
    /// A registry with nothing connected. `supervisor` is the socket of `trueup supervise`.
    pub fn new(git: Git, secrets: Secrets, supervisor: PathBuf) -> Self {
        Registry { git, secrets, supervisor, engines: Engines::default(), connected: Mutex::default() }
    }

    /// The Docker Engines that are spoken to, for whoever else speaks to them.
    pub fn engines(&self) -> Engines {
        self.engines.clone()
    }

    fn open(&self, project: &Project, environment: &Environment) -> Result<SharedProvider, String> {
        let (id, settings) = (environment.id.clone(), &environment.settings);
        match environment.provider.as_str() {
            "docker" => {
                let credentials = Arc::new(self.secrets.clone());
                DockerProvider::connect_shared(&self.engines, id, settings, credentials)
                    .map(|provider| Arc::new(provider) as SharedProvider)
                    .map_err(|error| error.to_string())
            }
            "local" => {
                let checkout =
                    ProjectCheckout { git: self.git.clone(), secrets: self.secrets.clone(), project: project.clone() };
                let run_as = environment.run_as.as_deref();
                LocalProvider::connect(id, settings, run_as, &self.supervisor, Arc::new(checkout))
                    .map(|provider| Arc::new(provider) as SharedProvider)
                    .map_err(|error| error.to_string())
            }
            other => Err(format!("there is no provider `{other}`; there are {}", PROVIDERS.join(" and "))),
        }
    }
}

impl Connect for Registry {
    fn connect(&self, project: &Project, environment: &Environment) -> Result<SharedProvider, String> {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = connected.get(&environment.id)
            && known.environment == *environment
            && known.project == *project
        {
            return Ok(Arc::clone(&known.provider));
        }
        let provider = self.open(project, environment)?;
        let entry =
            Connected { project: project.clone(), environment: environment.clone(), provider: Arc::clone(&provider) };
        connected.insert(environment.id.clone(), entry);
        Ok(provider)
    }
}

/// Lays a project's commits down for `local` replicas.
struct ProjectCheckout {
    git: Git,
    secrets: Secrets,
    project: Project,
}

#[async_trait]
impl Checkout for ProjectCheckout {
    async fn checkout(&self, commit: &CommitSha, into: &Path) -> Result<(), String> {
        let Project { name, url, auth, user, .. } = &self.project;
        let purpose = format!("{name} repository");
        let remote = Remote::open(url, auth.as_ref(), &self.secrets, &purpose, "local provider")
            .await
            .map_err(|error| error.to_string())?
            .as_user(user.as_deref());
        let wanted = ResolvedRef { full_name: commit.to_string(), commit: commit.clone(), object: commit.clone() };
        self.git.fetch(&remote, &wanted).await.map_err(|error| error.to_string())?;
        self.git.checkout(&remote, commit, into).await.map_err(|error| error.to_string())
    }
}
