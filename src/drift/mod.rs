//! Declared × base × live, leaf by leaf: what differs, where, and why.
//!
//! Pure. Decides nothing about what to do; that is `plan`.

pub mod cause;
pub mod compare;
pub mod seal;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::declared::Position;
use crate::ids::{CommitSha, RunId, ServiceName};
use crate::live::Observed;
use crate::live::capability::ChangeKind;
use crate::live::field::FieldPath;
use crate::live::rule::Rule;
use crate::live::shared::SharedText;
use crate::live::value::Value;

/// What was last applied and verified, per service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Base {
    /// The services that Trueup applied and verified.
    pub services: BTreeMap<ServiceName, BaseService>,
}

impl Base {
    /// Whether a leaf was last applied as a secret.
    pub fn holds_secret(&self, service: &ServiceName, field: &FieldPath) -> bool {
        let leaf = self.services.get(service).and_then(|service| service.leaves.get(field));
        leaf.is_some_and(|leaf| matches!(leaf.value, Value::Secret(_)))
    }
}

/// One service as it was last applied and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BaseService {
    /// The declared leaves at that time, in normal form.
    pub leaves: Arc<BTreeMap<FieldPath, BaseLeaf>>,
    /// The commit they were declared at.
    pub commit: Option<CommitSha>,
    /// The run that applied them; `None` where live was found to match by itself.
    pub run: Option<RunId>,
    /// When they were verified.
    pub verified_at: Timestamp,
}

/// One leaf as it was last applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BaseLeaf {
    /// Its value: an image with its content, a secret by fingerprint.
    pub value: Value,
    /// What the repo wrote (see `DeclaredLeaf::written`).
    pub written: SharedText,
}

/// Why a leaf differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing was applied here yet.
    New,
    /// The repo's file changed.
    Repo,
    /// What runs was changed.
    Live,
    /// Both changed.
    Both,
    /// The file stood still, but a tag, a secret's value or an operator's setting moved.
    Input,
}

impl Cause {
    /// The cause's word.
    pub fn word(self) -> &'static str {
        match self {
            Cause::New => "new",
            Cause::Repo => "repo",
            Cause::Live => "live",
            Cause::Both => "both",
            Cause::Input => "input",
        }
    }

    /// What it means, for whoever does not know the word.
    pub fn meaning(self) -> &'static str {
        match self {
            Cause::New => "nothing was applied here yet",
            Cause::Repo => "the repository's file changed",
            Cause::Live => "what runs was changed",
            Cause::Both => "both the file and what runs changed",
            Cause::Input => "the file stood still, but a tag, a secret or an operator's setting moved",
        }
    }
}

/// Declared leaves whose value could not be completed, and why: an image that does not resolve, a secret without a
/// value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// By service and leaf.
    pub services: BTreeMap<ServiceName, BTreeMap<FieldPath, String>>,
}

impl Gaps {
    /// Notes a gap.
    pub fn add(&mut self, service: &ServiceName, field: &FieldPath, why: String) {
        self.services.entry(service.clone()).or_default().insert(field.clone(), why);
    }
}

/// What differs in one environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Every declared service, also those in which nothing differs.
    pub services: BTreeMap<ServiceName, ServiceDrift>,
    /// Why live could not be seen at all, where it could not; `services` is empty then.
    pub unseen: Option<String>,
    /// Services that run and are not declared.
    pub orphans: Vec<Orphan>,
}

/// A service that runs and is not declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its name.
    pub name: ServiceName,
    /// Why not all of it could be seen, where it could not.
    pub unseen: Option<String>,
}

/// What differs in one declared service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDrift {
    /// Whether it runs at all.
    pub presence: Presence,
    /// How many replicas there are, those that are left over aside.
    pub replicas: usize,
    /// Whether base is known to hold exactly the declared leaves, as they are written.
    pub recorded: bool,
    /// Replicas of an earlier release whose place others have taken, for people (`web-1 of run 3`): they are to go.
    pub left_over: Vec<String>,
    /// Why the service could not be seen whole, where it could not; nothing of it was compared then.
    pub unseen: Option<String>,
    /// The leaves that differ, in field order.
    pub leaves: Vec<LeafDrift>,
    /// The leaves that could not be compared, and why.
    pub unknown: Vec<(FieldPath, String)>,
    /// The differences that count for nothing, in field order, each with its rule.
    pub suppressed: Vec<Suppressed>,
}

/// A difference that counts for nothing, and the rule that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Suppressed {
    /// The leaf.
    pub field: FieldPath,
    /// The rule.
    pub rule: Rule,
    /// What is declared; `None` where the leaf is withdrawn.
    pub declared: Option<Value>,
    /// What runs, in the first replica to which the rule applies.
    pub live: Value,
}

impl ServiceDrift {
    /// Whether any replica is there.
    pub fn runs(&self) -> bool {
        self.presence == Presence::Present
    }
}

/// Whether a declared service has any replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has.
    Present,
    /// It has none.
    Absent,
}

/// One leaf that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafDrift {
    /// The leaf.
    pub field: FieldPath,
    /// Set, or withdrawn from the file.
    pub kind: ChangeKind,
    /// What is declared.
    pub declared: Option<Value>,
    /// What was last applied.
    pub base: Option<Value>,
    /// What runs (for a policy leaf: base).
    pub live: Observed<Option<Value>>,
    /// The replicas that differ, where not all do alike.
    pub replicas: Vec<ReplicaLive>,
    /// Why it differs.
    pub cause: Cause,
    /// Where it is declared.
    pub at: Option<Position>,
}

/// What one replica has for a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReplicaLive {
    /// The replica's name.
    pub name: String,
    /// What it has; `None` where the leaf is absent.
    pub live: Option<Value>,
}
