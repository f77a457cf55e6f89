//! The strategy `recreate`: everything new is prepared, the old stops, the new starts and must pass its health check;
//! if anything fails before that, the old runs again as it was.
//!
//! The same steps carry out changes in place (values are set, and set back on failure), scaling and removal.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use crate::deploy::check::check_of;
use crate::deploy::health_gate::{self, GateFailure, Made};
use crate::ids::{CommitSha, SecretName, ServiceName};
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::live::{LiveReplica, LiveService, Observed, ReplicaId};
use crate::plan::{Action, ActionKind};
use crate::provider::{Progress, Provider, ReplicaSpec, StepError};
use crate::store::StoreError;
use crate::sync::gate::SyncPermit;
use crate::sync::journal::{Journal, Step};

/// How many of a failed replica's last output lines go into the run's report.
const TAIL: usize = 20;

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

/// Why a deploy failed, and what became of what ran before.
#[derive(Debug, thiserror::Error)]
#[error("{why}; {aftermath}")]
pub struct DeployError {
    /// The reason.
    pub why: String,
    /// What runs now.
    pub aftermath: Aftermath,
    /// The failed replica's last output, oldest first; the caller masks secrets.
    pub tail: Vec<String>,
}

/// What became of what ran before a failed deploy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Aftermath {
    /// It was never touched.
    #[error("nothing that runs was touched")]
    Untouched,
    /// It was changed and runs again as it was.
    #[error("what ran before runs again as it was")]
    Restored,
    /// The new release passed; only cleaning up after the old failed.
    #[error("what is left of the old could not be removed")]
    Switched,
    /// It could not be brought back.
    #[error("what ran before could not be brought back: {0}")]
    Broken(String),
    /// The provider or the journal is out of reach; the run is settled when it answers again.
    #[error("the run is parked and settled as soon as that is possible")]
    Parked,
}

/// What ends an attempt early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error("{0}")]
    Gate(String),
    #[error("the journal could not be written")]
    Store(#[from] StoreError),
}

impl Stop {
    fn out_of_reach(&self) -> bool {
        matches!(self, Stop::Step(StepError::Unreachable(_)) | Stop::Store(_))
    }
}

/// What an attempt has done so far, and so what must be undone.
#[derive(Default)]
struct Attempt {
    prepared: Vec<ReplicaId>,
    stopped: Vec<ReplicaId>,
    updated: Vec<(ReplicaId, BTreeMap<FieldPath, Value>)>,
    /// Leaves that got a value in place where there was none, as `web-1's resources.memory_limit`: they cannot be unset
    /// while the replica runs.
    set_for_good: Vec<String>,
    failed: Option<ReplicaId>,
    switched: bool,
}

/// Which replicas are made, and which go.
#[derive(Debug, PartialEq, Eq)]
struct Moves {
    /// New replicas: their number and the replica they take over from.
    make: Vec<(u32, Option<ReplicaId>)>,
    /// Old replicas that are stopped before the new start.
    retire: Vec<ReplicaId>,
    /// Old replicas beyond the declared count.
    surplus: Vec<ReplicaId>,
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

    fn service(&self) -> &ServiceName {
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
        for replica in moves.retire.iter().chain(&moves.surplus) {
            self.remove(replica).await?;
        }
        Ok(())
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

    /// Which replicas are exchanged: those that differ in a leaf that forces it, or all of them.
    fn moves(&self) -> Moves {
        let mut old: Vec<&LiveReplica> = self.live.replicas.iter().collect();
        old.sort_by_key(|replica| replica.index);
        let wanted = match self.leaves.get(&FieldPath::Replicas) {
            Some(Value::Integer(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
            // A count that is withdrawn returns to the default; one that was never declared is nobody's business.
            _ if self.withdrawn.contains(&FieldPath::Replicas) => 1,
            _ => old.len().max(1),
        };
        let surplus: Vec<ReplicaId> = old.iter().skip(wanted).map(|replica| replica.id.clone()).collect();
        old.truncate(wanted);
        let exchanged: Vec<&LiveReplica> = match self.action.kind {
            ActionKind::Replace => old.iter().copied().filter(|replica| self.must_go(replica)).collect(),
            ActionKind::Create | ActionKind::InPlace | ActionKind::Delete | ActionKind::Record => Vec::new(),
        };
        let mut make: Vec<(u32, Option<ReplicaId>)> =
            exchanged.iter().map(|replica| (replica.index, Some(replica.id.clone()))).collect();
        let taken: BTreeSet<u32> = old.iter().map(|replica| replica.index).collect();
        let model = old.first().map(|replica| replica.id.clone());
        let free = (1..).filter(|index| !taken.contains(index));
        make.extend(free.take(wanted.saturating_sub(old.len())).map(|index| (index, model.clone())));
        Moves { make, retire: exchanged.iter().map(|replica| replica.id.clone()).collect(), surplus }
    }

    fn must_go(&self, replica: &LiveReplica) -> bool {
        self.action.changes.iter().filter(|change| change.effect == Effect::Replace).any(|change| {
            change.replicas.is_empty() || change.replicas.iter().any(|differing| differing.name == replica.name)
        })
    }

    /// Sets values, starts what is stopped, scales.
    async fn change_in_place(&self, attempt: &mut Attempt) -> Result<(), Stop> {
        let moves = self.moves();
        let kept = |replica: &&LiveReplica| !moves.surplus.contains(&replica.id);
        for replica in self.live.replicas.iter().filter(kept) {
            self.update(replica, attempt).await?;
        }
        self.bring_up(&moves, attempt).await?;
        for replica in &moves.surplus {
            self.progress.line(&format!("{}: removing {}", self.service(), self.name_of(replica)));
            self.remove(replica).await?;
        }
        Ok(())
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
        for replica in &self.live.replicas {
            self.progress.line(&format!("{}: removing {}", self.service(), replica.name));
            self.remove(&replica.id).await?;
        }
        Ok(())
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

    async fn step<T>(&self, step: Step, work: impl Future<Output = Result<T, StepError>>) -> Result<T, Stop> {
        self.journal.step(self.service(), step, async { work.await.map_err(Stop::Step) }).await
    }

    fn name_of(&self, replica: &ReplicaId) -> String {
        let known = self.live.replicas.iter().find(|live| live.id == *replica);
        known.map_or_else(|| format!("the new replica of {}", self.service()), |live| live.name.clone())
    }

    /// Undoes an attempt, as far as it got.
    async fn undo(&self, stop: Stop, attempt: Attempt) -> DeployError {
        let why = stop.to_string();
        let tail = match &attempt.failed {
            Some(replica) => self
                .provider
                .logs(replica, TAIL)
                .await
                .unwrap_or_else(|error| vec![format!("(its output could not be read: {error})")]),
            None => Vec::new(),
        };
        let touched = !attempt.stopped.is_empty() || !attempt.updated.is_empty();
        let aftermath = if stop.out_of_reach() {
            Aftermath::Parked
        } else if attempt.switched {
            Aftermath::Switched
        } else {
            match self.restore(&attempt).await {
                Ok(()) if !attempt.set_for_good.is_empty() => Aftermath::Broken(format!(
                    "{} had no value, and cannot lose the new one while it runs",
                    attempt.set_for_good.join(", ")
                )),
                Ok(()) if touched => Aftermath::Restored,
                Ok(()) => Aftermath::Untouched,
                Err(stop) if stop.out_of_reach() => Aftermath::Parked,
                Err(stop) => Aftermath::Broken(stop.to_string()),
            }
        };
        DeployError { why, aftermath, tail }
    }

    /// Removes what was prepared, sets values back, and starts what was stopped. What the engine refuses is told in the
    /// end and keeps nothing else from being done: a replica that cannot be removed is no reason to leave the old one down.
    async fn restore(&self, attempt: &Attempt) -> Result<(), Stop> {
        let mut refused = None;
        for replica in &attempt.prepared {
            let step = Step::Remove { replica: replica.clone() };
            let removed = gone_is_done(self.step(step, self.provider.discard(self.permit, replica)).await);
            unless_refused(removed, &mut refused)?;
        }
        for (replica, before) in &attempt.updated {
            if before.is_empty() {
                continue;
            }
            let step = Step::Update { replica: replica.clone(), fields: before.keys().cloned().collect() };
            unless_refused(self.step(step, self.provider.update(self.permit, replica, before)).await, &mut refused)?;
        }
        for replica in &attempt.stopped {
            self.progress.line(&format!("{}: starting {} again", self.service(), self.name_of(replica)));
            let step = Step::Start { replica: replica.clone() };
            unless_refused(self.step(step, self.provider.start(self.permit, replica)).await, &mut refused)?;
        }
        refused.map_or(Ok(()), Err)
    }
}

/// Goes on after a refusal, and keeps the first; without an engine there is nothing to go on with.
fn unless_refused(result: Result<(), Stop>, first: &mut Option<Stop>) -> Result<(), Stop> {
    match result {
        Err(stop) if !stop.out_of_reach() => {
            first.get_or_insert(stop);
            Ok(())
        }
        other => other,
    }
}

/// A replica that someone else removed meanwhile needs no stopping and no removing.
fn gone_is_done(result: Result<(), Stop>) -> Result<(), Stop> {
    match result {
        Err(Stop::Step(StepError::Gone(_))) => Ok(()),
        other => other,
    }
}
