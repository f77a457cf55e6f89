//! An integration that is nowhere: it is as healthy as its setting `health` says, for trying out what depends on that.

use async_trait::async_trait;

use crate::integration::settings::HEALTH;
use crate::integration::{Examination, Integration};
use crate::store::records::Integration as Registered;

/// An integration in memory.
pub(super) struct Memory {
    health: String,
}

impl Memory {
    /// As healthy as it is registered to be.
    pub(super) fn new(registered: &Registered) -> Self {
        Memory { health: registered.settings.get(HEALTH).cloned().unwrap_or_else(|| "healthy".to_owned()) }
    }
}

#[async_trait]
impl Integration for Memory {
    async fn test_connection(&self) -> Examination {
        let found = Examination::default();
        let help = "trueup integration set NAME --set health=healthy";
        match self.health.as_str() {
            "unhealthy" => found.error("its settings say that it is unhealthy", Some(help)),
            "degraded" => found.warning("its settings say that it is degraded", help),
            _ => found.ok("its settings say that it is healthy"),
        }
    }
}
