//! Docker Engine (API 1.41 and later, and Podman where it speaks that): services are labelled containers on one network
//! per environment.
//!
//! The Engine's reply types end in this folder. Ownership is by label, never by name; what carries no label of this
//! environment is neither seen nor touched. Must not know Git, plans or the store.

mod capability;
mod convert;
mod engine;
mod events;
mod facts;
mod health;
mod image;
mod labels;
mod mounts;
mod observe;
mod registry;
mod settings;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::BoxStream;

use self::engine::Engine;
pub use self::engine::Engines;
pub use self::registry::Credentials;
use self::registry::Registry;
use self::settings::DockerSettings;
pub use self::settings::{DEFAULT_HOST, DockerSettingsError, KEYS};
use crate::ids::EnvironmentRef;

/// One environment on one Engine.
pub struct DockerProvider {
    environment: EnvironmentRef,
    settings: DockerSettings,
    engine: Arc<Engine>,
    registry: Registry,
}

impl std::fmt::Debug for DockerProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerProvider")
            .field("environment", &self.environment)
            .field("engine", &self.engine.address)
            .finish_non_exhaustive()
    }
}

impl DockerProvider {
    /// The provider of one environment with an Engine of its own. Connects on first use: an Engine that is not there
    /// shows as unknown, not as an error here.
    ///
    /// # Errors
    /// [`DockerSettingsError`] naming the setting.
    pub fn connect(
        environment: EnvironmentRef,
        settings: &BTreeMap<String, String>,
        credentials: Arc<dyn Credentials>,
    ) -> Result<Self, DockerSettingsError> {
        Self::connect_shared(&Engines::default(), environment, settings, credentials)
    }

    /// As [`DockerProvider::connect`], sharing connections, image cache and event stream with the other environments
    /// of the same Engine. A daemon with many environments wants this one.
    ///
    /// # Errors
    /// [`DockerSettingsError`] naming the setting.
    pub fn connect_shared(
        engines: &Engines,
        environment: EnvironmentRef,
        settings: &BTreeMap<String, String>,
        credentials: Arc<dyn Credentials>,
    ) -> Result<Self, DockerSettingsError> {
        let settings = DockerSettings::parse(settings)?;
        let engine = engines.at(&settings.address);
        let registry = Registry::new(settings.logins.clone(), settings.insecure_registries.clone(), credentials);
        Ok(DockerProvider { environment, settings, engine, registry })
    }

    /// Yields `Ok(())` whenever a container of this environment changed (created, started, died, updated, removed …)
    /// and ends after an `Err` that says why. Whoever listens subscribes again and looks at once, since what happened
    /// in between was not seen. One stream is read per Engine, however many listen.
    pub fn changes(&self) -> BoxStream<'static, Result<(), String>> {
        events::subscribe(&self.engine, &self.environment)
    }

    /// `PROJECT-ENVIRONMENT-`, which begins the environment's own volumes.
    fn volume_prefix(&self) -> String {
        format!("{}-{}-", self.environment.project, self.environment.environment)
    }

    /// The environment's network.
    fn network(&self) -> String {
        let own = || format!("{}-{}", self.environment.project, self.environment.environment);
        self.settings.network.clone().unwrap_or_else(own)
    }
}
