//! What the store keeps of integrations, and of those who are notified.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::IntegrationName;
use crate::integration::kind::{IntegrationProvider, IntegrationType};
use crate::secret::AuthRef;

/// An outside service as the operator registered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// Its name.
    pub name: IntegrationName,
    /// What it is to Trueup.
    pub kind: IntegrationType,
    /// Whose product it is.
    pub provider: IntegrationProvider,
    /// Where it is, in normal form; never holds credentials.
    pub endpoint: String,
    /// The reference to the credentials that it takes.
    pub auth: Option<AuthRef>,
    /// The provider's own settings; secrets among them are auth references.
    pub settings: BTreeMap<String, String>,
    /// Whom to ask about it.
    pub owner: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// How an integration is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntegrationHealth {
    /// It can be used.
    Healthy,
    /// It can be used, and something is missing or wrong.
    Degraded,
    /// It cannot be used.
    Unhealthy,
    /// Nobody could say.
    Unknown,
}

impl IntegrationHealth {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            IntegrationHealth::Healthy => "healthy",
            IntegrationHealth::Degraded => "degraded",
            IntegrationHealth::Unhealthy => "unhealthy",
            IntegrationHealth::Unknown => "unknown",
        }
    }
}

/// How one look at an integration went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What was found.
    pub health: IntegrationHealth,
    /// Why, where it is not healthy; holds no secret.
    pub reason: Option<String>,
    /// How long it took to find out, in milliseconds.
    pub latency_ms: u64,
    /// When.
    pub at: Timestamp,
}

/// How an integration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IntegrationStanding {
    /// How it is doing.
    pub health: IntegrationHealth,
    /// Why, where it is not healthy.
    pub reason: Option<String>,
    /// Since when it is doing so.
    pub since: Timestamp,
    /// When it was looked at last; absent where it never was.
    pub checked_at: Option<Timestamp>,
    /// How long the last look took, in milliseconds.
    pub latency_ms: Option<u64>,
}

/// Up to where a notification webhook was served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyCursor {
    /// The newest event that was delivered, given up or not asked for.
    pub event: u64,
    /// How often the next one was tried.
    pub attempts: u64,
    /// When it is tried again; `None` where nothing stands in the way.
    pub retry_at: Option<Timestamp>,
    /// Why it could not be delivered.
    pub last_error: Option<String>,
}
