//! Carrying out a plan: the gate, the journalled apply, the verification.

pub mod apply;
mod explain;
pub mod gate;
pub mod journal;
pub mod output;
mod service;
pub mod settle;
mod standing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::authority::Actor;
use crate::ids::{EnvironmentRef, RunId, ServiceName};
use crate::pass::Passes;
use crate::plan::Plan;
use crate::store::records::{Run, RunKind, RunLine};
use crate::store::{Store, StoreError};
use crate::sync::apply::Apply;
use crate::sync::gate::{Held, Locks, Refusal, SyncPermit, SyncRequest};
use crate::sync::journal::Boundary;
use crate::sync::output::Output;
use crate::sync::settle::Settle;

/// Starts, follows and settles runs. Cheap to clone.
#[derive(Clone)]
pub struct Syncs {
    store: Store,
    passes: Passes,
    locks: Locks,
    active: Arc<Mutex<BTreeMap<RunId, Active>>>,
    boundary: Option<Arc<dyn Boundary>>,
}

/// A run at work in this process.
struct Active {
    announced: Arc<watch::Sender<u64>>,
    task: Option<JoinHandle<()>>,
}

/// What a request to sync came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// A run was begun.
    Run(RunId),
    /// There was nothing to do: everything is in sync. Names services whose base was recorded anew.
    NothingToDo(Vec<ServiceName>),
}

impl Syncs {
    /// Syncs over a store and passes.
    pub fn new(store: Store, passes: Passes) -> Self {
        Syncs { store, passes, locks: Locks::default(), active: Arc::default(), boundary: None }
    }

    /// The same, told of journal boundaries.
    pub fn with_boundary(mut self, boundary: Arc<dyn Boundary>) -> Self {
        self.boundary = Some(boundary);
        self
    }

    /// Carries out the plan that was confirmed, given by digest or unique prefix, if it is still the plan of now.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was changed.
    pub async fn start(&self, actor: Actor, id: &EnvironmentRef, digest: &str) -> Result<Started, Refusal> {
        let stored = self.store.plan_by_prefix(digest).await?;
        if stored.environment != *id {
            return Err(Refusal::NotAllowed(format!("plan {digest} is for {}, not for {id}", stored.environment)));
        }
        let kind = match stored.options.rollback_to {
            Some(_) => RunKind::Rollback,
            None => RunKind::Sync,
        };
        let name = actor.name.clone();
        let request = SyncRequest {
            actor,
            environment: id.clone(),
            confirmed: stored.digest.clone(),
            kind,
            at: Timestamp::now(),
        };
        request.authorise()?;
        let again = async {
            let plan = self.passes.again(&stored, &name).await.map_err(|error| Refusal::Replan(error.to_string()))?;
            self.check_commit(id, &plan, &name).await?;
            Ok::<Plan, Refusal>(plan)
        };
        if stored.actions.is_empty() {
            let (lock, plan) = gate::recheck(&self.locks, &request, again).await?;
            self.store.require_settled(id).await?;
            return Ok(Started::NothingToDo(self.adopt(&plan, &lock).await?));
        }
        if stored.feasible().next().is_none() {
            return Err(Refusal::NotAllowed(format!(
                "nothing of plan {} can be carried out: every action is blocked",
                stored.digest.short()
            )));
        }
        let (permit, plan) = gate::admit(&self.store, &self.locks, request, again).await?;
        Ok(Started::Run(self.spawn(permit, plan, name)))
    }

    /// Only commits reachable from the tracked ref sync, unless the operator allowed others.
    async fn check_commit(&self, id: &EnvironmentRef, plan: &Plan, actor: &str) -> Result<(), Refusal> {
        let (Some(commit), None) = (&plan.commit, plan.options.rollback_to) else { return Ok(()) };
        let may = self.passes.may_sync(id, commit, actor).await.map_err(|error| Refusal::Replan(error.to_string()))?;
        if may {
            return Ok(());
        }
        Err(Refusal::NotAllowed(format!(
            "{} is not reachable from the ref that {id} tracks, and only such commits sync; merge it, or let an admin run `trueup env set {id} --allow-untracked`",
            commit.short()
        )))
    }

    /// Records base for services that are found in sync and whose record says otherwise; under the environment's lock, so
    /// that it never writes over what a run records.
    async fn adopt(&self, plan: &Plan, lock: &Held) -> Result<Vec<ServiceName>, StoreError> {
        debug_assert_eq!(*lock.environment(), plan.environment, "the lock is another environment's");
        let base = self.store.base(&plan.environment).await?;
        let applied = plan.applied(None, Timestamp::now());
        let mut adopted = Vec::new();
        for name in &plan.in_sync {
            let Some(found) = applied.services.get(name) else { continue };
            if base.services.get(name).is_some_and(|known| known.leaves == found.leaves) {
                continue;
            }
            self.store.record_base(&plan.environment, name, found.clone()).await?;
            adopted.push(name.clone());
        }
        Ok(adopted)
    }

    /// Forgets the base of services that are neither declared nor running any more. Only within a run: its release is then
    /// recorded without them, and what an earlier one recorded stays as it was.
    async fn forget_gone(&self, plan: &Plan) -> Result<(), StoreError> {
        // A service that runs and could not be seen is no orphan in this plan, and keeps its record.
        let seen = plan.unknowns.iter().all(|unknown| unknown.service.is_some());
        if !seen || plan.options.services.is_some() || plan.desired.is_empty() {
            return Ok(());
        }
        let base = self.store.base(&plan.environment).await?;
        let gone = |name: &&ServiceName| !plan.desired.contains_key(*name) && !plan.orphans.contains(name);
        for name in base.services.keys().filter(gone) {
            self.store.forget_base(&plan.environment, name).await?;
        }
        Ok(())
    }

    fn spawn(&self, permit: SyncPermit, plan: Plan, actor: String) -> RunId {
        let run = permit.run();
        let announced = Arc::new(watch::Sender::new(0));
        let syncs = self.clone();
        let announce = Arc::clone(&announced);
        let mut active = self.active();
        let task = tokio::spawn(async move {
            let work = {
                let syncs = syncs.clone();
                tokio::spawn(async move { syncs.carry_out(permit, plan, actor, announce).await })
            };
            // Should the work die, the run stays unfinished and is settled like any other that was interrupted.
            if let Err(error) = work.await {
                tracing::error!(%run, %error, "the run broke off");
            }
            syncs.active().remove(&run);
        });
        active.insert(run, Active { announced, task: Some(task) });
        run
    }

    async fn carry_out(&self, permit: SyncPermit, plan: Plan, actor: String, announced: Arc<watch::Sender<u64>>) {
        let run = permit.run();
        let (output, writer) = Output::open(self.store.clone(), run, announced);
        let apply =
            Apply { store: self.store.clone(), passes: self.passes.clone(), output, boundary: self.boundary.clone() };
        let applied = apply.run(&permit, &plan, &actor).await;
        if applied.finish().is_some() {
            // What was in sync without a record gets one with the rest.
            if let Err(error) = self.adopt(&plan, permit.lock()).await {
                tracing::error!(%run, %error, "what is in sync could not be recorded");
            }
            if let Err(error) = self.forget_gone(&plan).await {
                tracing::error!(%run, %error, "what is gone could not be recorded");
            }
        }
        drop(apply);
        if let Err(error) = writer.await {
            tracing::error!(%run, %error, "the run's output ended early");
        }
        if let Some((state, summary)) = applied.finish()
            && let Err(error) = self.store.finish_run(run, state, summary, Timestamp::now()).await
        {
            tracing::error!(%run, %error, "the run's end could not be recorded; it is settled at the next start");
        }
        drop(permit);
        if let Err(error) = self.passes.refresh(&plan.environment).await {
            tracing::warn!(environment = %plan.environment, %error, "the state after the run could not be read");
        }
        // Also where the plan is the same as before: that the run failed is news.
        self.passes.tell_moved(&plan.environment);
    }

    /// Settles every unfinished run that no task of this process carries out. Called at start and again while any is left.
    ///
    /// # Errors
    /// The database failed. What could not be settled yet is logged and stays unfinished.
    pub async fn settle(&self) -> Result<Vec<RunId>, StoreError> {
        let mut left = Vec::new();
        for run in self.store.unfinished_runs().await? {
            if self.active().contains_key(&run.id) {
                continue;
            }
            if let Err(why) = self.settle_one(&run).await {
                tracing::warn!(run = %run.id, environment = %run.environment, why, "an interrupted run is not settled yet");
                left.push(run.id);
            }
        }
        Ok(left)
    }

    async fn settle_one(&self, run: &Run) -> Result<(), String> {
        let permit = gate::resume(&self.locks, run).map_err(|error| error.to_string())?;
        let provider = self.passes.provider(&run.environment).await.map_err(|error| error.to_string())?;
        let (output, writer) = Output::open(self.store.clone(), run.id, Arc::new(watch::Sender::new(0)));
        let settle =
            Settle { store: &self.store, passes: &self.passes, provider: &*provider, permit: &permit, output: &output };
        let result = settle.run(run).await;
        drop(output);
        writer.await.map_err(|error| error.to_string())?;
        let summary = result.map_err(|error| error.to_string())?;
        tracing::info!(run = %run.id, environment = %run.environment, summary, "an interrupted run is settled");
        Ok(())
    }

    /// A run's lines after `seq`, waiting for more while it is at work; `None` once it is over and all were given.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lines_after(&self, run: RunId, seq: u64) -> Result<Option<Vec<RunLine>>, StoreError> {
        loop {
            let announced = self.active().get(&run).map(|active| active.announced.subscribe());
            let lines = self.store.lines(run, seq).await?;
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
            let Some(mut announced) = announced else { return Ok(None) };
            let more = async { announced.wait_for(|last| *last > seq).await.is_ok() };
            // The channel closes with the run; a bounded wait lets a follower notice in any case.
            if !tokio::time::timeout(Duration::from_secs(15), more).await.unwrap_or(true) {
                let lines = self.store.lines(run, seq).await?;
                return Ok(if lines.is_empty() { None } else { Some(lines) });
            }
        }
    }

    /// Waits for the runs at work, at most `patience`; what is left is settled at the next start.
    pub async fn drain(&self, patience: Duration) {
        let tasks: Vec<JoinHandle<()>> = self.active().values_mut().filter_map(|active| active.task.take()).collect();
        let all = futures_util::future::join_all(tasks);
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("a run is still at work; it is settled at the next start");
        }
    }

    /// Whether a run is at work in this process.
    pub fn is_active(&self, run: RunId) -> bool {
        self.active().contains_key(&run)
    }

    fn active(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunId, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
