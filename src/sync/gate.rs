//! The one way to a [`SyncPermit`], without which nothing outside Trueup can be changed.
//!
//! A permit is given after an explicit request by someone who may, under the environment's lock, and after the plan was
//! made again and found to be the one that was confirmed. It is persisted with its run before it exists in memory.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;

use crate::authority::{Actor, Denied, Operation, authorise};
use crate::ids::{EnvironmentRef, PlanDigest, RunId};
use crate::plan::Plan;
use crate::store::records::{Run, RunKind, RunState};
use crate::store::{RunStart, Store, StoreError};

/// The authority to carry out one plan on one environment within one run. Only this module constructs it, and it
/// cannot be cloned.
#[derive(Debug)]
pub struct SyncPermit {
    run: RunId,
    plan: PlanDigest,
    // Held for as long as the permit lives: no second run of the environment.
    lock: Held,
}

/// An environment's lock, held: nobody else syncs it meanwhile. Whoever writes what the environment is known by demands
/// one, so that it cannot be forgotten.
#[derive(Debug)]
pub struct Held {
    environment: EnvironmentRef,
    _lock: OwnedMutexGuard<()>,
}

impl Held {
    /// The environment that it is for.
    pub fn environment(&self) -> &EnvironmentRef {
        &self.environment
    }
}

impl SyncPermit {
    /// The run it belongs to.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The environment it is for.
    pub fn environment(&self) -> &EnvironmentRef {
        &self.lock.environment
    }

    /// The environment's lock, which it holds.
    pub fn lock(&self) -> &Held {
        &self.lock
    }

    /// The plan it allows.
    pub fn plan(&self) -> &PlanDigest {
        &self.plan
    }
}

/// One lock per environment, for the life of the process.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    locks: Arc<Mutex<BTreeMap<EnvironmentRef, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Locks {
    fn try_lock(&self, environment: &EnvironmentRef) -> Result<Held, Refusal> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(environment.clone()).or_default())
        };
        match lock.try_lock_owned() {
            Ok(lock) => Ok(Held { environment: environment.clone(), _lock: lock }),
            Err(_) => Err(Refusal::Busy(environment.clone())),
        }
    }
}

/// Why a sync was not admitted. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The actor may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Another run of the environment is being carried out.
    #[error("another sync of {0} is being carried out; `trueup status {0}` shows it")]
    Busy(EnvironmentRef),
    /// The plan that was confirmed is not the plan of now.
    #[error("what plan {} rests on has moved; the plan is now {}", .confirmed.short(), .current.digest.short())]
    Moved {
        /// The plan that was confirmed.
        confirmed: PlanDigest,
        /// The plan of now.
        current: Box<Plan>,
    },
    /// The plan could not be made again.
    #[error("the plan could not be made again: {0}")]
    Replan(String),
    /// The commit is not one that may be deployed here.
    #[error("{0}")]
    NotAllowed(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A request to carry out a plan that someone confirmed.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// Who asks.
    pub actor: Actor,
    /// Where.
    pub environment: EnvironmentRef,
    /// The plan they confirmed.
    pub confirmed: PlanDigest,
    /// Sync or rollback.
    pub kind: RunKind,
    /// When.
    pub at: Timestamp,
}

impl SyncRequest {
    /// Whether who asks may.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn authorise(&self) -> Result<(), Denied> {
        let operation = match self.kind {
            RunKind::Sync => Operation::Sync,
            RunKind::Rollback => Operation::Rollback,
        };
        authorise(&self.actor, operation)
    }
}

/// Authority, lock and recheck: what every sync passes, one with nothing to do among them.
///
/// `replan` makes the plan again from fresh observations; it also refuses commits that may not be deployed.
///
/// # Errors
/// [`Refusal`]; nothing was changed.
pub async fn recheck<F>(locks: &Locks, request: &SyncRequest, replan: F) -> Result<(Held, Plan), Refusal>
where
    F: Future<Output = Result<Plan, Refusal>>,
{
    request.authorise()?;
    let lock = locks.try_lock(&request.environment)?;
    let plan = replan.await?;
    if plan.digest != request.confirmed {
        return Err(Refusal::Moved { confirmed: request.confirmed.clone(), current: Box::new(plan) });
    }
    Ok((lock, plan))
}

/// Admits a sync that has something to do: [`recheck`], and only then a run and its permit.
///
/// # Errors
/// [`Refusal`]; nothing was changed.
pub async fn admit<F>(
    store: &Store,
    locks: &Locks,
    request: SyncRequest,
    replan: F,
) -> Result<(SyncPermit, Plan), Refusal>
where
    F: Future<Output = Result<Plan, Refusal>>,
{
    let (lock, plan) = recheck(locks, &request, replan).await?;
    let run = store
        .begin_run(RunStart {
            environment: request.environment,
            plan: plan.digest.clone(),
            commit: plan.commit.clone(),
            kind: request.kind,
            actor: request.actor,
            at: request.at,
        })
        .await?;
    Ok((SyncPermit { run, plan: plan.digest.clone(), lock }, plan))
}

/// The permit of a run that a crash interrupted, from its persisted row, so that it can be settled.
///
/// # Errors
/// [`Refusal::Busy`] where the run is not unfinished or its environment is locked.
pub fn resume(locks: &Locks, run: &Run) -> Result<SyncPermit, Refusal> {
    if run.state != RunState::Running {
        return Err(Refusal::Busy(run.environment.clone()));
    }
    Ok(SyncPermit { run: run.id, plan: run.plan.clone(), lock: locks.try_lock(&run.environment)? })
}
