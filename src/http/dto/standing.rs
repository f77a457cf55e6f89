//! How things stand: status, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::declared::Position;
use crate::drift::Cause;
use crate::ids::{CommitSha, EnvironmentRef, PlanDigest, RunId, ServiceName};
use crate::live::Health;
use crate::live::rule::Rule;
use crate::store::records::{ReadStatus, ReplicaHealth, Run};

/// Whether an environment is in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// Nothing differs.
    InSync,
    /// Something differs.
    Drift,
    /// It could not be told.
    Unknown,
    /// The repo declares nothing for it.
    Undeclared,
}

/// Whether a service is in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceSync {
    /// Nothing differs.
    InSync,
    /// Something differs, and a sync would mend it.
    Drift,
    /// Something differs, and something stands in the way.
    Blocked,
    /// It could not be told.
    Unknown,
    /// It runs and is no longer declared.
    Orphan,
}

/// How an environment stands: in sync or not, and healthy or not, side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// Which environment.
    pub environment: EnvironmentRef,
    /// The provider's word.
    pub provider: String,
    /// How the last read of the file went; absent where none was tried yet.
    pub read: Option<ReadStatus>,
    /// The latest plan's digest.
    pub plan_digest: Option<PlanDigest>,
    /// Whether it is in sync.
    pub sync: SyncState,
    /// How many leaves differ.
    pub changes: usize,
    /// How many services are blocked.
    pub blocked: usize,
    /// Its services, by name.
    pub services: Vec<ServiceStatus>,
    /// The unfinished run.
    pub run: Option<Run>,
    /// When what runs was last looked at.
    pub observed_at: Option<Timestamp>,
}

/// How a service stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// Whether it is in sync.
    pub sync: ServiceSync,
    /// How many leaves differ.
    pub changes: usize,
    /// Since when the first of them has been seen to differ; absent where none does.
    pub drift_since: Option<Timestamp>,
    /// Why they differ: each cause once.
    pub causes: Vec<Cause>,
    /// Why it is blocked, or cannot be told to be in sync: each reason once.
    pub reasons: Vec<String>,
    /// How it is doing.
    pub health: Health,
    /// Since when it is doing so.
    pub since: Option<Timestamp>,
    /// Its replicas, in order.
    pub replicas: Vec<ReplicaHealth>,
}

/// What is known of one leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhyView {
    /// `PROJECT/ENVIRONMENT/SERVICE.FIELD`.
    pub address: String,
    /// What the repo says; absent where the leaf is not declared.
    pub declared: Option<WhyDeclared>,
    /// What was last applied; absent where nothing was.
    pub base: Option<WhyBase>,
    /// What runs: its value, `(absent)`, or `(unknown: why)`.
    pub live: String,
    /// Why it differs; absent where it does not.
    pub cause: Option<Cause>,
    /// Since when it has been seen to differ.
    pub since: Option<Timestamp>,
    /// Why it could not be compared, where it could not: without a cause it is then not known to be in sync.
    pub unknown: Option<String>,
    /// When what is told was seen, where nothing was looked at for it; absent after a fresh look.
    pub seen_at: Option<Timestamp>,
    /// The rule by which what runs counts as what is declared although the two are not written alike.
    pub rule: Option<Rule>,
}

/// What the repo says of a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhyDeclared {
    /// The value.
    pub value: String,
    /// Where it is written; absent where nothing was looked at for it and the leaf is in sync.
    pub at: Option<Position>,
    /// At which commit.
    pub commit: Option<CommitSha>,
}

/// What was last applied of a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhyBase {
    /// The value.
    pub value: String,
    /// The commit it was declared at.
    pub commit: Option<CommitSha>,
    /// The run that applied it.
    pub run: Option<RunId>,
    /// When it was verified.
    pub verified_at: Timestamp,
}
