//! Docker Engine (API 1.41 and later, and Podman where it speaks that): services are labelled containers on one network
//! per environment.
//!
//! The Engine's reply types end in this folder. Ownership is by label, never by name; what carries no label of this
//! environment is neither seen nor touched. Must not know Git, plans or the store.

mod capability;
mod carry;
mod connection;
mod convert;
mod create;
mod engine;
mod events;
mod facts;
mod health;
mod host;
mod image;
mod labels;
mod logs;
mod mounts;
mod observe;
mod pools;
mod prepare;
mod probe;
mod probe_container;
mod pull;
mod registry;
mod settings;
mod steps;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc::Sender;

use self::engine::Engine;
pub use self::engine::Engines;
pub use self::host::DockerHost;
pub use self::registry::Credentials;
use self::registry::{Ask, Registry};
use self::settings::DockerSettings;
pub use self::settings::{DEFAULT_HOST, DEFAULT_TIMEOUT, DockerSettingsError, KEYS};
use crate::ids::EnvironmentRef;
use crate::live::capability::Capabilities;
use crate::live::field::FieldPath;
use crate::live::image::{ImageRef, ImageValue};
use crate::live::value::{PullPolicy, Value};
use crate::live::{Live, Observed, ReplicaId};
use crate::provider::{
    Check, ConnectionReport, ProbeOutcome, Progress, Provider, ReplicaSpec, ReplicaState, StepError,
};
use crate::sync::gate::SyncPermit;

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
        let engine = engines.at(&settings.address, settings.timeout);
        let registry = Registry::new(environment.clone(), &settings, credentials);
        Ok(DockerProvider { environment, settings, engine, registry })
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

#[async_trait]
impl Provider for DockerProvider {
    fn capabilities(&self) -> Capabilities {
        capability::CAPABILITIES
    }

    async fn observe(&self) -> Live {
        self.look().await
    }

    async fn resolve_image(&self, image: &ImageRef, pull: Option<PullPolicy>) -> Observed<ImageValue> {
        image::resolve(&self.engine, &self.registry, image, pull, Ask::Registry).await
    }

    async fn resolve_image_here(&self, image: &ImageRef, pull: Option<PullPolicy>) -> Observed<ImageValue> {
        image::resolve(&self.engine, &self.registry, image, pull, Ask::Nobody).await
    }

    async fn can_probe(&self, check: &Check) -> Result<(), String> {
        self.probe_possible(check).await
    }

    async fn test_connection(&self) -> ConnectionReport {
        self.examine().await
    }

    async fn prepare(
        &self,
        permit: &SyncPermit,
        spec: &ReplicaSpec<'_>,
        progress: &dyn Progress,
    ) -> Result<ReplicaId, StepError> {
        self.permitted(permit)?;
        self.prepare_replica(permit.run(), spec, progress).await
    }

    async fn start(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        self.permitted(permit)?;
        self.start_replica(replica).await
    }

    async fn stop(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        self.permitted(permit)?;
        self.stop_replica(replica).await
    }

    async fn remove(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        self.permitted(permit)?;
        self.remove_replica(replica, false).await
    }

    async fn discard(&self, permit: &SyncPermit, replica: &ReplicaId) -> Result<(), StepError> {
        self.permitted(permit)?;
        self.remove_replica(replica, true).await
    }

    async fn update(
        &self,
        permit: &SyncPermit,
        replica: &ReplicaId,
        leaves: &BTreeMap<FieldPath, Value>,
    ) -> Result<(), StepError> {
        self.permitted(permit)?;
        self.update_replica(replica, leaves).await
    }

    async fn state(&self, replica: &ReplicaId) -> Result<ReplicaState, StepError> {
        self.state_of(replica).await
    }

    async fn probe(&self, replica: &ReplicaId, check: &Check) -> ProbeOutcome {
        self.probe_once(replica, check).await
    }

    async fn logs(&self, replica: &ReplicaId, lines: usize) -> Result<Vec<String>, StepError> {
        self.last_lines(replica, lines).await
    }

    async fn follow_logs(&self, replica: &ReplicaId, lines: usize, sink: Sender<String>) -> Result<(), StepError> {
        self.follow(replica, lines, sink).await
    }

    /// Containers that were created, started, died, were updated, removed … One stream is read per Engine, however many
    /// listen.
    fn changes(&self) -> Option<BoxStream<'static, Result<(), String>>> {
        Some(events::subscribe(&self.engine, &self.environment))
    }
}
