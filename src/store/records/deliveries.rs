//! Deliveries of webhooks.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::forge::{ForgeKind, Headers};
use crate::ids::{IntegrationName, ProjectName};

/// A delivery of a webhook, proven and not yet stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Whose format it has.
    pub forge: ForgeKind,
    /// The project that it was sent to; `None` where the repository is only found by reading it.
    pub project: Option<ProjectName>,
    /// The integrations whose secrets prove it, where it was sent to no project: it concerns their projects only.
    pub via: BTreeSet<IntegrationName>,
    /// The id that the forge gave it.
    pub delivery_id: Option<String>,
    /// SHA-256 of the body.
    pub sha256: [u8; 32],
    /// What says what it is; nothing that proves it.
    pub headers: Headers,
    /// What was sent.
    pub body: Bytes,
    /// When it came.
    pub received_at: Timestamp,
}

/// What became of a delivery at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored under this id.
    New(u64),
    /// It was stored before, under this id.
    Duplicate(u64),
    /// Too many wait; it was not stored.
    Full,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits to be taken in.
    Received,
    /// It was taken in.
    Done,
    /// It could not be understood.
    SetAside,
}

/// A delivery as it is kept, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: u64,
    /// Whose format it has.
    pub forge: ForgeKind,
    /// The project that it was sent to.
    pub project: Option<ProjectName>,
    /// The id that the forge gave it.
    pub delivery_id: Option<String>,
    /// The body's length.
    pub bytes: u64,
    /// What says what it is.
    pub headers: Headers,
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
}

/// A delivery that waits to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingDelivery {
    /// Its number.
    pub id: u64,
    /// Whose format it has.
    pub forge: ForgeKind,
    /// The project that it was sent to.
    pub project: Option<ProjectName>,
    /// The integrations whose secrets prove it, where it was sent to no project.
    pub via: BTreeSet<IntegrationName>,
    /// What says what it is.
    pub headers: Headers,
    /// What was sent.
    pub body: Vec<u8>,
}

/// Which deliveries are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Those sent to this project.
    pub project: Option<ProjectName>,
    /// Those that stand so.
    pub state: Option<DeliveryState>,
    /// Those that came before this one.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}
