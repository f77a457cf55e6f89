//! The webhooks' secrets, all of them resolved ahead: whether a project is known must not show in how long an answer takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;
use tokio::sync::Mutex;

use crate::forge::ForgeKind;
use crate::ids::{IntegrationName, ProjectName};
use crate::integration::IntegrationProvider;
use crate::integration::settings::WEBHOOK_SECRET;
use crate::secret::{AuthRef, Secrets};
use crate::store::records::Integration;
use crate::store::{Store, StoreError};

/// How long resolved secrets are used: a changed file is seen after it at the latest.
const FRESH: Duration = Duration::from_secs(60);
/// On whose behalf they are resolved, for the audit log.
const ACTOR: &str = "trueup";

/// The secrets, resolved when they are first needed, when a registration changed, and every minute.
pub(super) struct HookSecrets {
    store: Store,
    secrets: Secrets,
    known: Mutex<Option<Arc<Known>>>,
    forgotten: AtomicBool,
}

/// The secrets as they are now.
pub(super) struct Known {
    resolved_at: Instant,
    projects: BTreeMap<ProjectName, SecretString>,
    github: Vec<(IntegrationName, SecretString)>,
    nobody: SecretString,
}

impl Known {
    pub(super) fn of_project(&self, project: &ProjectName) -> Option<&SecretString> {
        self.projects.get(project)
    }

    /// Those of the integrations with GitHub, for deliveries of Apps and organisations.
    pub(super) fn github(&self) -> &[(IntegrationName, SecretString)] {
        &self.github
    }

    /// A secret that nobody has, to check against where there is none.
    pub(super) fn nobody(&self) -> &SecretString {
        &self.nobody
    }
}

impl HookSecrets {
    pub(super) fn new(store: Store, secrets: Secrets) -> Self {
        HookSecrets { store, secrets, known: Mutex::default(), forgotten: AtomicBool::new(false) }
    }

    /// What is known is out of date.
    pub(super) fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// The secrets, resolved again where they are old. Everyone who asks meanwhile waits, known or not.
    pub(super) async fn current(&self) -> Result<Arc<Known>, StoreError> {
        let mut known = self.known.lock().await;
        let forgotten = self.forgotten.swap(false, Ordering::AcqRel);
        if let Some(known) = known.as_ref().filter(|known| !forgotten && known.resolved_at.elapsed() < FRESH) {
            return Ok(Arc::clone(known));
        }
        match self.resolve().await {
            Ok(fresh) => Ok(Arc::clone(known.insert(Arc::new(fresh)))),
            Err(error) => {
                self.forget();
                Err(error)
            }
        }
    }

    async fn resolve(&self) -> Result<Known, StoreError> {
        let registered = self.store.projects().await?;
        // Projects that share a reference share its resolution.
        let mut by_reference: BTreeMap<AuthRef, Option<SecretString>> = BTreeMap::new();
        let mut projects = BTreeMap::new();
        for project in registered {
            let Some(reference) = project.webhook_secret else { continue };
            if !by_reference.contains_key(&reference) {
                let purpose = format!("{}: webhook", project.name);
                by_reference.insert(reference.clone(), self.value(&reference, &purpose).await);
            }
            if let Some(Some(secret)) = by_reference.get(&reference) {
                projects.insert(project.name, secret.clone());
            }
        }
        let mut github = Vec::new();
        for integration in self.store.integrations().await? {
            let Some(reference) = github_secret(&integration) else { continue };
            let purpose = format!("integration {}: webhook", integration.name);
            if let Some(secret) = self.value(&reference, &purpose).await {
                github.push((integration.name, secret));
            }
        }
        Ok(Known { resolved_at: Instant::now(), projects, github, nobody: nobody()? })
    }

    async fn value(&self, reference: &AuthRef, purpose: &str) -> Option<SecretString> {
        match self.secrets.resolve(reference, purpose, ACTOR).await {
            Ok(secret) => Some(secret),
            Err(error) => {
                tracing::warn!(%error, purpose, "deliveries are refused, as the webhook's secret has no value");
                None
            }
        }
    }
}

/// The reference to the secret of an App's or an organisation's webhook, where the integration has one.
fn github_secret(integration: &Integration) -> Option<AuthRef> {
    let is_github = integration.provider == IntegrationProvider::Forge(ForgeKind::Github);
    // What is registered was checked to be a reference.
    integration.settings.get(WEBHOOK_SECRET).filter(|_| is_github)?.parse().ok()
}

fn nobody() -> Result<SecretString, StoreError> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| StoreError::Database("the system gives no randomness".into()))?;
    Ok(SecretString::from(STANDARD.encode(random)))
}
