//! What operators register: projects, environments, services.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::authority::CommentCommands;
use crate::ids::{EnvironmentName, EnvironmentRef, IntegrationName, ProjectName, SecretName};
use crate::report::detail::ReportDetail;
use crate::secret::AuthRef;
use crate::store::records::ReadStatus;

/// A project, with how the last read went for each of its environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectView {
    /// Its name.
    pub name: ProjectName,
    /// Where its repository is.
    pub url: String,
    /// The reference to its credentials.
    pub auth: Option<AuthRef>,
    /// The user name that goes with them; absent: one that forges take with a token.
    pub user: Option<String>,
    /// The tracked branch or ref; absent: the remote's HEAD.
    pub tracked: Option<String>,
    /// The path of the declaring file.
    pub config_path: String,
    /// Whether reading it is switched off.
    pub disabled: bool,
    /// The reference to the secret that proves its webhook's deliveries; absent: none is taken.
    #[serde(default)]
    pub webhook_secret: Option<AuthRef>,
    /// The forge that its pull requests are reported to.
    pub integration: Option<IntegrationName>,
    /// Its name on that forge.
    pub repository: Option<String>,
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
    /// The user name that goes with them over `https://`; absent: one that forges take with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The branch or ref to track; absent: the remote's HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracked: Option<String>,
    /// The path of the declaring file.
    #[serde(default = "config_path")]
    pub config_path: String,
    /// The reference to the secret that proves its webhook's deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<AuthRef>,
    /// The forge that its pull requests are reported to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<IntegrationName>,
    /// Its name on that forge, `OWNER/NAME`; absent: as the URL says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
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
    /// The user name that goes with them over `https://`.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub user: Option<Option<String>>,
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
    /// The reference to the secret that proves its webhook's deliveries.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AuthRef>)]
    pub webhook_secret: Option<Option<AuthRef>>,
    /// The forge that its pull requests are reported to.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub integration: Option<Option<IntegrationName>>,
    /// Its name on that forge.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub repository: Option<Option<String>>,
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
    /// How much reports that leave the house show of it.
    #[serde(default)]
    pub report_detail: ReportDetail,
    /// Whether pull requests whose head is a fork's are planned.
    #[serde(default)]
    pub plan_forks: bool,
    /// Whether what was changed outside Trueup is told in an issue on the forge.
    #[serde(default)]
    pub drift_issue: bool,
    /// Which commands in comments on pull requests it takes.
    #[serde(default)]
    pub comment_commands: CommentCommands,
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
    /// How much reports that leave the house show of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_detail: Option<ReportDetail>,
    /// Whether pull requests whose head is a fork's are planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_forks: Option<bool>,
    /// Whether what was changed outside Trueup is told in an issue on the forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_issue: Option<bool>,
    /// Which commands in comments on pull requests it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment_commands: Option<CommentCommands>,
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

/// Tells an absent key (`None`) from `null` (`Some(None)`).
pub(super) fn set_or_unset<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
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
