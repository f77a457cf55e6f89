//! What is asked to be done, and what came of it: plans, syncs, runs, logs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{RunId, ServiceName};
use crate::store::records::{JournalEntry, Run, RunLine};

/// What to plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// A branch, tag, full ref or commit; absent: the tracked ref.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Only these services; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<BTreeSet<ServiceName>>,
    /// Whether orphans are to be deleted.
    #[serde(default)]
    pub prune: bool,
    /// Whether to plan back to a recorded release: that of `rollback_to`, or else the one before the present. The plan's
    /// options say which it came to.
    #[serde(default)]
    pub rollback: bool,
    /// The run whose release is to come back; implies `rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<RunId>,
    /// Whether the latest plan of the tracked ref will do, without looking again. Refuses the other options.
    #[serde(default)]
    pub cached: bool,
}

/// A pull request to report on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullRequestBody {
    /// The branch that it is to be merged into; absent: every environment is reported on, each with what it tracks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A confirmed plan to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncBody {
    /// The digest of the plan that was confirmed, or a unique prefix of 8 or more of its digits.
    pub plan: String,
    /// The ref that was planned; absent: the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The services that were planned; absent: the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<BTreeSet<ServiceName>>,
    /// Whether deleting orphans was planned; absent: the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<bool>,
}

/// A confirmed rollback to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// The digest of the plan that was confirmed, or a unique prefix of 8 or more of its digits.
    pub plan: String,
    /// The run that it goes back to; absent: the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RunId>,
    /// The services that were planned; absent: the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<BTreeSet<ServiceName>>,
}

/// A run that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunStarted {
    /// Its number.
    pub run: RunId,
}

/// A confirmed plan that had nothing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NothingToDo {
    /// Services that were found in sync without a record of it, and have one now.
    pub recorded: Vec<ServiceName>,
}

/// A refresh of everything that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefreshStarted {
    /// How many environments are looked at again.
    pub environments: usize,
}

/// A run in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// Its journal.
    pub steps: Vec<JournalEntry>,
    /// Its output.
    pub lines: Vec<RunLine>,
}

/// One line of a service's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// The replica's name.
    pub replica: String,
    /// The text.
    pub text: String,
}
