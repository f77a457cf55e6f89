//! What the store keeps, as the rest of the program reads it.

mod commands;
mod deliveries;

mod integration;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use commands::{CommandRow, CommandState, ForgeUserRow, Heard, NewCommand};
pub use deliveries::{Accepted, Delivery, DeliveryFilter, DeliveryState, NewDelivery, WaitingDelivery};

pub use integration::{HealthCheck, Integration, IntegrationHealth, IntegrationStanding, NotifyCursor};

use crate::authority::{CommentCommands, Role};
use crate::drift::Cause;
use crate::ids::{
    CommitSha, EnvironmentName, EnvironmentRef, IntegrationName, PlanDigest, ProjectName, RunId, SecretName,
    ServiceName,
};
use crate::live::Health;
use crate::live::field::FieldPath;
use crate::report::detail::ReportDetail;
use crate::secret::AuthRef;

/// A project as the operator registered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Where its repository is; never holds credentials.
    pub url: String,
    /// The reference to the credentials that reading it takes.
    pub auth: Option<AuthRef>,
    /// The user name that goes with the credential over http(s); `None` for one that forges take with a token.
    pub user: Option<String>,
    /// The tracked branch, or a full ref name; `None` is the remote's HEAD.
    pub tracked: Option<String>,
    /// The path of the declaring file within the repository.
    pub config_path: String,
    /// Whether reading it is switched off.
    pub disabled: bool,
    /// The reference to the secret that proves its webhook's deliveries; without one, none is taken.
    pub webhook_secret: Option<AuthRef>,
    /// The forge that its pull requests are reported to.
    pub integration: Option<IntegrationName>,
    /// Its name on that forge (`owner/name`), where the URL does not say it.
    pub repository: Option<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// An environment as the operator registered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Environment {
    /// Its project and name.
    pub id: EnvironmentRef,
    /// The provider's word.
    pub provider: String,
    /// The provider's own settings, as TOML-like key and value (see the provider's documentation).
    pub settings: BTreeMap<String, String>,
    /// A branch, tag glob or full ref that overrides the project's tracked branch.
    pub tracked: Option<String>,
    /// Secrets: the name that the file uses, and the reference behind it.
    pub secrets: BTreeMap<SecretName, AuthRef>,
    /// Template values (`{{ .Env.X }}`).
    pub values: BTreeMap<String, String>,
    /// Host paths that services may mount: a path allows itself and what is beneath.
    pub allow_host_paths: Vec<String>,
    /// Whether commits that are not reachable from the tracked ref may be synced.
    pub allow_untracked: bool,
    /// How much reports that leave the house show of it.
    pub report_detail: ReportDetail,
    /// Whether pull requests whose head is a fork's are planned.
    pub plan_forks: bool,
    /// Whether what was changed outside Trueup is told in an issue on the forge.
    pub drift_issue: bool,
    /// Which commands in comments on pull requests it takes.
    pub comment_commands: CommentCommands,
    /// The system user that `local` processes run as.
    pub run_as: Option<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// A service that the operator registered, for the file's short form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RegisteredService {
    /// The environment.
    pub environment: EnvironmentRef,
    /// The service's name.
    pub name: ServiceName,
    /// Its fields, in the shape that `services.NAME` has in the repo's file.
    pub spec: serde_json::Value,
}

/// How the last read of a project's file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadState {
    /// Read and valid.
    Ok,
    /// The commit has no such file.
    NoFile,
    /// The remote could not be asked.
    FetchFailed,
    /// The file is not valid.
    Invalid,
    /// The operator switched the project off.
    Disabled,
}

/// The last read of a project's file for one environment's tracked ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReadStatus {
    /// How it went.
    pub state: ReadState,
    /// Why, where it did not go well; holds no secret.
    pub reason: Option<String>,
    /// The commit that was read last, its file valid or not.
    pub commit: Option<CommitSha>,
    /// When it was tried last.
    pub checked_at: Timestamp,
    /// Since when it fails, where it does.
    pub stale_since: Option<Timestamp>,
}

/// What an environment's tracked ref was when its file was read last: enough to read it again out of the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRef {
    /// The tracked ref as registered then.
    pub reference: String,
    /// What it stood for (`refs/heads/main`).
    pub full_name: String,
    /// The commit.
    pub commit: CommitSha,
    /// The commit's version tag, `Some(None)` where it has none; `None` where it was not asked for.
    pub version: Option<Option<String>>,
}

/// A run's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Being carried out, or waiting for the next start to settle it.
    Running,
    /// Everything was applied and verified.
    Succeeded,
    /// Something failed; what was verified before stays recorded.
    Failed,
}

/// Which verb asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// `trueup sync`.
    Sync,
    /// `trueup rollback`.
    Rollback,
}

/// One execution of a sync. The permit under which it runs is this row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// Which environment.
    pub environment: EnvironmentRef,
    /// The plan that was confirmed.
    pub plan: PlanDigest,
    /// The commit, where there is one.
    pub commit: Option<CommitSha>,
    /// Sync or rollback.
    pub kind: RunKind,
    /// Who asked.
    pub actor: String,
    /// How it stands.
    pub state: RunState,
    /// One line on how it ended.
    pub summary: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// One journalled step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JournalEntry {
    /// Its number within the run, from 1.
    pub seq: u64,
    /// The service it is about.
    pub service: Option<ServiceName>,
    /// What was about to be done, with all that recovery needs.
    pub intent: serde_json::Value,
    /// How it went; `None` where that is not known.
    pub outcome: Option<serde_json::Value>,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When its outcome was known.
    pub ended_at: Option<Timestamp>,
}

/// One line of a run's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunLine {
    /// Its number within the run, from 1.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The text; holds no secret.
    pub text: String,
}

/// A leaf that drifts, as it is kept to answer "since when".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DriftMark {
    /// The service.
    pub service: ServiceName,
    /// The leaf.
    pub field: FieldPath,
    /// The cause.
    pub cause: Cause,
    /// Since when it has been seen to drift for this cause.
    pub since: Timestamp,
}

/// How a service was last seen to be doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServiceHealth {
    /// The service as a whole.
    pub health: Health,
    /// Its replicas, in order.
    pub replicas: Vec<ReplicaHealth>,
}

/// How a replica was last seen to be doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReplicaHealth {
    /// Its name.
    pub name: String,
    /// How it is doing.
    pub health: Health,
}

/// A bearer token's record; the token itself is not kept, its SHA-256 is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenRecord {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was minted.
    pub created_at: Timestamp,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What ("sync", "secret resolved").
    pub operation: String,
    /// On what ("shop/production", "env://TOKEN").
    pub target: String,
    /// How it ended ("allowed", "denied: …").
    pub outcome: String,
}

/// A line of the audit log as it is kept: what is done over and over is folded into one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditLine {
    /// What was audited, and when first.
    pub entry: AuditEntry,
    /// When last.
    pub last_at: Timestamp,
    /// How often.
    pub times: u64,
}

/// A run that left something to which the environment can be rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The run.
    pub run: Run,
    /// The services that it released, without those that it left as they were.
    pub services: BTreeSet<ServiceName>,
}

/// A report on its way into the outbox.
#[derive(Clone, Debug)]
pub struct NewReport {
    /// The project that it is about.
    pub project: ProjectName,
    /// The environment, where it is about one.
    pub environment: Option<EnvironmentName>,
    /// The pull request, where it is about one.
    pub pull: Option<u64>,
    /// The commit, where it is about one.
    pub commit: Option<CommitSha>,
    /// What is written: `comment`, `status`, `check_run` …
    pub kind: String,
    /// Where it is written: of several reports on one topic the newest wins.
    pub topic: String,
    /// JSON: what the forge is asked. Holds no credential.
    pub payload: String,
    /// SHA-256 of the payload.
    pub sha256: Vec<u8>,
    /// When what it tells of was heard of.
    pub heard_at: Option<Timestamp>,
    /// Now.
    pub at: Timestamp,
}

/// How a report stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    /// It is to be posted.
    Waiting,
    /// It is being posted.
    Posting,
    /// It stands on the forge.
    Posted,
    /// The forge refused it for good.
    Failed,
    /// It was not posted, as the daemon is offline by its settings; it can be posted by hand.
    Skipped,
    /// A newer one took its place before it was posted.
    Superseded,
}

/// A report in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// Its number.
    pub id: u64,
    /// The project that it is about.
    pub project: ProjectName,
    /// The environment, where it is about one.
    pub environment: Option<EnvironmentName>,
    /// The pull request, where it is about one.
    pub pull: Option<u64>,
    /// The commit, where it is about one.
    pub commit: Option<CommitSha>,
    /// What is written.
    pub kind: String,
    /// Where it is written.
    pub topic: String,
    /// JSON: what the forge is asked.
    pub payload: String,
    /// How it stands.
    pub state: ReportState,
    /// How often it was tried.
    pub attempts: u64,
    /// From when on it may be tried.
    pub due_at: Timestamp,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When what it tells of was heard of.
    pub heard_at: Option<Timestamp>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was done with.
    pub ended_at: Option<Timestamp>,
    /// Whether someone asked for it by hand: then it is sent although the daemon is offline by its settings.
    pub by_hand: bool,
}

/// Which reports are listed.
#[derive(Clone, Debug)]
pub struct ReportFilter {
    /// Only this project's.
    pub project: Option<ProjectName>,
    /// Only these.
    pub state: Option<ReportState>,
    /// At most so many.
    pub limit: usize,
}

/// What stands on the forge on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The forge's id, where it has one.
    pub remote_id: Option<String>,
    /// Where people see it.
    pub url: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// What became of an attempt to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostEnd {
    /// It stands on the forge.
    Posted {
        /// The forge's id, where it has one.
        remote_id: Option<String>,
        /// Where people see it.
        url: Option<String>,
    },
    /// It is tried again.
    Again {
        /// Not before.
        due_at: Timestamp,
        /// Why.
        error: String,
    },
    /// It is not tried again.
    Failed {
        /// Why.
        error: String,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        error: String,
    },
}

/// How far a pull request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullStage {
    /// It may be merged.
    Open,
    /// It was merged, and what it changes awaits a sync somewhere.
    Merged,
    /// There is nothing more to report on it.
    Done,
}

/// A pull request that is reported on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRow {
    /// The project.
    pub project: ProjectName,
    /// Its number.
    pub number: u64,
    /// How far it has come.
    pub stage: PullStage,
    /// JSON: what the forge said last.
    pub facts: Option<String>,
    /// From when on it is to be planned.
    pub due_at: Option<Timestamp>,
    /// When the oldest news that is not reported yet was heard of.
    pub heard_at: Option<Timestamp>,
    /// When it was planned last.
    pub planned_at: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u64,
}
