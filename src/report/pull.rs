//! What a pull request's plan is: what merging and then syncing would change, per environment, fit to leave the house.
//!
//! Every value in here went through `mask`: no type of this file can hold one that did not. What is here is what a comment, a
//! status, annotations and the API show; it is kept as JSON until it is posted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::declared::{Diagnostic, Position};
use crate::drift::Cause;
use crate::ids::{CommitSha, EnvironmentName, PlanDigest, ProjectName, RunId, ServiceName};
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::plan::ActionKind;
use crate::report::detail::ReportDetail;
use crate::report::mask::PublicValue;

/// The report on one pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PullReport {
    /// The project.
    pub project: ProjectName,
    /// The pull request's number at its forge.
    pub number: u64,
    /// Its newest commit.
    pub head: CommitSha,
    /// The branch that it is to be merged into, without `refs/heads/`; absent where only Git was asked.
    pub target: Option<String>,
    /// Whether its head is a fork's: then nothing of what runs was looked at.
    pub fork: bool,
    /// How it stands.
    pub state: PullState,
    /// The environments that track its target, by name.
    pub environments: Vec<EnvironmentReport>,
}

/// How a pull request stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PullState {
    /// It may still be merged.
    Open,
    /// It was merged.
    Merged {
        /// As which commit of the target, where the forge says so.
        commit: Option<CommitSha>,
    },
    /// It was closed without being merged.
    Closed,
}

/// What a pull request means for one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentReport {
    /// The environment.
    pub environment: EnvironmentName,
    /// What would become of it.
    pub outcome: PullOutcome,
}

/// What would become of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PullOutcome {
    /// It was planned.
    Planned(Box<PlannedPull>),
    /// It cannot be merged as it is.
    Conflict {
        /// The paths that both sides changed, at most [`PATHS_MAX`].
        paths: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// The file is not valid.
    Invalid {
        /// What is wrong with it, in order of place.
        problems: Vec<Diagnostic>,
    },
    /// The merged tree has no such file: nothing is declared, and nothing is withdrawn.
    NoFile {
        /// Where it was looked for.
        path: String,
    },
    /// It was not planned.
    NotPlanned {
        /// Why.
        why: NotPlanned,
    },
}

/// The most conflicting paths that a report names.
pub const PATHS_MAX: usize = 50;

/// Why an environment was not planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum NotPlanned {
    /// The operator switched its reports off.
    ReportsOff,
    /// The head is a fork's, and the operator did not allow these to be planned.
    ForkNotAllowed,
    /// Head and target have no history in common.
    Unrelated {
        /// Whether the repository holds only the newest part of its history.
        shallow: bool,
    },
    /// It could not be.
    Failed {
        /// What went wrong; absent where it must not leave the house.
        why: Option<String>,
    },
}

/// An environment's plan, sorted by where each change comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedPull {
    /// How much is shown.
    pub detail: ReportDetail,
    /// Whether what runs was looked at: not for forks, which are compared with what was last applied.
    pub observed: bool,
    /// Where the tracked branch stood.
    pub tip: CommitSha,
    /// What this pull request would change.
    pub pull_request: Vec<PublicService>,
    /// What would be changed without this pull request, and no longer with it.
    pub undone: Vec<PublicService>,
    /// What was merged before and not synced yet.
    pub waiting: Vec<PublicService>,
    /// What was changed outside Trueup and would be put back.
    pub live: Vec<PublicService>,
    /// What stands in the way.
    pub blocked: Vec<PublicBlocked>,
    /// What could not be seen.
    pub unknowns: Vec<PublicUnknown>,
    /// Services that run and would not be declared.
    pub orphans: Vec<PublicOrphan>,
    /// Declared services with nothing to do.
    pub in_sync: Vec<ServiceName>,
    /// The pipelines that a sync would run, in order.
    pub pipelines: Vec<String>,
    /// What the reader should know.
    pub notes: Vec<String>,
    /// What there is to do or was done since the merge.
    pub merged: Option<AfterMerge>,
}

/// One service's part of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicService {
    /// The service.
    pub service: ServiceName,
    /// What happens to it, all parts taken together.
    pub kind: ActionKind,
    /// Where it is declared.
    pub at: Option<Position>,
    /// The fields of this part, in field order.
    pub changes: Vec<PublicChange>,
    /// What the reader should know of it.
    pub notes: Vec<String>,
}

/// One field's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicChange {
    /// The field.
    pub field: FieldPath,
    /// Set or withdrawn.
    pub kind: ChangeKind,
    /// What runs.
    pub live: PublicValue,
    /// What it is to be; absent where it is withdrawn.
    pub declared: Option<PublicValue>,
    /// What was last applied, where both sides moved away from it.
    pub last_applied: Option<PublicValue>,
    /// What it would be set to without this pull request, where that is something else.
    pub instead_of: Option<PublicValue>,
    /// The replicas that differ, where not all do alike.
    pub replicas: Vec<PublicReplica>,
    /// Why it differs.
    pub cause: Cause,
    /// What changing it takes.
    pub effect: Effect,
    /// Whether it uses the commit's id, and so changes with every commit.
    pub every_commit: bool,
    /// Where it is declared.
    pub at: Option<Position>,
    /// A word on it.
    pub note: Option<String>,
}

/// What one replica has for a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicReplica {
    /// The replica's name.
    pub name: String,
    /// What it has.
    pub live: PublicValue,
}

/// Why a service's part cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicBlocked {
    /// The service.
    pub service: ServiceName,
    /// The field, where it is one.
    pub field: Option<FieldPath>,
    /// Why.
    pub why: String,
}

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicUnknown {
    /// The service; absent for the whole environment.
    pub service: Option<ServiceName>,
    /// The field; absent for the whole service.
    pub field: Option<FieldPath>,
    /// Why; absent where that must not leave the house.
    pub why: Option<String>,
}

/// A service that runs and would not be declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicOrphan {
    /// The service.
    pub service: ServiceName,
    /// Whether it is this pull request that no longer declares it.
    pub by_pull_request: bool,
}

/// What follows a merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "after", rename_all = "snake_case")]
pub enum AfterMerge {
    /// It awaits a sync.
    Awaits {
        /// The plan's digest.
        digest: PlanDigest,
        /// What to type to have exactly this plan carried out.
        command: String,
    },
    /// There is nothing to do.
    InSync,
    /// A sync carried the commit.
    Ran {
        /// The run.
        run: RunId,
        /// Whether everything was applied and verified.
        succeeded: bool,
        /// What became of each service that the run was to change.
        services: Vec<ServiceOutcome>,
        /// What is left to do, where something is.
        rest: Option<PlanDigest>,
        /// What to type for the rest.
        command: Option<String>,
    },
}

/// What a run made of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceOutcome {
    /// The service.
    pub service: ServiceName,
    /// Whether it was applied and verified.
    pub verified: bool,
}

impl PlannedPull {
    /// Every service's part that a sync would carry out, in the order of the report.
    pub fn changing(&self) -> impl Iterator<Item = &PublicService> {
        self.pull_request.iter().chain(&self.waiting).chain(&self.live)
    }

    /// How many changes a sync would make, and how many of them are blocked. A field counts as one; so does a service
    /// that is created, or one of which only the action as a whole is known.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        let mut created = std::collections::BTreeSet::new();
        for part in self.changing() {
            let number = match part.kind {
                ActionKind::Create => usize::from(created.insert(&part.service)),
                ActionKind::InPlace | ActionKind::Replace | ActionKind::Delete | ActionKind::Record => {
                    part.changes.len().max(1)
                }
            };
            counts.changes += number;
            if self.blocked.iter().any(|blocked| blocked.service == part.service) {
                counts.blocked += number;
            }
        }
        counts
    }

    /// Whether what runs could not be seen as a whole.
    pub fn is_unseen(&self) -> bool {
        self.unknowns.iter().any(|unknown| unknown.service.is_none())
    }
}

/// How much a sync would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changes.
    pub changes: usize,
    /// Of these, those that something stands in the way of.
    pub blocked: usize,
}
