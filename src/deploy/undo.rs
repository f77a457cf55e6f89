//! What becomes of a deploy that does not come to its end: what was begun is undone as far as that goes, and what is not as
//! it was is named, replica by replica.

use std::collections::BTreeMap;

use crate::deploy::recreate::Deployment;
use crate::live::ReplicaId;
use crate::live::field::FieldPath;
use crate::live::value::Value;
use crate::plan::ActionKind;
use crate::provider::StepError;
use crate::store::StoreError;
use crate::sync::journal::Step;

/// How many of a failed replica's last output lines go into the run's report.
const TAIL: usize = 20;

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
    /// The new release passed; only cleaning up after the old failed. Names what is left of it.
    #[error("{0}")]
    Switched(String),
    /// It could not be brought back.
    #[error("what ran before could not be brought back: {0}")]
    Broken(String),
    /// The provider or the journal is out of reach; the run is settled when it answers again.
    #[error("the run is parked and settled as soon as that is possible")]
    Parked,
}

/// What ends an attempt early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error("{0}")]
    Gate(String),
    #[error("the journal could not be written")]
    Store(#[from] StoreError),
}

impl Stop {
    pub(super) fn out_of_reach(&self) -> bool {
        matches!(self, Stop::Step(StepError::Unreachable(_)) | Stop::Store(_))
    }
}

/// What an attempt has done so far, and so what must be undone.
#[derive(Default)]
pub(super) struct Attempt {
    pub(super) prepared: Vec<ReplicaId>,
    pub(super) stopped: Vec<ReplicaId>,
    pub(super) updated: Vec<(ReplicaId, BTreeMap<FieldPath, Value>)>,
    /// Leaves that got a value in place where there was none, as `web-1's resources.memory_limit`: they cannot be unset
    /// while the replica runs.
    pub(super) set_for_good: Vec<String>,
    pub(super) failed: Option<ReplicaId>,
    pub(super) switched: bool,
    /// What is to go once it is switched, and did not yet.
    pub(super) leaving: Vec<ReplicaId>,
}

impl Deployment<'_> {
    /// Undoes an attempt, as far as it got.
    pub(super) async fn undo(&self, stop: Stop, attempt: Attempt) -> DeployError {
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
            Aftermath::Switched(self.left(&attempt))
        } else {
            match self.restore(&attempt).await {
                Ok(left) if !left.is_empty() => Aftermath::Broken(left.join("; ")),
                Ok(_) if touched => Aftermath::Restored,
                Ok(_) => Aftermath::Untouched,
                Err(_out_of_reach) => Aftermath::Parked,
            }
        };
        DeployError { why, aftermath, tail }
    }

    /// What is left of the old after the switch.
    fn left(&self, attempt: &Attempt) -> String {
        let names: Vec<String> = attempt.leaving.iter().map(|replica| self.name_of(replica)).collect();
        let names = names.join(", ");
        match self.action.kind {
            ActionKind::Delete => format!("{names} is left; the next sync with --prune removes what is"),
            ActionKind::Create | ActionKind::Replace | ActionKind::InPlace | ActionKind::Record => {
                format!("what is declared runs, and beside it is left of the old: {names}; the next sync removes it")
            }
        }
    }

    /// Removes what was prepared, sets values back, and starts what was stopped. What the engine refuses is told in the
    /// end and keeps nothing else from being done: a replica that cannot be removed is no reason to leave the old one down.
    /// Returns what is not as it was, replica by replica.
    ///
    /// # Errors
    /// The engine or the journal is out of reach.
    async fn restore(&self, attempt: &Attempt) -> Result<Vec<String>, Stop> {
        let mut left = Vec::new();
        for replica in &attempt.prepared {
            let step = Step::Remove { replica: replica.clone() };
            let removed = gone_is_done(self.step(step, self.provider.discard(self.permit, replica)).await);
            unless_refused(removed, || format!("{} is still there", self.name_of(replica)), &mut left)?;
        }
        for (replica, before) in &attempt.updated {
            if before.is_empty() {
                continue;
            }
            let step = Step::Update { replica: replica.clone(), fields: before.keys().cloned().collect() };
            let names: Vec<String> = before.keys().map(ToString::to_string).collect();
            let what = || format!("{}'s {} could not be set back", self.name_of(replica), names.join(", "));
            unless_refused(self.step(step, self.provider.update(self.permit, replica, before)).await, what, &mut left)?;
        }
        left.extend(
            attempt
                .set_for_good
                .iter()
                .map(|leaf| format!("{leaf} had no value, and cannot lose the new one while it runs")),
        );
        for replica in &attempt.stopped {
            self.progress.line(&format!("{}: starting {} again", self.service(), self.name_of(replica)));
            let step = Step::Start { replica: replica.clone() };
            let started = self.step(step, self.provider.start(self.permit, replica)).await;
            unless_refused(started, || format!("{} is stopped", self.name_of(replica)), &mut left)?;
        }
        Ok(left)
    }
}

/// Goes on after a refusal, with what it leaves behind noted; without an engine there is nothing to go on with.
fn unless_refused(result: Result<(), Stop>, what: impl FnOnce() -> String, left: &mut Vec<String>) -> Result<(), Stop> {
    match result {
        Err(stop) if !stop.out_of_reach() => {
            left.push(format!("{}: {stop}", what()));
            Ok(())
        }
        other => other,
    }
}

/// A replica that someone else removed meanwhile needs no stopping and no removing.
pub(super) fn gone_is_done(result: Result<(), Stop>) -> Result<(), Stop> {
    match result {
        Err(Stop::Step(StepError::Gone(_))) => Ok(()),
        other => other,
    }
}
