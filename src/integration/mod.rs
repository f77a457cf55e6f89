//! Integrations: registered outside services (forges, container registries, CI, runtime hosts), how each is spoken to, and
//! how it is doing.
//!
//! A new provider is one word in `kind`, its settings in `settings`, a folder where it has code of its own, and one line in
//! `connect`. Must not know passes, plans or who asks.

mod catalog;
mod connect;
mod docker_host;
pub mod kind;
mod memory;
pub mod registry;
mod report;
pub mod repository;
mod scm;
pub mod settings;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;

pub use catalog::{Catalog, Parts};
pub use connect::Connectors;
pub use kind::{IntegrationProvider, IntegrationType};
pub use report::{Examination, TestReport};
pub use settings::InvalidIntegration;
pub use watch::{Pace, watch};

use crate::forge::api::ForgeUser;
use crate::store::records::Integration as Registered;

/// An outside service as it is spoken to.
#[async_trait]
pub trait Integration: Send + Sync {
    /// Whether it can be used with the credentials that it was given, and what is missing. Changes nothing there.
    async fn test_connection(&self) -> Examination;

    /// The account of this name there; `None` where there is none.
    ///
    /// # Errors
    /// It is no forge, or could not be asked.
    async fn find_account(&self, _: &str) -> Result<Option<ForgeUser>, String> {
        Err("it is no forge, and has no accounts".to_owned())
    }
}

/// Whoever knows how each provider is spoken to.
pub trait Connect: Send + Sync {
    /// The integration as someone may use it. Nothing is asked and no secret resolved yet.
    ///
    /// # Errors
    /// Why it cannot be spoken to.
    fn connect(&self, registered: &Registered, asker: &Asker<'_>) -> Result<Arc<dyn Integration>, String>;
}

/// Who asks, and in whose name.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Who, for the audit log.
    pub actor: &'a str,
    /// A repository of a forge that is reported on, as permissions often are a repository's; `None` where there is none.
    pub repository: Option<&'a str>,
}
