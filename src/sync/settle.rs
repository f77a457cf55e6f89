//! Settling runs that a crash or an unreachable engine interrupted: each is finished or taken back, under its own
//! persisted permit, from its journal and what is observed now.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ids::{RunId, ServiceName};
use crate::live::{LiveReplica, Observed, ReplicaId};
use crate::pass::Passes;
use crate::plan::Plan;
use crate::provider::{Progress, Provider, StepError};
use crate::store::records::{JournalEntry, Run, RunState};
use crate::store::{Store, StoreError};
use crate::sync::gate::SyncPermit;
use crate::sync::journal::{Journal, Step};
use crate::sync::output::Output;

/// What the journal says of one service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    /// The old replicas that were, or may have been, stopped.
    stopped: Vec<ReplicaId>,
    /// Whether the new release had passed and become the service.
    switched: bool,
    /// Whether base was recorded: nothing is left to settle.
    recorded: bool,
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
    /// Finishes or takes back whatever the run left half done, and ends it as failed, with what became of each service.
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
        for (service, standing) in standings(&journal) {
            let replicas = live.get(&service).map(|service| service.replicas.as_slice()).unwrap_or_default();
            let became = if standing.recorded {
                "verified and recorded".to_owned()
            } else if standing.switched {
                self.finish(run.id, &plan, &service, replicas).await?
            } else {
                self.take_back(run.id, &service, &standing, replicas).await?
            };
            self.output.line(&format!("{service}: {became}"));
            told.push(format!("{service}: {became}"));
        }
        let summary = match told.is_empty() {
            true => "interrupted before anything was begun".to_owned(),
            false => format!("interrupted; {}", told.join("; ")),
        };
        self.store.finish_run(run.id, RunState::Failed, &summary, Timestamp::now()).await?;
        Ok(summary)
    }

    fn journal(&self) -> Journal {
        Journal::new(self.store.clone(), self.permit.run(), None, self.output.clone())
    }

    /// The new release had passed: what is left of the old goes, and if the service verifies it is recorded.
    async fn finish(
        &self,
        run: RunId,
        plan: &Plan,
        service: &ServiceName,
        replicas: &[LiveReplica],
    ) -> Result<String, Unsettled> {
        let journal = self.journal();
        let any_new = replicas.iter().any(|replica| replica.release == Some(run));
        let replaced = |replica: &&LiveReplica| {
            let twin = replicas.iter().any(|other| other.release == Some(run) && other.index == replica.index);
            replica.release != Some(run) && twin
        };
        for old in replicas.iter().filter(replaced).filter(|_| any_new) {
            let step = Step::Remove { replica: old.id.clone() };
            journal
                .step(service, step, async { done_if_gone(self.provider.remove(self.permit, &old.id).await) })
                .await?;
        }
        let Ok(left) = self.passes.verify(plan, service).await else {
            return Ok("the new release runs; it could not be verified".to_owned());
        };
        if !left.is_empty() || !left.unknowns.is_empty() {
            return Ok("the new release runs, but differs from what is declared; plan and sync again".to_owned());
        }
        let applied = plan.applied(Some(run), Timestamp::now());
        if let Some(base) = applied.services.get(service) {
            self.store.record_base(&plan.environment, service, base.clone()).await?;
        }
        Ok("the new release had passed; it was finished, verified and recorded".to_owned())
    }

    /// The new release had not passed: its replicas go, and what was stopped runs again.
    async fn take_back(
        &self,
        run: RunId,
        service: &ServiceName,
        standing: &Standing,
        replicas: &[LiveReplica],
    ) -> Result<String, Unsettled> {
        let journal = self.journal();
        let mut removed = 0;
        for new in replicas.iter().filter(|replica| replica.release == Some(run)) {
            let step = Step::Remove { replica: new.id.clone() };
            journal
                .step(service, step, async { done_if_gone(self.provider.remove(self.permit, &new.id).await) })
                .await?;
            removed += 1;
        }
        let mut started = 0;
        let mut lost = 0;
        for old in &standing.stopped {
            if !replicas.iter().any(|replica| replica.id == *old) {
                lost += 1;
                continue;
            }
            let step = Step::Start { replica: old.clone() };
            journal
                .step(service, step, async { Ok::<(), Unsettled>(self.provider.start(self.permit, old).await?) })
                .await?;
            started += 1;
        }
        Ok(match (removed, started, lost) {
            (0, 0, 0) => "it was not changed, or only in place; plan and sync again".to_owned(),
            (_, _, 0) => "taken back: what ran before runs again as it was".to_owned(),
            (_, _, _) => "taken back, but a replica that ran before is gone; plan and sync again".to_owned(),
        })
    }
}

fn done_if_gone(result: Result<(), StepError>) -> Result<(), Unsettled> {
    match result {
        Ok(()) | Err(StepError::Gone(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the journal says, service by service.
fn standings(journal: &[JournalEntry]) -> BTreeMap<ServiceName, Standing> {
    let mut standings: BTreeMap<ServiceName, Standing> = BTreeMap::new();
    for entry in journal {
        let Some(service) = &entry.service else { continue };
        let standing = standings.entry(service.clone()).or_default();
        let done = entry.outcome.as_ref().is_some_and(|outcome| outcome["outcome"] == "done");
        match serde_json::from_value::<Step>(entry.intent.clone()) {
            Ok(Step::Stop { replica }) => standing.stopped.push(replica),
            // The switch has no effect of its own: once its intent is written, everything before it had passed.
            Ok(Step::Switch) => standing.switched = true,
            Ok(Step::Record) => standing.recorded |= done,
            Ok(
                Step::Prepare { .. }
                | Step::Start { .. }
                | Step::Update { .. }
                | Step::Gate { .. }
                | Step::Remove { .. }
                | Step::Verify,
            ) => {}
            Err(error) => tracing::error!(%service, %error, "a journal entry is not understood"),
        }
    }
    standings
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::standings;
    use crate::live::ReplicaId;
    use crate::store::records::JournalEntry;
    use crate::sync::journal::Step;

    #[test]
    fn a_record_counts_only_once_its_outcome_is_known() {
        let entry = |step: Step, outcome: Option<serde_json::Value>| JournalEntry {
            seq: 1,
            service: Some("web".parse().expect("valid")),
            intent: serde_json::to_value(step).expect("plain"),
            outcome,
            begun_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
        };
        let stop = Step::Stop { replica: ReplicaId("old".into()) };
        let standing = &standings(&[entry(stop, None), entry(Step::Record, None)])[&"web".parse().expect("valid")];
        assert_eq!((standing.stopped.len(), standing.switched, standing.recorded), (1, false, false));
        let done = Some(serde_json::json!({"outcome": "done"}));
        let standing =
            &standings(&[entry(Step::Switch, None), entry(Step::Record, done)])[&"web".parse().expect("valid")];
        assert_eq!((standing.switched, standing.recorded), (true, true));
    }
}
