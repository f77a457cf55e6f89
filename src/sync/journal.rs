//! The journal: what a run is about to do is on disk before it is done, and how it went after.

use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{RunId, ServiceName};
use crate::live::ReplicaId;
use crate::live::field::FieldPath;
use crate::provider::StepError;
use crate::store::{Store, StoreError};
use crate::sync::output::Output;

/// One step of a run, with all that settling it after a crash needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A new replica is made beside what runs.
    Prepare {
        /// Its number within the service.
        index: u32,
        /// The replica whose place it will take.
        from: Option<ReplicaId>,
        /// The replicas that the service has by then. A run's number may stand on replicas of an earlier installation:
        /// only what is not among these was made by this run.
        #[serde(default)]
        beside: Vec<ReplicaId>,
    },
    /// A replica that ran is stopped to make room; it runs again if the deploy fails.
    Stop {
        /// The replica.
        replica: ReplicaId,
    },
    /// A replica is started.
    Start {
        /// The replica.
        replica: ReplicaId,
    },
    /// Leaves of a running replica are set.
    Update {
        /// The replica.
        replica: ReplicaId,
        /// Which leaves.
        fields: Vec<FieldPath>,
    },
    /// A replica must pass its health check.
    Gate {
        /// The replica.
        replica: ReplicaId,
    },
    /// From here on the new replicas are the service: what is left of the old may be removed.
    Switch,
    /// A replica is removed.
    Remove {
        /// The replica.
        replica: ReplicaId,
    },
    /// What was changed is observed again.
    Verify,
    /// Base is recorded.
    Record,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Prepare { index, from: None, .. } => write!(f, "prepare replica {index}"),
            Step::Prepare { index, from: Some(from), .. } => {
                write!(f, "prepare replica {index} beside {}", short(from))
            }
            Step::Stop { replica } => write!(f, "stop {}", short(replica)),
            Step::Start { replica } => write!(f, "start {}", short(replica)),
            Step::Update { replica, fields } => {
                let names: Vec<String> = fields.iter().map(ToString::to_string).collect();
                write!(f, "set {} of {}", names.join(", "), short(replica))
            }
            Step::Gate { replica } => write!(f, "wait until {} is healthy", short(replica)),
            Step::Switch => f.write_str("switch to the new release"),
            Step::Remove { replica } => write!(f, "remove {}", short(replica)),
            Step::Verify => f.write_str("observe again: nothing may differ"),
            Step::Record => f.write_str("record it as the new base"),
        }
    }
}

/// A replica's id for people: an Engine's ids are cut as its own tools cut them.
pub(super) fn short(replica: &ReplicaId) -> &str {
    let id = replica.0.as_str();
    let hex = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if hex { &id[..12] } else { id }
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It failed, for this reason.
    Failed {
        /// The reason.
        why: String,
    },
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Failed { why } => write!(f, "failed: {why}"),
        }
    }
}

/// Told of every boundary of the journal, so that tests can end the process exactly there.
pub trait Boundary: Send + Sync {
    /// `intent` is on disk and the step not begun (`done` false), or the step over and its outcome not yet on disk
    /// (`done` true).
    fn reached(&self, step: &Step, done: bool);
}

/// One run's journal.
#[derive(Clone)]
pub struct Journal {
    store: Store,
    run: RunId,
    boundary: Option<Arc<dyn Boundary>>,
    output: Output,
}

/// Why a journalled step failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The step itself.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The journal could not be written; the step was not begun, or its outcome is not known.
    #[error("the journal could not be written")]
    Store(#[from] StoreError),
}

impl Journal {
    /// The journal of a run. What `output` masks is masked here too: a failed probe may quote what a replica printed.
    pub fn new(store: Store, run: RunId, boundary: Option<Arc<dyn Boundary>>, output: Output) -> Self {
        Journal { store, run, boundary, output }
    }

    /// Writes the intent, does the step, writes the outcome.
    ///
    /// # Errors
    /// The step's own error, or the store's.
    pub async fn step<T, E, F>(&self, service: &ServiceName, step: Step, work: F) -> Result<T, E>
    where
        E: std::fmt::Display + From<StoreError>,
        F: Future<Output = Result<T, E>>,
    {
        let intent = serde_json::to_value(&step).expect("a step is plain data");
        let seq = self.store.journal_intent(self.run, Some(service), intent, Timestamp::now()).await?;
        self.reached(&step, false);
        let result = work.await;
        self.reached(&step, true);
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed { why: self.output.masked(&error.to_string()) },
        };
        let outcome = serde_json::to_value(&outcome).expect("an outcome is plain data");
        self.store.journal_outcome(self.run, seq, outcome, Timestamp::now()).await?;
        result
    }

    fn reached(&self, step: &Step, done: bool) {
        if let Some(boundary) = &self.boundary {
            boundary.reached(step, done);
        }
    }
}
