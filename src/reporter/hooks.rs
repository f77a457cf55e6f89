//! A repository's webhook at its forge: made, put right, looked at.
//!
//! Asked for by an operator and by nobody else. Must not know what deliveries are answered, or what becomes of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tracing::Instrument as _;

use crate::forge::ForgeError;
use crate::forge::api::{Report, Upserted, Webhook, WebhookRequest};
use crate::ids::ProjectName;
use crate::metrics::{AnnotationOperation, AttemptStatus, Metrics};
use crate::outbox::Unposted;
use crate::reporter::hook_check::{Looked, ProjectCheck, WebhookSetUp};
use crate::reporter::{Way, Ways};
use crate::secret::generate::{NotKept, discard, generate};
use crate::secret::{AuthRef, SecretError, Secrets};
use crate::store::records::Project;
use crate::store::{Store, StoreError};

/// The folder of generated secrets in the state directory.
const FOLDER: &str = "webhooks";

/// What webhooks are set up with.
pub struct HookParts {
    /// The database.
    pub store: Store,
    /// How forges are reached.
    pub ways: Arc<Ways>,
    /// Auth references.
    pub secrets: Secrets,
    /// Whoever counts.
    pub metrics: Metrics,
    /// Where people, and forges, reach the daemon; `None` where they do not.
    pub public_url: Option<String>,
    /// The state directory.
    pub state_dir: PathBuf,
}

/// Sets webhooks up and looks at them; cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    parts: Arc<HookParts>,
}

/// Why a webhook was not set up, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The project is reported to no forge.
    #[error("{0} has no integration, so nobody knows its forge: trueup project set {0} --integration NAME")]
    NoIntegration(ProjectName),
    /// Nobody said where the forge reaches the daemon.
    #[error(
        "public_url is not set in trueup.toml, so the forge cannot be told where to deliver: set it, restart the daemon, and run trueup project set {0} --webhook"
    )]
    NoPublicUrl(ProjectName),
    /// The forge cannot be spoken to as things are registered.
    #[error("{0}")]
    NoWay(String),
    /// The secret that is registered has no value.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret that was made could not be kept.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// The forge does not do it.
    #[error("{error}{}", missing(.scopes))]
    Forge {
        /// Why not.
        error: ForgeError,
        /// Permissions that the credentials lack, by the forge's own names.
        scopes: Vec<String>,
    },
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn missing(scopes: &[String]) -> String {
    match scopes {
        [] => String::new(),
        some => format!("; what the credentials lack: {}", some.join(", ")),
    }
}

impl From<Unposted> for HookError {
    fn from(error: Unposted) -> Self {
        match error {
            Unposted::NoWay(why) => HookError::NoWay(why),
            Unposted::Store(error) => HookError::Store(error),
        }
    }
}

/// The secret of a webhook that is about to be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSecret {
    /// Where it is.
    pub reference: AuthRef,
    /// Whether it was made for this.
    pub made: bool,
}

impl Hooks {
    /// Over these parts.
    pub fn new(parts: HookParts) -> Self {
        Hooks { parts: Arc::new(parts) }
    }

    /// The secret that a project's webhook is set up with: the one that is registered, else a new one. A new one is on the
    /// disk and not registered yet.
    ///
    /// # Errors
    /// [`HookError`]: the project's webhook cannot be set up, and nothing was made.
    pub async fn secret(&self, project: &Project, actor: &str) -> Result<HookSecret, HookError> {
        self.way(project).await?;
        self.url(project)?;
        let folder = self.parts.state_dir.join(FOLDER);
        if let Some(reference) = &project.webhook_secret {
            match self.parts.secrets.resolve(reference, &purpose(project), actor).await {
                Ok(_) => return Ok(HookSecret { reference: reference.clone(), made: false }),
                // One that was made here and is lost is made anew; one that the operator named is the operator's.
                Err(_) if self.is_ours(project, reference) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let reference = generate(&folder, project.name.as_str())?;
        Ok(HookSecret { reference, made: true })
    }

    /// Makes the webhook at the forge, or puts it right. The project's secret has to be registered: the forge tries the
    /// webhook at once.
    ///
    /// # Errors
    /// [`HookError`], the missing permission named where the forge forbids it.
    pub async fn set_up(&self, project: &Project, actor: &str) -> Result<WebhookSetUp, HookError> {
        let way = self.way(project).await?;
        let url = self.url_of(project, &way)?;
        let reference = project.webhook_secret.clone().ok_or_else(|| HookError::NoWay(no_secret(&project.name)))?;
        let secret = self.parts.secrets.resolve(&reference, &purpose(project), actor).await?;
        let request = WebhookRequest { repository: way.repository.clone(), url: url.clone(), secret };
        let span = way.span(&project.name, "webhook");
        async {
            let begun = Instant::now();
            let written = way.forge.upsert_webhook(&request).await;
            let report = Report::<Upserted>::from(written.clone());
            let status = match (report.success, report.is_transient) {
                (true, _) => AttemptStatus::Success,
                (false, true) => AttemptStatus::Transient,
                (false, false) => AttemptStatus::Permanent,
            };
            self.parts.metrics.annotated(way.forge.kind(), AnnotationOperation::Webhook, status, begun.elapsed());
            match written {
                Ok(Upserted { change, .. }) => {
                    tracing::info!(url, ?change, "the webhook is set up");
                    Ok(WebhookSetUp { url, repository: way.repository.to_string(), change, secret: reference })
                }
                Err(error) => {
                    let scopes = lacking(&way, &error).await;
                    tracing::warn!(%error, ?scopes, "the webhook could not be set up");
                    Err(HookError::Forge { error, scopes })
                }
            }
        }
        .instrument(span)
        .await
    }

    /// Looks whether a project's webhook is there, active, and what its last delivery met with.
    ///
    /// # Errors
    /// A database that refuses; what the forge does not say is a finding.
    pub async fn check(&self, project: &Project) -> Result<ProjectCheck, StoreError> {
        let heard_at = self.parts.store.heard_of(&project.name).await?;
        let looked = match self.look(project).await {
            Ok((url, hook)) => Looked::At { url, hook },
            Err(HookError::Store(error)) => return Err(error),
            Err(error) => Looked::Not { why: error.to_string() },
        };
        Ok(ProjectCheck::of(project, looked, heard_at))
    }

    async fn look(&self, project: &Project) -> Result<(String, Option<Webhook>), HookError> {
        let way = self.way(project).await?;
        let url = self.url_of(project, &way)?;
        let look = async {
            match way.forge.check_webhook(&way.repository, &url).await {
                Ok(hook) => Ok(hook),
                Err(error) => {
                    let scopes = lacking(&way, &error).await;
                    Err(HookError::Forge { error, scopes })
                }
            }
        };
        let hook = look.instrument(way.span(&project.name, "webhook")).await?;
        Ok((url, hook))
    }

    /// Removes a secret that was made for a project.
    pub fn discard(&self, project: &ProjectName) {
        if let Err(error) = discard(&self.parts.state_dir.join(FOLDER), project.as_str()) {
            tracing::warn!(project = %project, %error, "the secret of its webhook stays behind");
        }
    }

    async fn way(&self, project: &Project) -> Result<Way, HookError> {
        self.parts.ways.to(&project.name).await?.ok_or_else(|| HookError::NoIntegration(project.name.clone()))
    }

    fn url(&self, project: &Project) -> Result<&str, HookError> {
        self.parts.public_url.as_deref().ok_or_else(|| HookError::NoPublicUrl(project.name.clone()))
    }

    fn url_of(&self, project: &Project, way: &Way) -> Result<String, HookError> {
        Ok(format!("{}/hooks/{}/{}", self.url(project)?, way.forge.kind().word(), project.name))
    }

    fn is_ours(&self, project: &Project, reference: &AuthRef) -> bool {
        let path = std::path::absolute(self.parts.state_dir.join(FOLDER).join(project.name.as_str()));
        matches!((path, reference), (Ok(path), AuthRef::File(file)) if path.as_os_str() == file.as_str())
    }
}

fn purpose(project: &Project) -> String {
    format!("{}: webhook", project.name)
}

fn no_secret(project: &ProjectName) -> String {
    format!("{project} has no secret for its webhook: trueup project set {project} --webhook")
}

/// What the credentials lack, where that may be why: some forges say `not found` or `unauthorised`
/// instead of `forbidden`.
async fn lacking(way: &Way, error: &ForgeError) -> Vec<String> {
    match error {
        ForgeError::Forbidden { .. } | ForgeError::NotFound { .. } | ForgeError::Unauthorized { .. } => {}
        ForgeError::Transient { .. }
        | ForgeError::Credential { .. }
        | ForgeError::Rejected { .. }
        | ForgeError::Guarded { .. }
        | ForgeError::Unsupported { .. } => return Vec::new(),
    }
    match way.forge.test_connection(Some(&way.repository)).await {
        Ok(connection) => connection.missing.into_iter().chain(connection.missing_optional).collect(),
        Err(error) => {
            tracing::debug!(%error, "what the credentials lack cannot be told");
            Vec::new()
        }
    }
}
