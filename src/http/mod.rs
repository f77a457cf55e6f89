//! The API: one route table, one gate, handlers by noun and verb.
//!
//! Handlers read requests, ask the store and the service layer, and write replies. They decide nothing about drift, plans
//! or deploys, and nothing changes outside but through [`crate::sync`].

mod accept;
mod api;
pub mod dto;
mod extract;
mod gate;
pub mod listen;
mod moved;
pub mod openapi;
pub mod peer;
pub mod problem;
mod router;
mod status;
mod streams;
mod validate;
pub mod webhook;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use accept::serve;
pub use listen::{ListenError, Listeners};
pub use streams::TokenStreams;

use crate::audit::Audit;
use crate::events::Events;
use crate::ids::EnvironmentRef;
use crate::integration::Catalog;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pass::Passes;
use crate::provider::Connect;
use crate::reporter::Hooks;
use crate::store::Store;
use crate::sync::Syncs;

/// Told when a registration changed, so that whoever passes looks again soon.
pub trait Nudge: Send + Sync {
    /// Look at this environment again soon; it may be new or gone.
    fn nudge(&self, environment: &EnvironmentRef);
}

/// What handlers work with; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The database.
    pub store: Store,
    /// Passes over environments.
    pub passes: Passes,
    /// Runs.
    pub syncs: Syncs,
    /// The audit log.
    pub audit: Audit,
    /// Providers, for checking an environment's settings before they are stored.
    pub providers: Arc<dyn Connect>,
    /// What deliveries of webhooks are proven with.
    pub webhooks: webhook::Webhooks,
    /// Webhooks at forges.
    pub hooks: Hooks,
    /// Registered outside services.
    pub catalog: Catalog,
    /// Whoever tells events.
    pub events: Events,
    /// Whoever counts.
    pub metrics: Metrics,
    /// Reports on their way to forges.
    pub outbox: Outbox,
    /// Whoever passes in the background.
    pub nudge: Arc<dyn Nudge>,
    /// The group whose members are operators on the Unix socket.
    pub operators: Arc<str>,
    /// What still goes on for bearers of tokens.
    pub streams: TokenStreams,
    /// Ends streams, and then the server.
    pub shutdown: CancellationToken,
}
