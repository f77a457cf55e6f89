//! Permits for tests, got the only way there is: from the gate, over a real store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tempfile::TempDir;
use trueup::authority::{Actor, Role};
use trueup::ids::{EnvironmentRef, PlanDigest};
use trueup::plan::{PLAN_FORMAT, Plan, PlanOptions};
use trueup::store::Store;
use trueup::store::records::{Environment, Project, RunKind, RunState};
use trueup::sync::gate::{Locks, SyncPermit, SyncRequest, admit};

/// A store that knows one environment, and its gate.
pub struct Gate {
    pub store: Store,
    locks: Locks,
    environment: EnvironmentRef,
    provider: &'static str,
    _directory: TempDir,
}

impl Gate {
    pub async fn open(environment: &EnvironmentRef, provider: &'static str) -> Gate {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let project = Project {
            name: environment.project.clone(),
            url: "https://git.acme.dev/shop.git".into(),
            auth: None,
            user: None,
            tracked: None,
            config_path: ".trueup.yml".into(),
            disabled: false,
            webhook_secret: None,
            integration: None,
            repository: None,
            created_at: Timestamp::now(),
        };
        store.add_project(project).await.unwrap();
        let registered = Environment {
            id: environment.clone(),
            provider: provider.into(),
            settings: BTreeMap::new(),
            tracked: None,
            secrets: BTreeMap::new(),
            values: BTreeMap::new(),
            allow_host_paths: vec![],
            allow_untracked: false,
            report_detail: Default::default(),
            plan_forks: false,
            drift_issue: false,
            comment_commands: Default::default(),
            run_as: None,
            created_at: Timestamp::now(),
        };
        store.add_environment(registered).await.unwrap();
        Gate { store, locks: Locks::default(), environment: environment.clone(), provider, _directory: directory }
    }

    /// Begins a run and returns its permit. The run of an earlier permit must be finished.
    pub async fn permit(&self) -> SyncPermit {
        let digest: PlanDigest = "d".repeat(64).parse().unwrap();
        let request = SyncRequest {
            actor: Actor { name: "tester".into(), role: Role::Operator },
            environment: self.environment.clone(),
            confirmed: digest.clone(),
            kind: RunKind::Sync,
            at: Timestamp::now(),
        };
        let plan = empty_plan(&self.environment, self.provider, digest);
        admit(&self.store, &self.locks, request, async { Ok(plan) }).await.unwrap().0
    }

    /// Ends a permit's run.
    pub async fn finish(&self, permit: SyncPermit) {
        self.store.finish_run(permit.run(), RunState::Succeeded, "done", Timestamp::now()).await.unwrap();
    }
}

fn empty_plan(environment: &EnvironmentRef, provider: &str, digest: PlanDigest) -> Plan {
    Plan {
        format: PLAN_FORMAT,
        environment: environment.clone(),
        provider: provider.into(),
        reference: "main".into(),
        commit: None,
        commits: Default::default(),
        options: PlanOptions::default(),
        actions: vec![],
        unknowns: vec![],
        suppressed: vec![],
        orphans: vec![],
        in_sync: vec![],
        notes: vec![],
        desired: BTreeMap::new(),
        made_at: Timestamp::now(),
        digest,
    }
}
