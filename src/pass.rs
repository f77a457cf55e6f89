//! The flow as code: one pass over one environment, from Git, the provider and the database to a plan.
//!
//! A pass reads and computes; it changes nothing outside Trueup's own database, and it holds no permit.

mod complete;
mod error;
mod file;
mod fork;
mod keep;
mod polls;
mod pull;
mod read;
mod seen;
mod verify;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::broadcast;

pub use crate::pass::error::PassError;
pub use crate::pass::file::plan_file;
pub use crate::pass::pull::{PullFacts, head_refs};
pub(crate) use crate::pass::read::tracked_ref;
pub use crate::pass::seen::Looks;
pub use crate::pass::why::Why;

use crate::declared::Declared;
use crate::deploy::check::check_of;
use crate::drift::compare::compare;
use crate::drift::seal::seal;
use crate::drift::{Base, Gaps};
use crate::git::Git;
use crate::health::mask_words;
use crate::ids::{CommitSha, EnvironmentRef, RunId, ServiceName};
use crate::live::Live;
use crate::live::capability::Capabilities;
use crate::pass::seen::Seen;
use crate::plan::build::{PlanContext, make};
use crate::plan::{Plan, PlanOptions};
use crate::provider::{Connect, Probe, Provider, SharedProvider};
use crate::secret::Secrets;
use crate::store::records::{Environment, Project, ReadRef};
use crate::store::{Store, Stored};

/// What a plan is asked of.
#[derive(Clone, Debug, Default)]
pub struct PlanRequest {
    /// The ref; `None` for the tip of the tracked one.
    pub reference: Option<String>,
    /// What is asked of the plan.
    pub options: PlanOptions,
}

/// Who a pass of the background is made for, in the audit log.
const BACKGROUND: &str = "trueup";

/// Makes passes. Cheap to clone.
#[derive(Clone)]
pub struct Passes {
    parts: Arc<Parts>,
    seen: Arc<Seen>,
    moved: broadcast::Sender<EnvironmentRef>,
    offline: bool,
}

/// Moves that a slow listener may be behind; beyond it, it hears that it missed some.
const MOVES: usize = 1024;

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

impl Site {
    /// The same, unless its project is switched off.
    fn enabled(self) -> Result<Self, PassError> {
        if self.project.disabled { Err(PassError::Disabled(self.project.name)) } else { Ok(self) }
    }
}

/// The declared side of a pass.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) declared: Declared,
    pub(crate) reference: String,
    pub(crate) commit: Option<CommitSha>,
    /// The commits of services that are not of `commit`.
    pub(crate) commits: BTreeMap<ServiceName, CommitSha>,
    pub(crate) notes: Vec<String>,
    pub(crate) no_file: bool,
    /// What the ref stood for; `None` for a release.
    pub(crate) of: Option<ReadRef>,
}

/// What a plan rests on beside what is declared and what runs.
struct Sight<'a> {
    base: &'a Base,
    gaps: &'a Gaps,
    unprobeable: BTreeMap<ServiceName, String>,
}

impl Passes {
    /// Passes over the given parts.
    pub fn new(parts: Parts) -> Self {
        let moved = broadcast::Sender::new(MOVES);
        Passes { parts: Arc::new(parts), seen: Arc::default(), moved, offline: false }
    }

    /// The same; where `offline`, passes of the background ask no registry.
    pub fn offline(self, offline: bool) -> Self {
        Passes { offline, ..self }
    }

    /// Tells of every environment whose latest plan, or the last read of whose file, is another than before.
    pub fn moved(&self) -> broadcast::Receiver<EnvironmentRef> {
        self.moved.subscribe()
    }

    /// Says that what is known of an environment is another than before. Nobody may be listening.
    pub(crate) fn tell_moved(&self, id: &EnvironmentRef) {
        drop(self.moved.send(id.clone()));
    }

    /// The plan of a ref (by default the tracked one's tip), from a fresh look at everything.
    ///
    /// # Errors
    /// [`PassError`]; nothing was changed.
    pub async fn plan(&self, id: &EnvironmentRef, request: &PlanRequest, actor: &str) -> Result<Plan, PassError> {
        let tracked = request.reference.is_none();
        let site = match self.enabled(id).await {
            Err(PassError::Disabled(project)) if tracked => {
                self.note_read(id, &Err(PassError::Disabled(project.clone()))).await?;
                return Err(PassError::Disabled(project));
            }
            site => site?,
        };
        let reading = self.read(&site, request.reference.as_deref(), actor).await;
        if tracked {
            self.note_read(id, &reading).await?;
        }
        let reading = reading?;
        if tracked {
            let registered = self.parts.store.services(id).await?;
            self.seen.keep(&site.project, &site.environment, registered, &reading);
        }
        let base = self.parts.store.base(id).await?;
        let (plan, live) = self.plan_of(&site, reading, request.options.clone(), &base, actor).await?;
        let latest = tracked && plan.options == PlanOptions::default();
        if latest {
            let known = self.known_healths(id).await?;
            self.keep_latest(&plan, &live, &base, &known).await?;
        } else {
            self.parts.store.save_plan(&plan).await?;
        }
        Ok(plan)
    }

    /// The background's pass after a nudge or a moved ref: the tracked tip with default options, kept as what `status`
    /// shows.
    ///
    /// # Errors
    /// [`PassError`]; the read's status is recorded all the same.
    pub async fn refresh(&self, id: &EnvironmentRef) -> Result<Plan, PassError> {
        self.plan(id, &PlanRequest::default(), BACKGROUND).await
    }

    /// The background's look at what runs: as [`Passes::refresh`], but over what was read last, without asking the
    /// repository again. Nothing is written where nothing moved.
    ///
    /// # Errors
    /// [`PassError`].
    pub async fn observe(&self, id: &EnvironmentRef) -> Result<Plan, PassError> {
        let Stored { project, environment, services: registered, base, healths } = self.parts.store.stored(id).await?;
        let site = self.site_of(id, project, environment)?.enabled()?;
        let reading = match self.seen.reading(&site.project, &site.environment, &registered) {
            Some(reading) => Reading::clone(&reading),
            // What is registered has changed since: the same commit is read again, which takes no repository that answers.
            None => match self.read_remembered(&site).await? {
                Some(reading) => {
                    self.seen.keep(&site.project, &site.environment, registered, &reading);
                    reading
                }
                None => return self.refresh(id).await,
            },
        };
        let (plan, live) = self.plan_of(&site, reading, PlanOptions::default(), &base, BACKGROUND).await?;
        self.keep_latest(&plan, &live, &base, &healths).await?;
        Ok(plan)
    }

    /// When an environment was last looked at by this process.
    pub fn looks(&self, id: &EnvironmentRef) -> Looks {
        self.seen.looks(id)
    }

    /// Whether anything that was deployed may be probed; false only where the last look found that nothing is.
    pub(crate) fn may_be_probed(&self, id: &EnvironmentRef) -> bool {
        self.seen.may_be_probed(id)
    }

    /// Forgets what is remembered of an environment that was removed or registered anew.
    pub fn forget(&self, id: &EnvironmentRef) {
        self.seen.forget(id);
    }

    /// The plan back to the release that `to` recorded, by default the one before the present; of these services
    /// only, where they are named.
    ///
    /// # Errors
    /// [`PassError::NoRelease`] where there is none.
    pub async fn rollback_plan(
        &self,
        id: &EnvironmentRef,
        to: Option<RunId>,
        services: Option<BTreeSet<ServiceName>>,
        actor: &str,
    ) -> Result<Plan, PassError> {
        let site = self.enabled(id).await?;
        let run = self.release_to(id, to).await?;
        let reading = self.release(id, run).await?;
        let options = PlanOptions { services, prune: false, rollback_to: Some(run) };
        let base = self.parts.store.base(id).await?;
        let (plan, _) = self.plan_of(&site, reading, options, &base, actor).await?;
        self.parts.store.save_plan(&plan).await?;
        Ok(plan)
    }

    /// Makes a plan again as it was asked for: the gate's recheck.
    ///
    /// # Errors
    /// [`PassError`]; nothing was changed.
    pub async fn again(&self, plan: &Plan, actor: &str) -> Result<Plan, PassError> {
        match plan.options.rollback_to {
            Some(run) => self.rollback_plan(&plan.environment, Some(run), plan.options.services.clone(), actor).await,
            None => {
                let tracked = self.tracked(&plan.environment).await?;
                let reference = (plan.reference != tracked).then(|| plan.reference.clone());
                self.plan(&plan.environment, &PlanRequest { reference, options: plan.options.clone() }, actor).await
            }
        }
    }

    /// Declared × base × live → plan: the one place where a pass becomes a plan. With what runs.
    async fn plan_of(
        &self,
        site: &Site,
        mut reading: Reading,
        options: PlanOptions,
        base: &Base,
        actor: &str,
    ) -> Result<(Plan, Live), PassError> {
        let (gaps, live) = tokio::join!(self.complete(&mut reading.declared, site, actor), site.provider.observe());
        let unprobeable = unprobeable(&*site.provider, &reading.declared).await;
        let sight = Sight { base, gaps: &gaps, unprobeable };
        Ok(self.plan_over(site, reading, options, &sight, live))
    }

    /// The same over what was seen already.
    fn plan_over(
        &self,
        site: &Site,
        reading: Reading,
        options: PlanOptions,
        sight: &Sight<'_>,
        mut live: Live,
    ) -> (Plan, Live) {
        let Reading { declared, reference, commit, commits, mut notes, no_file: _, of: _ } = reading;
        let Sight { base, gaps, unprobeable } = sight;
        // Before they are sealed: masking takes the values themselves.
        mask_words(&mut live, |name, field| declared.holds_secret(name, field) || base.holds_secret(name, field));
        seal(&mut live, &declared, base, &|value| self.parts.secrets.fingerprint(value));
        let drift = compare(&declared, gaps, base, &live, &site.can);
        if options.rollback_to.is_some() {
            notes.push("a rollback uses the recorded images and the secrets of now, and runs no pipelines".to_owned());
        }
        let context = PlanContext {
            environment: site.environment.id.clone(),
            reference,
            commit,
            commits,
            options,
            unprobeable: unprobeable.clone(),
            notes,
            made_at: Timestamp::now(),
        };
        let plan = make(&declared, base, &drift, &site.can, context);
        (plan, live)
    }

    /// The provider of an environment, for reading logs, testing the connection and carrying out steps.
    ///
    /// # Errors
    /// [`PassError`] where the environment is unknown or its settings are not usable.
    pub async fn provider(&self, id: &EnvironmentRef) -> Result<SharedProvider, PassError> {
        Ok(self.site(id).await?.provider)
    }

    /// An environment whose project is not switched off: what is to be read, planned or begun.
    pub(crate) async fn enabled(&self, id: &EnvironmentRef) -> Result<Site, PassError> {
        self.site(id).await?.enabled()
    }

    /// An environment, its project switched off or not: a run that was begun goes on and is settled all the same.
    pub(crate) async fn site(&self, id: &EnvironmentRef) -> Result<Site, PassError> {
        let store = &self.parts.store;
        let (project, environment) = tokio::try_join!(store.project(&id.project), store.environment(id))?;
        self.site_of(id, project, environment)
    }

    /// The same of what was read of both.
    fn site_of(
        &self,
        id: &EnvironmentRef,
        project: Option<Project>,
        environment: Option<Environment>,
    ) -> Result<Site, PassError> {
        let project = project.ok_or_else(|| PassError::NoProject(id.project.clone()))?;
        let environment = environment.ok_or_else(|| PassError::NoEnvironment(id.clone()))?;
        let provider = self
            .parts
            .providers
            .connect(&project, &environment)
            .map_err(|why| PassError::Provider { environment: id.clone(), why })?;
        let can = provider.capabilities();
        Ok(Site { project, environment, provider, can })
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
