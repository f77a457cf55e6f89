//! Trueup's own parts over temporary state, one environment `shop/production`, and the runtime in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use trueup::audit::Audit;
use trueup::authority::{Actor, Role};
use trueup::git::{Git, GitSettings};
use trueup::ids::{EnvironmentRef, RunId};
use trueup::pass::{Parts, Passes, PlanRequest};
use trueup::plan::{Plan, PlanOptions};
use trueup::provider::Connect;
use trueup::secret::Secrets;
use trueup::store::records::{Environment, Project, Run};
use trueup::store::{Store, StoreError};
use trueup::sync::gate::Refusal;
use trueup::sync::journal::Boundary;
use trueup::sync::{Started, Syncs};

use crate::world::repo::Repo;
use crate::world::runtime::Runtime;

/// Everything a test of the flow needs.
pub struct House {
    pub repo: Repo,
    pub runtime: Runtime,
    pub store: Store,
    pub passes: Passes,
    pub syncs: Syncs,
    pub state: TempDir,
    pub id: EnvironmentRef,
}

/// Someone who may sync.
pub fn operator() -> Actor {
    Actor { name: "olga".into(), role: Role::Operator }
}

/// A file that declares these services (indented as under `services:`).
pub fn file(services: &str) -> String {
    file_for("production", services)
}

/// The same for an environment of another name.
pub fn file_for(environment: &str, services: &str) -> String {
    let indented: String = services.lines().map(|line| format!("      {line}\n")).collect();
    format!("version: 1\nenvironments:\n  {environment}:\n    services:\n{indented}")
}

/// A directory that is gone when dropped; in memory where that is possible, so that no test waits for a disk.
pub fn scratch() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    match tempfile::tempdir_in(memory) {
        Ok(directory) => directory,
        Err(_) => tempfile::tempdir().unwrap(),
    }
}

/// An environment as an operator registers it.
pub fn environment(id: &EnvironmentRef, provider: &str, settings: &[(&str, &str)]) -> Environment {
    Environment {
        id: id.clone(),
        provider: provider.into(),
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        tracked: None,
        secrets: Default::default(),
        values: Default::default(),
        allow_host_paths: Vec::new(),
        allow_untracked: false,
        report_detail: Default::default(),
        plan_forks: false,
        drift_issue: false,
        comment_commands: Default::default(),
        run_as: None,
        created_at: Timestamp::now(),
    }
}

/// What a daemon opens at its start: a state directory, with providers that `connect` makes.
pub fn open(
    state: &Path,
    connect: impl FnOnce(Git, Secrets) -> Arc<dyn Connect>,
) -> Result<(Store, Passes, Syncs), StoreError> {
    let store = Store::open(state)?;
    let secrets = Secrets::new(Arc::new(Audit::new(store.clone())), state).unwrap();
    let git = Git::new(GitSettings::new(state.join("mirrors")));
    let providers = connect(git.clone(), secrets.clone());
    let passes = Passes::new(Parts { store: store.clone(), git, secrets, providers });
    let syncs = Syncs::new(store.clone(), passes.clone());
    Ok((store, passes, syncs))
}

impl House {
    /// A house whose repository's first commit declares `services`.
    pub async fn new(services: &str) -> Self {
        let id = "shop/production".parse().unwrap();
        let runtime = Runtime::default();
        let connect = Arc::new(runtime.clone());
        House { runtime, ..House::build(environment(&id, "memory", &[]), services, |_, _| connect).await }
    }

    /// A house over any providers.
    pub async fn build(
        environment: Environment,
        services: &str,
        connect: impl FnOnce(Git, Secrets) -> Arc<dyn Connect>,
    ) -> Self {
        let repo = Repo::new();
        let id = environment.id.clone();
        repo.commit(".trueup.yml", &file_for(id.environment.as_str(), services));
        let state = scratch();
        let (store, passes, syncs) = open(state.path(), connect).unwrap();
        let project = Project {
            name: id.project.clone(),
            url: repo.url(),
            auth: None,
            user: None,
            tracked: Some("main".into()),
            config_path: ".trueup.yml".into(),
            disabled: false,
            webhook_secret: None,
            integration: None,
            repository: None,
            created_at: Timestamp::now(),
        };
        store.add_project(project).await.unwrap();
        store.add_environment(environment).await.unwrap();
        House { repo, runtime: Runtime::default(), store, passes, syncs, state, id }
    }

    /// The same house with its syncs told of journal boundaries.
    pub fn watched(mut self, boundary: Arc<dyn Boundary>) -> Self {
        self.syncs = self.syncs.with_boundary(boundary);
        self
    }

    /// Commits another declaration.
    pub fn declare(&self, services: &str) {
        self.repo.commit(".trueup.yml", &file_for(self.id.environment.as_str(), services));
    }

    /// The plan of now.
    pub async fn plan(&self) -> Plan {
        self.plan_with(PlanOptions::default()).await
    }

    /// The plan of now with options.
    pub async fn plan_with(&self, options: PlanOptions) -> Plan {
        let request = PlanRequest { reference: None, options };
        self.passes.plan(&self.id, &request, "olga").await.unwrap()
    }

    /// Confirms a plan and waits for its run's end.
    pub async fn carry_out(&self, plan: &Plan) -> Run {
        match self.start(plan).await.unwrap() {
            Started::Run(run) => self.ended(run).await,
            Started::NothingToDo(_) => panic!("there was nothing to do"),
        }
    }

    /// Confirms a plan.
    pub async fn start(&self, plan: &Plan) -> Result<Started, Refusal> {
        self.syncs.start(operator(), &self.id, plan.digest.as_str()).await
    }

    /// Plans, confirms, waits.
    pub async fn sync(&self) -> Run {
        let plan = self.plan().await;
        self.carry_out(&plan).await
    }

    /// Waits until a run's task is over, at most a minute.
    pub async fn ended(&self, run: RunId) -> Run {
        tokio::time::timeout(Duration::from_secs(60), self.syncs.drain(Duration::from_secs(60))).await.unwrap();
        self.store.run(run).await.unwrap().unwrap()
    }

    /// A run's output, one line a line.
    pub async fn output(&self, run: RunId) -> String {
        self.store.lines(run, 0).await.unwrap().into_iter().map(|line| line.text + "\n").collect()
    }
}
