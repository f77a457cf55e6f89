//! The flow as code: one pass over one environment, from Git, the provider and the database to a plan.
//!
//! A pass reads and computes; it changes nothing outside Trueup's own database, and it holds no permit.

mod complete;
mod read;
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;

pub use crate::pass::why::Why;

use crate::declared::{Declared, InvalidFile};
use crate::deploy::check::check_of;
use crate::drift::Base;
use crate::drift::compare::compare;
use crate::drift::seal::seal;
use crate::git::{Git, GitError};
use crate::health::service_health;
use crate::ids::{CommitSha, EnvironmentRef, ProjectName, RunId, ServiceName};
use crate::live::capability::Capabilities;
use crate::live::{Health, Live, LiveService, Observed};
use crate::plan::build::{PlanContext, make};
use crate::plan::{Plan, PlanOptions};
use crate::provider::{Connect, Probe, Provider, SharedProvider};
use crate::secret::{SecretError, Secrets};
use crate::store::records::{Environment, Project};
use crate::store::{Store, StoreError};

/// Why a pass came to no plan.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The project is not registered.
    #[error("there is no project {0}; `trueup project list` shows those there are")]
    NoProject(ProjectName),
    /// The environment is not registered.
    #[error("there is no environment {0}; `trueup env list` shows those there are")]
    NoEnvironment(EnvironmentRef),
    /// The operator switched the project off.
    #[error("the project {0} is disabled; `trueup project set {0} --enable` switches it on")]
    Disabled(ProjectName),
    /// Git could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The registered repository cannot be asked.
    #[error(transparent)]
    Remote(#[from] crate::git::RemoteError),
    /// The ref does not exist.
    #[error("{reference} does not exist in {project}'s repository")]
    NoRef {
        /// The project.
        project: ProjectName,
        /// The ref, as asked for.
        reference: String,
    },
    /// The file is not valid.
    #[error("the file is not valid:\n{0}")]
    Invalid(InvalidFile),
    /// The environment's provider settings are not usable.
    #[error("the provider of {environment} cannot be used: {why}")]
    Provider {
        /// The environment.
        environment: EnvironmentRef,
        /// What is wrong.
        why: String,
    },
    /// There is no such release to go back to.
    #[error("{0}")]
    NoRelease(String),
    /// The service or the leaf is neither declared nor applied nor running.
    #[error("{0}")]
    NoLeaf(String),
    /// A secret could not be resolved.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a plan is asked of.
#[derive(Clone, Debug, Default)]
pub struct PlanRequest {
    /// The ref; `None` for the tip of the tracked one.
    pub reference: Option<String>,
    /// What is asked of the plan.
    pub options: PlanOptions,
}

/// Makes passes. Cheap to clone.
#[derive(Clone)]
pub struct Passes {
    parts: Arc<Parts>,
}

/// What passes are made with.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Git.
    pub git: Git,
    /// Auth references.
    pub secrets: Secrets,
    /// Providers.
    pub providers: Arc<dyn Connect>,
}

/// One environment with what it takes to pass over it.
pub(crate) struct Site {
    pub(crate) project: Project,
    pub(crate) environment: Environment,
    pub(crate) provider: SharedProvider,
    pub(crate) can: Capabilities,
}

/// The declared side of a pass.
pub(crate) struct Reading {
    pub(crate) declared: Declared,
    pub(crate) reference: String,
    pub(crate) commit: Option<CommitSha>,
    pub(crate) notes: Vec<String>,
    pub(crate) no_file: bool,
}

impl Passes {
    /// Passes over the given parts.
    pub fn new(parts: Parts) -> Self {
        Passes { parts: Arc::new(parts) }
    }

    /// The plan of a ref (by default the tracked one's tip), from a fresh look at everything.
    ///
    /// # Errors
    /// [`PassError`]; nothing was changed.
    pub async fn plan(&self, id: &EnvironmentRef, request: &PlanRequest, actor: &str) -> Result<Plan, PassError> {
        let site = self.site(id).await?;
        let reading = self.read(&site, request.reference.as_deref(), actor).await;
        let tracked = request.reference.is_none();
        if tracked {
            self.note_read(id, &reading).await?;
        }
        let (plan, live) = self.plan_of(&site, reading?, request.options.clone(), actor).await?;
        self.parts.store.save_plan(&plan).await?;
        if tracked && plan.options == PlanOptions::default() {
            self.keep_latest(id, &plan, &live).await?;
        }
        Ok(plan)
    }

    /// The background's pass: the tracked tip with default options, kept as what `status` shows.
    ///
    /// # Errors
    /// [`PassError`]; the read's status is recorded all the same.
    pub async fn refresh(&self, id: &EnvironmentRef) -> Result<Plan, PassError> {
        self.plan(id, &PlanRequest::default(), "trueup").await
    }

    /// The plan back to the release that `to` recorded, by default the one before the present.
    ///
    /// # Errors
    /// [`PassError::NoRelease`] where there is none.
    pub async fn rollback_plan(&self, id: &EnvironmentRef, to: Option<RunId>, actor: &str) -> Result<Plan, PassError> {
        let site = self.site(id).await?;
        let run = self.release_to(id, to).await?;
        let reading = self.release(id, run).await?;
        let options = PlanOptions { rollback_to: Some(run), ..PlanOptions::default() };
        let (plan, _) = self.plan_of(&site, reading, options, actor).await?;
        self.parts.store.save_plan(&plan).await?;
        Ok(plan)
    }

    /// Makes a plan again as it was asked for: the gate's recheck.
    ///
    /// # Errors
    /// [`PassError`]; nothing was changed.
    pub async fn again(&self, plan: &Plan, actor: &str) -> Result<Plan, PassError> {
        match plan.options.rollback_to {
            Some(run) => self.rollback_plan(&plan.environment, Some(run), actor).await,
            None => {
                let tracked = self.tracked(&plan.environment).await?;
                let reference = (plan.reference != tracked).then(|| plan.reference.clone());
                self.plan(&plan.environment, &PlanRequest { reference, options: plan.options.clone() }, actor).await
            }
        }
    }

    /// Declared × base × live → plan: the one place where a pass becomes a plan.
    async fn plan_of(
        &self,
        site: &Site,
        reading: Reading,
        options: PlanOptions,
        actor: &str,
    ) -> Result<(Plan, Live), PassError> {
        let Reading { mut declared, reference, commit, mut notes, no_file: _ } = reading;
        let base = self.parts.store.base(&site.environment.id).await?;
        let (gaps, mut live) = tokio::join!(self.complete(&mut declared, site, actor), site.provider.observe());
        seal(&mut live, &declared, &base, &|value| self.parts.secrets.fingerprint(value));
        let drift = compare(&declared, &gaps, &base, &live, &site.can);
        if options.rollback_to.is_some() {
            notes.push("a rollback uses the recorded images and the secrets of now, and runs no pipelines".to_owned());
        }
        let context = PlanContext {
            environment: site.environment.id.clone(),
            reference,
            commit,
            options,
            unprobeable: unprobeable(&*site.provider, &declared).await,
            notes,
            made_at: Timestamp::now(),
        };
        let plan = make(&declared, &base, &drift, &site.can, context);
        Ok((plan, live))
    }

    /// What a run has changed, observed again: the part of `plan` that is about `service`, made anew over the leaves that
    /// were to be applied. Empty means verified.
    ///
    /// # Errors
    /// [`PassError`]; nothing is known then.
    pub async fn verify(&self, plan: &Plan, service: &ServiceName) -> Result<Plan, PassError> {
        let site = self.site(&plan.environment).await?;
        let mut declared = self.declared_of(plan);
        if let Some(services) = &mut declared.services {
            services.retain(|name, _| name == service);
        }
        // Policies cannot be seen: what was to be recorded counts as applied.
        let base = plan.applied(None, Timestamp::now());
        let mut live = site.provider.observe().await;
        seal(&mut live, &declared, &base, &|value| self.parts.secrets.fingerprint(value));
        let drift = compare(&declared, &crate::drift::Gaps::default(), &base, &live, &site.can);
        let context = PlanContext {
            environment: plan.environment.clone(),
            reference: plan.reference.clone(),
            commit: plan.commit.clone(),
            options: PlanOptions { services: Some([service.clone()].into()), ..plan.options.clone() },
            unprobeable: BTreeMap::new(),
            notes: Vec::new(),
            made_at: Timestamp::now(),
        };
        Ok(make(&declared, &base, &drift, &site.can, context))
    }

    /// The provider of an environment, for reading logs, testing the connection and carrying out steps.
    ///
    /// # Errors
    /// [`PassError`] where the environment is unknown or its settings are not usable.
    pub async fn provider(&self, id: &EnvironmentRef) -> Result<SharedProvider, PassError> {
        Ok(self.site(id).await?.provider)
    }

    pub(crate) async fn site(&self, id: &EnvironmentRef) -> Result<Site, PassError> {
        let store = &self.parts.store;
        let project = store.project(&id.project).await?.ok_or_else(|| PassError::NoProject(id.project.clone()))?;
        let environment = store.environment(id).await?.ok_or_else(|| PassError::NoEnvironment(id.clone()))?;
        if project.disabled {
            return Err(PassError::Disabled(project.name));
        }
        let provider = self
            .parts
            .providers
            .connect(&project, &environment)
            .map_err(|why| PassError::Provider { environment: id.clone(), why })?;
        let can = provider.capabilities();
        Ok(Site { project, environment, provider, can })
    }

    /// Keeps what `status` and `why` answer from: the plan, since when each leaf drifts, and how services do.
    async fn keep_latest(&self, id: &EnvironmentRef, plan: &Plan, live: &Live) -> Result<(), PassError> {
        let store = &self.parts.store;
        let marks = plan
            .actions
            .iter()
            .flat_map(|action| {
                action.changes.iter().map(|change| (action.service.clone(), change.field.clone(), change.cause))
            })
            .collect();
        store.set_latest_plan(id, &plan.digest).await?;
        store.update_drift_marks(id, marks, plan.made_at).await?;
        let known: BTreeMap<ServiceName, Health> =
            store.healths(id).await?.into_iter().map(|(name, health, _)| (name, health)).collect();
        let now = match &live.services {
            Observed::Known(services) => {
                services.iter().map(|(name, service)| (name.clone(), health_now(plan, name, service, &known))).collect()
            }
            Observed::Unknown(why) => {
                plan.desired.keys().map(|name| (name.clone(), Health::Unknown { why: why.clone() })).collect()
            }
        };
        store.put_healths(id, now, plan.made_at).await?;
        Ok(())
    }
}

/// How a service does, as far as a pass can tell: where a probe decides, its last verdict stands while the replicas run.
fn health_now(plan: &Plan, name: &ServiceName, service: &LiveService, known: &BTreeMap<ServiceName, Health>) -> Health {
    let declared = plan.desired.get(name);
    let check = check_of(|field| declared.and_then(|leaves| leaves.get(field)).map(|leaf| &leaf.value));
    let seen = service_health(service, |_| None);
    match (check.probe, &seen) {
        (Probe::Http { .. } | Probe::Tcp { .. } | Probe::Command { .. }, Health::Healthy | Health::Starting) => {
            match known.get(name) {
                Some(Health::Healthy) => Health::Healthy,
                Some(Health::Unhealthy { why }) => Health::Unhealthy { why: why.clone() },
                _ => Health::Starting,
            }
        }
        _ => seen,
    }
}

/// The declared services whose check could not be carried out, and why.
async fn unprobeable(provider: &dyn Provider, declared: &Declared) -> BTreeMap<ServiceName, String> {
    let services = declared.services.iter().flatten();
    let asked = services.map(|(name, service)| async move {
        let check = check_of(|field| service.leaves.get(field).map(|leaf| &leaf.value));
        match check.probe {
            Probe::Running => None,
            Probe::Http { .. } | Probe::Tcp { .. } | Probe::Command { .. } => {
                provider.can_probe(&check).await.err().map(|why| (name.clone(), why))
            }
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// The plan of a file against what runs, without a daemon: nothing was applied as far as anyone knows, so every
/// difference is `new`.
pub async fn plan_file(declared: Declared, provider: &dyn Provider, mut context: PlanContext) -> Plan {
    let mut declared = declared;
    let gaps = complete::images(&mut declared, provider).await;
    let mut live = provider.observe().await;
    let base = Base::default();
    // Without the installation's key no secret can be compared: each counts as unknown.
    seal(&mut live, &declared, &base, &|_| "0".repeat(64).parse().expect("64 digits"));
    let gaps = complete::secrets_unresolved(&declared, gaps);
    let can = provider.capabilities();
    let drift = compare(&declared, &gaps, &base, &live, &can);
    context.unprobeable = unprobeable(provider, &declared).await;
    make(&declared, &base, &drift, &can, context)
}
