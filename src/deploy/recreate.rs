//! The strategy `recreate`: everything new is prepared, the old stops, the new starts and must pass its health check;
//! if anything fails before that, the old runs again as it was.
//!
//! The same steps carry out changes in place (values are set, and set back on failure), scaling and removal.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use crate::deploy::check::check_of;
use crate::deploy::health_gate::{self, GateFailure, Made};
use crate::deploy::moves::Moves;
use crate::deploy::undo::{Attempt, DeployError, Stop, gone_is_done};
use crate::ids::{CommitSha, SecretName, ServiceName};
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::live::{LiveReplica, LiveService, Observed, ReplicaId};
use crate::plan::{Action, ActionKind};
use crate::provider::{Progress, Provider, ReplicaSpec, StepError};
use crate::sync::gate::SyncPermit;
use crate::sync::journal::{Journal, Step};

/// Everything that carrying out one service's action takes.
pub struct Deployment<'a> {
    /// Where it runs.
    pub provider: &'a dyn Provider,
    /// The authority.
    pub permit: &'a SyncPermit,
    /// Where each step is written before it is taken.
    pub journal: &'a Journal,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// The action.
    pub action: &'a Action,
    /// The declared leaves.
    pub leaves: &'a BTreeMap<FieldPath, Value>,
    /// The leaves that base has and the file no longer writes.
    pub withdrawn: &'a BTreeSet<FieldPath>,
    /// The values of the secrets that the leaves name.
    pub secrets: &'a BTreeMap<SecretName, SecretString>,
    /// The commit that declares it.
    pub commit: Option<&'a CommitSha>,
    /// What runs now.
    pub live: &'a LiveService,
}

impl Deployment<'_> {
    /// Carries the action out.
    ///
    /// # Errors
    /// [`DeployError`], after what ran before was brought back as far as that was possible.
    pub async fn run(&self) -> Result<(), DeployError> {
        let mut attempt = Attempt::default();
        let result = match self.action.kind {
            ActionKind::Record => Ok(()),
            ActionKind::Delete => self.delete(&mut attempt).await,
            ActionKind::InPlace => self.change_in_place(&mut attempt).await,
            ActionKind::Create | ActionKind::Replace => self.exchange(&mut attempt).await,
        };
        match result {
            Ok(()) => Ok(()),
            Err(stop) => Err(self.undo(stop, attempt).await),
        }
    }

    pub(super) fn service(&self) -> &ServiceName {
        &self.action.service
    }

    /// Prepare, stop, start, gate, switch, remove.
    async fn exchange(&self, attempt: &mut Attempt) -> Result<(), Stop> {
        let moves = self.moves();
        self.bring_up(&moves, attempt).await?;
        let stays =
            |replica: &&LiveReplica| !moves.retire.contains(&replica.id) && !moves.surplus.contains(&replica.id);
        for replica in self.live.replicas.iter().filter(stays) {
            self.update(replica, attempt).await?;
        }
        self.journal.step::<_, Stop, _>(self.service(), Step::Switch, async { Ok(()) }).await?;
        attempt.switched = true;
        attempt.leaving = moves.retire.iter().chain(&moves.surplus).cloned().collect();
        self.clear(attempt).await
    }

    /// Removes what is to go. One that the engine will not remove keeps no other from going.
    ///
    /// # Errors
    /// The first that did not go; all of them are still in `attempt.leaving`.
    async fn clear(&self, attempt: &mut Attempt) -> Result<(), Stop> {
        let mut first = None;
        let mut leaving = std::mem::take(&mut attempt.leaving).into_iter();
        while let Some(replica) = leaving.next() {
            // Of what made way it is told that it stopped.
            if !attempt.stopped.contains(&replica) {
                self.progress.line(&format!("{}: removing {}", self.service(), self.name_of(&replica)));
            }
            let Err(stop) = self.remove(&replica).await else { continue };
            attempt.leaving.push(replica);
            if stop.out_of_reach() {
                attempt.leaving.extend(leaving);
                return Err(stop);
            }
            first.get_or_insert(stop);
        }
        first.map_or(Ok(()), Err)
    }

    async fn bring_up(&self, moves: &Moves, attempt: &mut Attempt) -> Result<(), Stop> {
        let first_new = attempt.prepared.len();
        for (index, from) in &moves.make {
            let id = self.prepare(*index, from.as_ref()).await?;
            attempt.prepared.push(id);
        }
        for replica in &moves.retire {
            attempt.stopped.push(replica.clone());
            self.progress.line(&format!("{}: stopping {}", self.service(), self.name_of(replica)));
            let step = Step::Stop { replica: replica.clone() };
            gone_is_done(self.step(step, self.provider.stop(self.permit, replica)).await)?;
        }
        let made: Vec<ReplicaId> = attempt.prepared[first_new..].to_vec();
        for replica in &made {
            attempt.failed = Some(replica.clone());
            let step = Step::Start { replica: replica.clone() };
            self.step(step, self.provider.start(self.permit, replica)).await?;
        }
        for replica in &made {
            attempt.failed = Some(replica.clone());
            self.gate(replica, Made::ByThisRun).await?;
        }
        attempt.failed = None;
        Ok(())
    }

    /// Sets values, starts what is stopped, scales.
    async fn change_in_place(&self, attempt: &mut Attempt) -> Result<(), Stop> {
        let moves = self.moves();
        let kept = |replica: &&LiveReplica| !moves.surplus.contains(&replica.id);
        for replica in self.live.replicas.iter().filter(kept) {
            self.update(replica, attempt).await?;
        }
        self.bring_up(&moves, attempt).await?;
        if moves.surplus.is_empty() {
            return Ok(());
        }
        // All that was to be set or made is by now: what is left is to be removed, and nothing to be taken back.
        attempt.switched = true;
        attempt.leaving = moves.surplus;
        self.clear(attempt).await
    }

    async fn update(&self, replica: &LiveReplica, attempt: &mut Attempt) -> Result<(), Stop> {
        let concerns = |change: &&crate::plan::Change| {
            change.replicas.is_empty() || change.replicas.iter().any(|differing| differing.name == replica.name)
        };
        let mut wanted = BTreeMap::new();
        let mut before = BTreeMap::new();
        let mut start = false;
        for change in self.action.changes.iter().filter(concerns) {
            match (&change.field, change.effect, change.kind, &change.declared) {
                (FieldPath::Stopped, ..) => start = true,
                (FieldPath::Replicas, ..) => {}
                (field, Effect::InPlace, ChangeKind::Set, Some(value)) => {
                    wanted.insert(field.clone(), value.clone());
                    if let Some(Observed::Known(leaf)) = replica.leaves.get(field) {
                        before.insert(field.clone(), leaf.value.clone());
                    }
                }
                (_, Effect::InPlace | Effect::Record | Effect::Replace, ChangeKind::Set | ChangeKind::Withdraw, _) => {}
            }
        }
        if !wanted.is_empty() {
            let fields: Vec<FieldPath> = wanted.keys().cloned().collect();
            let names: Vec<String> = fields.iter().map(ToString::to_string).collect();
            self.progress.line(&format!("{}: setting {} of {}", self.service(), names.join(", "), replica.name));
            let had: BTreeSet<FieldPath> = before.keys().cloned().collect();
            attempt.updated.push((replica.id.clone(), before));
            let step = Step::Update { replica: replica.id.clone(), fields };
            self.step(step, self.provider.update(self.permit, &replica.id, &wanted)).await?;
            let unset = wanted.keys().filter(|field| !had.contains(*field));
            attempt.set_for_good.extend(unset.map(|field| format!("{}'s {field}", replica.name)));
        }
        if start {
            self.progress.line(&format!("{}: starting {}", self.service(), replica.name));
            let step = Step::Start { replica: replica.id.clone() };
            self.step(step, self.provider.start(self.permit, &replica.id)).await?;
        }
        if start || !wanted.is_empty() {
            attempt.failed = Some(replica.id.clone());
            self.gate(&replica.id, Made::Before).await?;
            attempt.failed = None;
        }
        Ok(())
    }

    async fn delete(&self, attempt: &mut Attempt) -> Result<(), Stop> {
        attempt.switched = true;
        attempt.leaving = self.live.replicas.iter().map(|replica| replica.id.clone()).collect();
        self.clear(attempt).await
    }

    async fn prepare(&self, index: u32, from: Option<&ReplicaId>) -> Result<ReplicaId, Stop> {
        self.progress.line(&format!("{}: preparing replica {index}", self.service()));
        let spec = ReplicaSpec {
            service: self.service(),
            index,
            release: self.permit.run(),
            commit: self.commit,
            leaves: self.leaves,
            withdrawn: self.withdrawn,
            secrets: self.secrets,
            from,
        };
        let beside = self.live.replicas.iter().map(|replica| replica.id.clone()).collect();
        let step = Step::Prepare { index, from: from.cloned(), beside };
        self.step(step, self.provider.prepare(self.permit, &spec, self.progress)).await
    }

    async fn gate(&self, replica: &ReplicaId, made: Made) -> Result<(), Stop> {
        let check = check_of(|field| self.leaves.get(field));
        self.progress.line(&format!("{}: waiting for {} to be healthy", self.service(), self.name_of(replica)));
        let gate = async {
            health_gate::pass(self.provider, replica, &check, made).await.map_err(|failure| match failure {
                GateFailure::Unseen(why) => Stop::Step(StepError::Unreachable(why)),
                GateFailure::Ended(_) | GateFailure::Unhealthy { .. } | GateFailure::Impossible(_) => {
                    Stop::Gate(format!("{} is not healthy: {failure}", self.name_of(replica)))
                }
            })
        };
        self.journal.step(self.service(), Step::Gate { replica: replica.clone() }, gate).await
    }

    async fn remove(&self, replica: &ReplicaId) -> Result<(), Stop> {
        let step = Step::Remove { replica: replica.clone() };
        gone_is_done(self.step(step, self.provider.remove(self.permit, replica)).await)
    }

    pub(super) async fn step<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, Stop> {
        self.journal.step(self.service(), step, async { work.await.map_err(Stop::Step) }).await
    }

    pub(super) fn name_of(&self, replica: &ReplicaId) -> String {
        let known = self.live.replicas.iter().find(|live| live.id == *replica);
        let left_over = || self.live.left_over().contains(replica);
        match known {
            None => format!("the new replica of {}", self.service()),
            Some(live) if left_over() => format!("{}, left of an earlier release", live.name),
            Some(live) => live.name.clone(),
        }
    }
}
