//! Drift + what the provider can do → [`Plan`]: the ordered actions that would make live match declared.
//!
//! Pure, and the only place where plans are made: the CLI, the API, reports and the apply all use this value.
//! A plan is immutable, complete (nothing is left to be decided while it is carried out) and named by its digest.

mod blocks;
pub mod build;
mod canonical;
pub mod digest;
mod notes;
pub mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::declared::Position;
use crate::drift::{Base, BaseLeaf, BaseService, Cause, ReplicaLive, Suppressed};
use crate::ids::{CommitSha, EnvironmentRef, PlanDigest, RunId, ServiceName};
use crate::live::Observed;
use crate::live::capability::{ChangeKind, Effect};
use crate::live::field::FieldPath;
use crate::live::value::Value;

/// The version of the plan's canonical form; part of every digest.
pub const PLAN_FORMAT: u32 = 1;

/// What would be done, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// [`PLAN_FORMAT`] at the time it was made.
    pub format: u32,
    /// Which environment.
    pub environment: EnvironmentRef,
    /// The provider's word (`docker`, `local`).
    pub provider: String,
    /// The ref that was planned, as asked for.
    pub reference: String,
    /// The commit it stood at; `None` where a file was planned without a repository.
    pub commit: Option<CommitSha>,
    /// The commit of each service whose code is another commit's than the plan's: a release goes back to what each of its
    /// services was released from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commits: BTreeMap<ServiceName, CommitSha>,
    /// What was asked for.
    pub options: PlanOptions,
    /// What would be done, in the order in which it would be.
    pub actions: Vec<Action>,
    /// What could not be seen, environment-wide (`service` is `None`) or of one service.
    pub unknowns: Vec<Unknown>,
    /// Services that run under Trueup's labels and are no longer declared, of those asked for.
    pub orphans: Vec<ServiceName>,
    /// Declared services with nothing to do.
    pub in_sync: Vec<ServiceName>,
    /// Differences that count for nothing, each with its rule; no part of the digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<PlanSuppressed>,
    /// What the reader should know: the file is missing, a rollback uses current secrets …
    pub notes: Vec<String>,
    // Where base holds the same, the two share them.
    /// The leaves that each declared service is to have: what an apply reads. Secrets by name.
    pub desired: BTreeMap<ServiceName, Arc<BTreeMap<FieldPath, BaseLeaf>>>,
    /// When it was made; no part of the digest.
    pub made_at: Timestamp,
    /// SHA-256 over the canonical form.
    pub digest: PlanDigest,
}

impl Plan {
    /// Whether carrying it out would change nothing, not even Trueup's own record.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// What the command line exits with: 2 where something differs, 1 where that could not be told, else 0.
    pub fn exit_code(&self) -> u8 {
        match (self.actions.is_empty() && self.orphans.is_empty(), self.unknowns.is_empty()) {
            (false, _) => 2,
            (true, false) => 1,
            (true, true) => 0,
        }
    }

    /// The actions that nothing stands in the way of.
    pub fn feasible(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().filter(|action| action.blocked.is_empty())
    }

    /// The commit that a service's code and record are of.
    pub fn commit_of(&self, service: &ServiceName) -> Option<&CommitSha> {
        self.commits.get(service).or(self.commit.as_ref())
    }

    /// What base will be once the plan is applied by `run` and verified at `at`.
    pub fn applied(&self, run: Option<RunId>, at: Timestamp) -> Base {
        let service = |name: &ServiceName, leaves: &Arc<BTreeMap<FieldPath, BaseLeaf>>| BaseService {
            leaves: leaves.clone(),
            commit: self.commit_of(name).cloned(),
            run,
            verified_at: at,
        };
        Base { services: self.desired.iter().map(|(name, leaves)| (name.clone(), service(name, leaves))).collect() }
    }

    /// The base to look at an applied plan again with: what was to be applied (policies, which cannot be seen, count as
    /// applied), and what was to be withdrawn as it was, so that a leaf that is still there shows.
    pub fn to_verify(&self, at: Timestamp) -> Base {
        let mut base = self.applied(None, at);
        for action in &self.actions {
            let Some(service) = base.services.get_mut(&action.service) else { continue };
            let visible = |change: &&Change| change.kind == ChangeKind::Withdraw && change.effect != Effect::Record;
            for change in action.changes.iter().filter(visible) {
                if let Some(value) = change.base.clone() {
                    Arc::make_mut(&mut service.leaves)
                        .insert(change.field.clone(), BaseLeaf { value, written: "".into() });
                }
            }
        }
        base
    }

    /// Whether a leaf is to be a secret.
    pub fn holds_secret(&self, service: &ServiceName, field: &FieldPath) -> bool {
        let leaf = self.desired.get(service).and_then(|leaves| leaves.get(field));
        leaf.is_some_and(|leaf| matches!(leaf.value, Value::Secret(_)))
    }

    /// The part of the plan that is about one service.
    pub fn action(&self, service: &ServiceName) -> Option<&Action> {
        self.actions.iter().find(|action| action.service == *service)
    }
}

/// What was asked of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanOptions {
    /// Only these services; `None` for all.
    pub services: Option<BTreeSet<ServiceName>>,
    /// Whether orphans are deleted.
    pub prune: bool,
    /// The run whose release is to come back.
    pub rollback_to: Option<RunId>,
}

impl PlanOptions {
    /// Whether a service is among those that were asked for.
    pub fn covers(&self, service: &ServiceName) -> bool {
        self.services.as_ref().is_none_or(|only| only.contains(service))
    }
}

/// One service's part of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Action {
    /// The service.
    pub service: ServiceName,
    /// What happens to it.
    pub kind: ActionKind,
    /// The leaves that change, in field order.
    pub changes: Vec<Change>,
    /// Why it cannot be carried out; empty where it can.
    pub blocked: Vec<Blocked>,
    /// What the reader should know before confirming: a gap in service, a value that returns to its default …
    pub notes: Vec<String>,
}

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// `+`: it does not run yet.
    Create,
    /// `~`: changed while it runs.
    InPlace,
    /// `-/+`: new replicas take the place of the old.
    Replace,
    /// `-`: an orphan goes.
    Delete,
    /// `~`: only Trueup's own record of a policy changes.
    Record,
}

/// One leaf's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// The leaf.
    pub field: FieldPath,
    /// Set or withdrawn.
    pub kind: ChangeKind,
    /// What is declared.
    pub declared: Option<Value>,
    /// What was last applied.
    pub base: Option<Value>,
    /// What runs; `Known(None)` where it is absent. Policy leaves, which cannot be seen, hold base's value.
    pub live: Observed<Option<Value>>,
    /// The replicas that differ, where not all do or not all in the same way; empty otherwise. `live` is the first's.
    pub replicas: Vec<ReplicaLive>,
    /// Why it differs.
    pub cause: Cause,
    /// What changing it takes.
    pub effect: Effect,
    /// Where it is declared.
    pub at: Option<Position>,
    /// A word on this leaf: "same tag, other digest", "returns to the image's value".
    pub note: Option<String>,
}

/// Why an action cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Blocked {
    /// A leaf that must be known is not.
    Unknown {
        /// The leaf; `None` for the whole service.
        field: Option<FieldPath>,
        /// Why it is not known.
        why: String,
    },
    /// The provider cannot do what is declared.
    Unsupported {
        /// The leaf.
        field: FieldPath,
        /// Why not.
        why: String,
    },
    /// A secret has no value.
    MissingSecret {
        /// The secret and how to set it.
        why: String,
    },
    /// The service lacks what it needs to run (an image, a command).
    Incomplete {
        /// What is missing.
        why: String,
    },
    /// The health check could not be carried out, and nothing is deployed unprobed.
    CannotProbe {
        /// Why not, and what the operator can do.
        why: String,
    },
    /// A service that it depends on does not run, and this plan does not start it.
    Dependency {
        /// That service.
        service: ServiceName,
    },
    /// The operator's rules forbid it.
    NotAllowed {
        /// Which rule.
        why: String,
    },
}

/// A difference of one service that counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanSuppressed {
    /// The service.
    pub service: ServiceName,
    /// The leaf, both of its values and the rule.
    #[serde(flatten)]
    pub difference: Suppressed,
}

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Unknown {
    /// The service; `None` for the whole environment.
    pub service: Option<ServiceName>,
    /// The leaf; `None` for the whole service.
    pub field: Option<FieldPath>,
    /// Why.
    pub why: String,
}
