//! What the API takes and gives, as JSON. The server and the command line's client both speak in these.
//!
//! Requests refuse keys they do not know. A plan is [`crate::plan::Plan`] as it is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::authority::Role;
use crate::declared::Position;
use crate::drift::Cause;
use crate::ids::{CommitSha, EnvironmentName, EnvironmentRef, PlanDigest, ProjectName, RunId, SecretName, ServiceName};
use crate::live::Health;
use crate::secret::AuthRef;
pub use crate::store::records::{
    JournalEntry, ReadState, ReadStatus, RegisteredService, Run as RunView, RunKind, RunLine, RunState,
};

/// Which Trueup answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// The program's version.
    pub version: String,
    /// The API's version.
    pub api: u32,
    /// The installation's id.
    pub installation: String,
}

/// A project, with how the last read went for each of its environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectView {
    /// Its name.
    pub name: ProjectName,
    /// Where its repository is.
    pub url: String,
    /// The reference to its credentials.
    pub auth: Option<AuthRef>,
    /// The tracked branch or ref; absent: the remote's HEAD.
    pub tracked: Option<String>,
    /// The path of the declaring file.
    pub config_path: String,
    /// Whether reading it is switched off.
    pub disabled: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Its environments, by name.
    pub environments: Vec<ProjectEnvironment>,
}

/// An environment as its project lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// The provider's word.
    pub provider: String,
    /// How the last read of the file went for it; absent where none was tried yet.
    pub read: Option<ReadStatus>,
}

/// The path of the declaring file where the operator names none.
pub const CONFIG_PATH: &str = ".trueup.yml";

fn config_path() -> String {
    CONFIG_PATH.to_owned()
}

/// A project to register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// Its name.
    pub name: ProjectName,
    /// Where its repository is: `https://`, `http://`, `ssh://`, `user@host:path`, `file://` or an absolute path. Never with credentials.
    pub url: String,
    /// The reference to its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthRef>,
    /// The branch or ref to track; absent: the remote's HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracked: Option<String>,
    /// The path of the declaring file.
    #[serde(default = "config_path")]
    pub config_path: String,
}

/// What changes of a project: absent keys stay, `null` unsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectPatch {
    /// Where its repository is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The reference to its credentials.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AuthRef>)]
    pub auth: Option<Option<AuthRef>>,
    /// The branch or ref to track.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tracked: Option<Option<String>>,
    /// The path of the declaring file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// Whether reading it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// An environment as it is registered. Secrets by reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentView {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub name: EnvironmentName,
    /// The provider's word.
    pub provider: String,
    /// The provider's settings.
    pub settings: BTreeMap<String, String>,
    /// The ref that overrides the project's.
    pub tracked: Option<String>,
    /// Secrets: the name that the file uses, and the reference behind it.
    pub secrets: BTreeMap<SecretName, AuthRef>,
    /// Template values (`{{ .Env.X }}`).
    pub values: BTreeMap<String, String>,
    /// Host paths that services may mount.
    pub allow_host_paths: Vec<String>,
    /// Whether commits off the tracked ref may be synced.
    pub allow_untracked: bool,
    /// The system user that `local` processes run as.
    pub run_as: Option<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl EnvironmentView {
    /// `PROJECT/ENVIRONMENT`.
    pub fn id(&self) -> EnvironmentRef {
        EnvironmentRef { project: self.project.clone(), environment: self.name.clone() }
    }
}

/// An environment to register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// The provider's word: `docker` or `local`.
    pub provider: String,
    /// The provider's settings.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// A branch, tag glob or full ref that overrides the project's tracked branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracked: Option<String>,
    /// Secrets: the name that the file uses, and the reference behind it.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, AuthRef>,
    /// Template values (`{{ .Env.X }}`).
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Host paths that services may mount: a path allows itself and what is beneath.
    #[serde(default)]
    pub allow_host_paths: Vec<String>,
    /// Whether commits off the tracked ref may be synced.
    #[serde(default)]
    pub allow_untracked: bool,
    /// The system user that `local` processes run as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
}

/// What changes of an environment: absent keys stay; entries of `settings`, `secrets` and `values` are merged, and those
/// set to `null` removed. The provider never changes: remove the environment and register it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentPatch {
    /// The provider's settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Option<String>>,
    /// The ref that overrides the project's.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tracked: Option<Option<String>>,
    /// Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub secrets: BTreeMap<SecretName, Option<AuthRef>>,
    /// Template values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Option<String>>,
    /// Host paths that services may mount, in place of those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_host_paths: Option<Vec<String>>,
    /// Whether commits off the tracked ref may be synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_untracked: Option<bool>,
    /// The system user that `local` processes run as.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub run_as: Option<Option<String>>,
}

/// A service to register for the file's short form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Its fields, in the shape that `services.NAME` has in the repo's file.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
}

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
    /// The run whose release is to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<RunId>,
    /// Whether the latest plan of the tracked ref will do, without looking again. Refuses the other options.
    #[serde(default)]
    pub cached: bool,
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
    pub run: Option<RunView>,
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
    /// How it is doing.
    pub health: Health,
    /// Since when it is doing so.
    pub since: Option<Timestamp>,
    /// Its replicas, in order.
    pub replicas: Vec<ReplicaStatus>,
}

/// How a replica is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaStatus {
    /// Its name.
    pub name: String,
    /// How it is doing.
    pub health: Health,
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
    /// A word on this leaf: unmanaged, a policy that cannot be seen, …
    pub note: Option<String>,
}

/// What the repo says of a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhyDeclared {
    /// The value.
    pub value: String,
    /// Where it is written; absent for what the operator registered.
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

/// A run in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    /// The run.
    pub run: RunView,
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

/// A token to mint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its name, for the audit log: a DNS label.
    pub name: String,
    /// What it allows.
    pub role: Role,
}

/// A minted token; shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MintedToken {
    /// The bearer token.
    pub token: String,
}

impl std::fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MintedToken { .. }")
    }
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was minted.
    pub created_at: Timestamp,
}

/// Tells an absent key (`None`) from `null` (`Some(None)`).
fn set_or_unset<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{EnvironmentPatch, ProjectPatch};

    #[test]
    fn a_patch_tells_null_from_absent() {
        let patch: ProjectPatch = serde_json::from_str(r#"{"auth": null}"#).expect("valid");
        assert_eq!((patch.auth, patch.tracked), (Some(None), None));
        let patch: EnvironmentPatch =
            serde_json::from_str(r#"{"values": {"A": null, "B": "b"}, "run_as": "shop"}"#).expect("valid");
        assert_eq!(patch.run_as, Some(Some("shop".into())));
        assert_eq!(
            patch.values.into_iter().collect::<Vec<_>>(),
            [("A".to_owned(), None), ("B".to_owned(), Some("b".to_owned()))]
        );
        assert_eq!(
            serde_json::to_string(&ProjectPatch { auth: Some(None), ..Default::default() }).expect("JSON"),
            r#"{"auth":null}"#
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<ProjectPatch>(r#"{"urll": "x"}"#).is_err());
        assert!(serde_json::from_str::<EnvironmentPatch>(r#"{"provider": "docker"}"#).is_err());
    }
}
