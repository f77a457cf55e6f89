//! Integrations as the API takes and gives them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::registration::set_or_unset;
use crate::authority::Role;
use crate::ids::{IntegrationName, ProjectName};
use crate::integration::{IntegrationProvider, IntegrationType};
use crate::secret::AuthRef;
pub use crate::store::records::IntegrationStanding;

/// An integration, how it is doing, and who uses it. Secrets by reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntegrationView {
    /// Its name.
    pub name: IntegrationName,
    /// What it is to Trueup.
    #[serde(rename = "type")]
    pub kind: IntegrationType,
    /// Whose product it is.
    pub provider: IntegrationProvider,
    /// Where it is.
    pub endpoint: String,
    /// The reference to its credentials.
    pub auth: Option<AuthRef>,
    /// The provider's settings.
    pub settings: BTreeMap<String, String>,
    /// Whom to ask about it.
    pub owner: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// How it is doing.
    pub standing: IntegrationStanding,
    /// The projects that use it.
    pub projects: Vec<ProjectName>,
}

/// An integration to register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIntegration {
    /// Its name.
    pub name: IntegrationName,
    /// Whose product it is.
    pub provider: IntegrationProvider,
    /// What it is to Trueup; absent: what that provider usually is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<IntegrationType>,
    /// Where it is; absent: the provider's own place, where it has one (github.com, gitlab.com, bitbucket.org, the local
    /// Docker Engine).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The reference to its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthRef>,
    /// The provider's settings; secrets among them are auth references.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Whom to ask about it; absent: whoever registers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// What changes of an integration: absent keys stay; entries of `settings` are merged, and those set to `null` removed.
/// Provider and type never change: remove the integration and register it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntegrationPatch {
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The reference to its credentials.
    #[serde(default, deserialize_with = "set_or_unset", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AuthRef>)]
    pub auth: Option<Option<AuthRef>>,
    /// The provider's settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Option<String>>,
    /// Whom to ask about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// An account on a forge that has a role here: what its comments on pull requests may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForgeUserView {
    /// The forge's own id of the account, which stays with it whatever it is called.
    pub id: String,
    /// What the account was called when it was registered.
    pub login: String,
    /// What it may do.
    pub role: Role,
    /// When it was registered, or changed last.
    pub created_at: Timestamp,
}

/// An account to give a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewForgeUser {
    /// What it is called on the forge (on Bitbucket Cloud: its account id, or its UUID in braces). The forge is asked for
    /// its id.
    pub login: String,
    /// What it may do.
    pub role: Role,
}
