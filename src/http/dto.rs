//! What the API takes and gives, as JSON. The server and the command line's client both speak in these.
//!
//! Requests refuse keys they do not know. A plan is [`crate::plan::Plan`] as it is.

mod delivery;
mod integration;
mod outbox;
mod registration;
mod standing;
mod work;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use delivery::DeliveryView;
pub use integration::{
    ForgeUserView, IntegrationPatch, IntegrationStanding, IntegrationView, NewForgeUser, NewIntegration,
};
pub use outbox::ReportView;
pub use registration::{
    CONFIG_PATH, EnvironmentPatch, EnvironmentView, NewEnvironment, NewProject, ProjectEnvironment, ProjectPatch,
    ProjectView, ServiceSpec,
};
pub use standing::{ServiceStatus, ServiceSync, StatusView, SyncState, WhyBase, WhyDeclared, WhyView};
pub use work::{
    LogLine, NothingToDo, PlanRequest, PullRequestBody, RefreshStarted, RollbackBody, RunDetail, RunStarted, SyncBody,
};

use crate::authority::Role;
pub use crate::forge::api::Change;
pub use crate::reporter::{LastDelivery, ProjectCheck, WebhookSetUp, WebhookState};
pub use crate::store::records::{
    DeliveryState, JournalEntry, ReadState, ReadStatus, RegisteredService, ReplicaHealth, ReportState, Run as RunView,
    RunKind, RunLine, RunState,
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
