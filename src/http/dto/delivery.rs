//! Deliveries of webhooks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forge::ForgeKind;
use crate::ids::ProjectName;
use crate::store::records::DeliveryState;

/// A delivery of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// Its number.
    pub id: u64,
    /// The forge whose format it has.
    pub forge: ForgeKind,
    /// The project that it was sent to; absent where the repository is found by reading it.
    pub project: Option<ProjectName>,
    /// The event by the forge's word, as its header says it.
    pub event: Option<String>,
    /// The id that the forge gave it.
    pub delivery_id: Option<String>,
    /// The length of what was sent, in bytes.
    pub bytes: u64,
    /// How it stands.
    pub state: DeliveryState,
    /// Why it was set aside.
    pub error: Option<String>,
    /// How often it was put back into the inbox.
    pub replays: u64,
    /// When it came.
    pub received_at: Timestamp,
    /// When it was taken in or set aside.
    pub settled_at: Option<Timestamp>,
    /// What was sent; for admins, and for one delivery only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}
