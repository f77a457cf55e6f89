//! Settling runs that a crash or an unreachable engine interrupted: each is finished or taken back, under its own
//! persisted permit, from its journal and what is observed now.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::deploy::check::check_of;
use crate::deploy::health_gate::{self, GateFailure, Made};
use crate::ids::{RunId, ServiceName};
use crate::live::{LiveReplica, LiveService, Observed, ReplicaId};
use crate::pass::Passes;
use crate::plan::{ActionKind, Plan};
use crate::provider::{Progress, Provider, StepError};
use crate::store::records::{Run, RunState};
use crate::store::{Store, StoreError};
use crate::sync::apply::closing;
use crate::sync::explain::in_place_words;
use crate::sync::gate::SyncPermit;
use crate::sync::journal::{Journal, Step, short};
use crate::sync::output::Output;
use crate::sync::standing::{Standing, standings};

/// What became of one service.
enum Became {
    /// What was to be applied runs, was verified and is recorded.
    Recorded(String),
    /// Anything else, in words.
    Left(String),
}

/// Why a service is not what was to be applied.
struct Lacking {
    /// Its plan of now.
    left: Plan,
    /// The replica that does not pass its health gate, where nothing else is left to do.
    unwell: Option<String>,
}

/// Why a run could not be settled yet.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// The engine does not answer; it is tried again.
    #[error("what runs could not be seen: {0}")]
    Unseen(String),
    /// A step of settling failed; it is tried again.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Settles one interrupted run.
pub struct Settle<'a> {
    /// The database.
    pub store: &'a Store,
    /// For observing again.
    pub passes: &'a Passes,
    /// Where it runs.
    pub provider: &'a dyn Provider,
    /// The run's own authority.
    pub permit: &'a SyncPermit,
    /// The run's output.
    pub output: &'a Output,
}

impl Settle<'_> {
    /// Finishes or takes back whatever the run left half done, and ends it as what it came to: succeeded where every
    /// service of its plan is verified and recorded by now, else failed, with what became of each.
    ///
    /// # Errors
    /// [`Unsettled`]; the run stays unfinished and is tried again.
    pub async fn run(&self, run: &Run) -> Result<String, Unsettled> {
        let journal = self.store.journal(run.id).await?;
        let plan = self.store.plan_by_prefix(run.plan.as_str()).await?;
        let live = match self.provider.observe().await.services {
            Observed::Known(services) => services,
            Observed::Unknown(why) => return Err(Unsettled::Unseen(why)),
        };
        let mut told = Vec::new();
        let mut recorded = BTreeSet::new();
        for (service, standing) in standings(&journal) {
            if let Some(why) = live.get(&service).and_then(LiveService::unseen_why) {
                return Err(Unsettled::Unseen(why));
            }
            let replicas = live.get(&service).map(|service| service.replicas.as_slice()).unwrap_or_default();
            let part =
                Part { settle: self, run: run.id, plan: &plan, service: &service, standing: &standing, replicas };
            let became = match part.settle().await? {
                Became::Recorded(words) => {
                    recorded.insert(service.clone());
                    words
                }
                Became::Left(words) => words,
            };
            self.output.line(&format!("{service}: {became}"));
            told.push(format!("{service}: {became}"));
        }
        let done: Vec<&ServiceName> =
            plan.feasible().map(|action| &action.service).filter(|name| recorded.contains(*name)).collect();
        let whole = !told.is_empty() && done.len() == plan.feasible().count();
        let (state, summary) = match (whole, told.is_empty()) {
            (true, _) => {
                let closing = closing(&plan, &done, None);
                (RunState::Succeeded, format!("{closing}; it was interrupted before its end was recorded"))
            }
            (false, true) => (RunState::Failed, "interrupted before anything was begun".to_owned()),
            (false, false) => (RunState::Failed, format!("interrupted; {}", told.join("; "))),
        };
        self.store.finish_run(run.id, state, &summary, Timestamp::now()).await?;
        Ok(summary)
    }

    fn journal(&self) -> Journal {
        Journal::new(self.store.clone(), self.permit.run(), None, self.output.clone())
    }
}

/// One service's part of an interrupted run.
struct Part<'a> {
    settle: &'a Settle<'a>,
    run: RunId,
    plan: &'a Plan,
    service: &'a ServiceName,
    standing: &'a Standing,
    replicas: &'a [LiveReplica],
}

impl Part<'_> {
    async fn settle(&self) -> Result<Became, Unsettled> {
        let action = self.plan.actions.iter().find(|action| action.service == *self.service);
        let kind = action.map(|action| action.kind);
        if self.standing.recorded {
            return Ok(Became::Recorded("verified and recorded".to_owned()));
        }
        if kind == Some(ActionKind::Delete) {
            return self.deleted().await;
        }
        if self.standing.switched {
            return self.finish().await;
        }
        let Some(lacking) = self.lacking().await? else {
            self.record().await?;
            return Ok(Became::Recorded("everything was applied; it was verified and recorded".to_owned()));
        };
        let in_place = action.filter(|action| action.kind == ActionKind::InPlace);
        let taken_back = self.take_back(in_place.is_some()).await?;
        let words = match in_place {
            // Values that were set stay: what they were before is in no journal, and the plan shows what is left to do.
            Some(action) => [Some(in_place_words(action, &lacking.left, self.replicas)), lacking.unwell, taken_back],
            None => [None, None, Some(taken_back.unwrap_or_else(|| "nothing of it was changed".to_owned()))],
        };
        let words: Vec<String> = words.into_iter().flatten().collect();
        Ok(Became::Left(format!("{}; plan and sync again", words.join("; "))))
    }

    /// What was made by this run.
    fn is_new(&self, replica: &LiveReplica) -> bool {
        let made = self.standing.before.as_ref().is_some_and(|before| !before.contains(&replica.id));
        made && replica.release == Some(self.run)
    }

    /// What keeps the service from being what was to be applied: `None` where all of it runs by now and passes its health
    /// gate, though the journal does not say so. Taking that back would end healthy replicas for nothing.
    async fn lacking(&self) -> Result<Option<Lacking>, Unsettled> {
        let left = self.verified().await?;
        if !left.is_empty() || !left.unknowns.is_empty() {
            return Ok(Some(Lacking { left, unwell: None }));
        }
        let changed = |replica: &&LiveReplica| self.is_new(replica) || self.standing.touched.contains(&replica.id);
        for replica in self.replicas.iter().filter(changed) {
            if self.standing.passed.contains(&replica.id) {
                continue;
            }
            if let Err(unwell) = self.passes_now(replica).await? {
                return Ok(Some(Lacking { left, unwell: Some(unwell) }));
            }
        }
        Ok(None)
    }

    async fn passes_now(&self, replica: &LiveReplica) -> Result<Result<(), String>, Unsettled> {
        let leaves = self.plan.desired.get(self.service);
        let check = check_of(|field| leaves.and_then(|leaves| leaves.get(field)).map(|leaf| &leaf.value));
        let made = if self.is_new(replica) { Made::ByThisRun } else { Made::Before };
        match health_gate::pass(self.settle.provider, &replica.id, &check, made).await {
            Ok(()) => Ok(Ok(())),
            Err(GateFailure::Unseen(why)) => Err(Unsettled::Unseen(why)),
            Err(failure @ (GateFailure::Ended(_) | GateFailure::Unhealthy { .. } | GateFailure::Impossible(_))) => {
                Ok(Err(self.settle.output.masked(&format!("{} is not healthy: {failure}", replica.name))))
            }
        }
    }

    async fn verified(&self) -> Result<Plan, Unsettled> {
        let plan = self.settle.passes.verify(self.plan, self.service).await;
        plan.map_err(|error| Unsettled::Unseen(error.to_string()))
    }

    async fn record(&self) -> Result<(), Unsettled> {
        let applied = self.plan.applied(Some(self.run), Timestamp::now());
        let (store, environment) = (self.settle.store, &self.plan.environment);
        let work = async {
            match applied.services.get(self.service) {
                Some(base) => store.record_base(environment, self.service, base.clone()).await?,
                None => store.forget_base(environment, self.service).await?,
            }
            Ok::<(), Unsettled>(())
        };
        self.settle.journal().step(self.service, Step::Record, work).await
    }

    async fn deleted(&self) -> Result<Became, Unsettled> {
        if !self.replicas.is_empty() {
            return Ok(Became::Left("not all of it was removed; plan and sync again".to_owned()));
        }
        self.record().await?;
        Ok(Became::Recorded("it is gone; that was recorded".to_owned()))
    }

    /// The new release had passed: what is left of the old goes, and if the service verifies it is recorded.
    async fn finish(&self) -> Result<Became, Unsettled> {
        let replaced = |replica: &&LiveReplica| {
            let twin = self.replicas.iter().any(|other| self.is_new(other) && other.index == replica.index);
            !self.is_new(replica) && twin
        };
        let mut refused = Vec::new();
        for old in self.replicas.iter().filter(replaced) {
            in_words(self.remove(&old.id).await, &format!("removing {}", old.name), &mut refused)?;
        }
        if !refused.is_empty() {
            let words = format!(
                "the new release runs beside what is left of the old ({}); plan and sync again",
                refused.join(", ")
            );
            return Ok(Became::Left(words));
        }
        let left = self.verified().await?;
        if !left.is_empty() || !left.unknowns.is_empty() {
            let words = "the new release runs, but differs from what is declared; plan and sync again";
            return Ok(Became::Left(words.to_owned()));
        }
        self.record().await?;
        Ok(Became::Recorded("the new release had passed; it was finished, verified and recorded".to_owned()))
    }

    /// The new release had not passed: its replicas go, and what was stopped runs again. Where nothing had to make way
    /// (`beside`), new replicas that had passed do no harm and stay. Returns what there is to say of it.
    async fn take_back(&self, beside: bool) -> Result<Option<String>, Unsettled> {
        let stays = |replica: &LiveReplica| {
            beside && self.standing.stopped.is_empty() && self.standing.passed.contains(&replica.id)
        };
        let (kept, going): (Vec<&LiveReplica>, Vec<&LiveReplica>) =
            self.replicas.iter().filter(|replica| self.is_new(replica)).partition(|replica| stays(replica));
        let mut refused = Vec::new();
        for new in &going {
            let work = async { done_if_gone(self.settle.provider.discard(self.settle.permit, &new.id).await) };
            let removed =
                self.settle.journal().step(self.service, Step::Remove { replica: new.id.clone() }, work).await;
            in_words(removed, &format!("removing the new {}", new.name), &mut refused)?;
        }
        let mut started = 0;
        let mut lost = Vec::new();
        for old in &self.standing.stopped {
            let Some(live) = self.replicas.iter().find(|replica| replica.id == *old) else {
                lost.push(short(old));
                continue;
            };
            let work = async { Ok::<(), Unsettled>(self.settle.provider.start(self.settle.permit, old).await?) };
            let begun = self.settle.journal().step(self.service, Step::Start { replica: old.clone() }, work).await;
            if in_words(begun, &format!("starting {}, which ran before", live.name), &mut refused)? {
                started += 1;
            }
        }
        if !refused.is_empty() {
            return Ok(Some(format!("not all of it could be taken back ({})", refused.join(", "))));
        }
        if !lost.is_empty() {
            return Ok(Some(format!("taken back, but what ran before is gone: {}", lost.join(", "))));
        }
        let names: Vec<&str> = kept.iter().map(|replica| replica.name.as_str()).collect();
        Ok(match (names.is_empty(), going.len() + started) {
            (false, _) => Some(format!("new and healthy, so kept: {}", names.join(", "))),
            (true, 0) => None,
            (true, _) => Some("taken back: what ran before runs again as it was".to_owned()),
        })
    }

    async fn remove(&self, replica: &ReplicaId) -> Result<(), Unsettled> {
        let work = async { done_if_gone(self.settle.provider.remove(self.settle.permit, replica).await) };
        self.settle.journal().step(self.service, Step::Remove { replica: replica.clone() }, work).await
    }
}

/// What the engine refuses ends in words: trying it again every few seconds would keep the environment locked, and with it
/// the sync that would mend it. Returns whether it was done.
fn in_words(result: Result<(), Unsettled>, what: &str, refused: &mut Vec<String>) -> Result<bool, Unsettled> {
    match result {
        Ok(()) => Ok(true),
        Err(Unsettled::Step(error @ (StepError::Refused(_) | StepError::Gone(_)))) => {
            refused.push(format!("{what}: {error}"));
            Ok(false)
        }
        Err(other) => Err(other),
    }
}

fn done_if_gone(result: Result<(), StepError>) -> Result<(), Unsettled> {
    match result {
        Ok(()) | Err(StepError::Gone(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
